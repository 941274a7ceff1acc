// The page that asks what looks like a picture. What it shows is said by its URL: the question (see
// question.js), by, k, and the image that is looked at closely.

import { moveAmong, similarCards } from "./cards.js";
import { counted, posted, request, secondsOf } from "./common.js";
import { Look } from "./look.js";
import { pairOf } from "./pair.js";
import { begin, boxOf, fail, go, named, nameQuery, pictureOf, say, showQuestion, stateNow } from "./question.js";

const find = (selector) => document.querySelector(selector);
const look = new Look(() => go({ look: null }), (key) => go({ look: key }, true));
let answer = null;
let asked = "";
let current = null; // the request under way

/** What is asked of the server. */
function questionOf(state) {
  const by = state.by || "fused";
  return { index: state.index, by, k: Number(state.k || 24), ...named(state), ...(state.box && { box: boxOf(state) }) };
}

/** Show what the URL says. */
async function show() {
  const state = stateNow();
  for (const option of document.querySelectorAll("option[data-index]")) {
    option.hidden = option.disabled = option.dataset.index !== state.index;
  }
  if (!showQuestion(state)) {
    look.close();
    return;
  }
  const question = questionOf(state);
  if (JSON.stringify(question) !== asked) await ask(state, question);
  if (answer) await openLook(stateNow());
}

/** Ask the server, and show what it says. */
async function ask(state, question) {
  current?.abort();
  current = new AbortController();
  asked = JSON.stringify(question);
  answer = null;
  say("Comparing …");
  try {
    const response = await request("/api/v1/similar", posted(question, current.signal));
    answer = await response.json();
  } catch (error) {
    if (error.name === "AbortError") return;
    asked = "";
    fail(error.message);
    return;
  }
  nameQuery(state, answer);
  const title = answer.matches.length ? `The ${counted(answer.matches.length, "image")} most like it` : "No images";
  const by = Object.entries(answer.by).map(([name, weight]) => `${name} ${weight}`).join(", ");
  find("#answer").hidden = false;
  find("#answer-title").textContent = title;
  find("#timing").textContent =
    `By ${by}, ${secondsOf(answer)}, generation ${answer.generation}${answer.note ? `; ${answer.note}` : ""}`;
  find("#alike").replaceChildren(...similarCards(answer.matches, state, go));
  say(`${title}.`, false);
}

/** Open or close the close look, as the state says. */
async function openLook(state) {
  const image = state.look && answer.matches.find((each) => each.key === state.look);
  if (!image) {
    look.close();
    return;
  }
  say("Comparing …");
  try {
    const match = await pairOf(state.index, image, named(state), boxOf(state));
    if (stateNow().look !== state.look) return;
    say("", false);
    look.open({
      match,
      others: answer.matches,
      index: state.index,
      query: { source: pictureOf(state), size: [answer.width, answer.height], named: named(state) },
      box: boxOf(state),
    });
  } catch (error) {
    go({ look: null }, true);
    find("#problem").hidden = false;
    find("#problem").textContent = error.message;
  }
}

find("#answer").addEventListener("keydown", moveAmong);
begin(show);
