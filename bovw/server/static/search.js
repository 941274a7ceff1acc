// The page that asks. What it shows is said by its URL: the question (see question.js), whole, k and
// the other options, and the match that is looked at closely.

import { answerCards, moveAmong } from "./cards.js";
import { counted, posted, request, secondsOf } from "./common.js";
import { Look } from "./look.js";
import { begin, boxOf, fail, go, named, nameQuery, pictureOf, say, showQuestion, stateNow } from "./question.js";

const find = (selector) => document.querySelector(selector);
const look = new Look(() => go({ look: null }), (key) => go({ look: key }, true));
let answer = null; // the last one, and what it was to
let asked = "";
let current = null; // the request under way

/** What is asked of the server. */
function questionOf(state) {
  return {
    index: state.index,
    crop: !state.whole,
    k: Number(state.k || 10),
    instances: Number(state.instances || 1),
    mirror: state.mirror !== "0",
    thorough: state.thorough ? "unsure" : "never",
    expand: Boolean(state.expand && state.whole),
    sisters: Boolean(state.sisters),
    correspondences: true,
    ...named(state),
    ...(state.box && { box: boxOf(state) }),
  };
}

/** Show what the URL says. */
async function show() {
  const state = stateNow();
  if (!showQuestion(state)) {
    look.close();
    return;
  }
  const question = questionOf(state);
  if (JSON.stringify(question) !== asked) await ask(state, question);
  if (answer) openLook(stateNow());
}

/** Ask the server, and show what it says. */
async function ask(state, question) {
  current?.abort();
  current = new AbortController();
  asked = JSON.stringify(question);
  answer = null;
  say("Searching …");
  try {
    const response = await request("/api/v1/search", posted(question, current.signal));
    answer = await response.json();
  } catch (error) {
    if (error.name === "AbortError") return;
    asked = "";
    fail(error.message);
    return;
  }
  nameQuery(state, answer);
  showAnswer(state);
}

function showAnswer(state) {
  const certain = answer.matches.filter((match) => match.verified || match.expanded);
  const rest = answer.matches.filter((match) => !(match.verified || match.expanded));
  const title = certain.length
    ? `${counted(certain.length, "certain answer")}`
    : answer.features ? "Nothing certain" : "This picture has no features (blank or very smooth)";
  find("#answer").hidden = false;
  find("#answer-title").textContent = title;
  find("#timing").textContent =
    `${counted(answer.features, "feature")}, ${secondsOf(answer)}, generation ${answer.generation}`;
  if (answer.note) find("#timing").textContent += `; the picture is ${answer.note}`;
  find("#certain").replaceChildren(...answerCards(certain, state, go));
  find("#uncertain").replaceChildren(...answerCards(rest, state, go));
  find("#nearest").hidden = !rest.length;
  find("#nearest").open = false;
  find("#nearest-title").textContent = certain.length
    ? `${counted(rest.length, "other image")} that nothing verifies`
    : `Show the nearest anyway (${rest.length})`;
  say(`${title}.`, false);
}

/** Open or close the close look, as the state says. */
function openLook(state) {
  const match = state.look && answer.matches.find((each) => each.key === state.look);
  if (!match) {
    look.close();
    return;
  }
  look.open({
    match,
    others: answer.matches,
    index: state.index,
    query: { source: pictureOf(state), size: [answer.width, answer.height], named: named(state) },
    box: boxOf(state),
  });
}

find("#answer").addEventListener("keydown", moveAmong);
begin(show);
