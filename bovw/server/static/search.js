// The page that asks. What it shows is said by its URL: index, image or query (keys), whole, box, k
// and the other options, and the match that is looked at closely.

import { BoxEditor } from "./box.js";
import { answerCards, moveAmong } from "./cards.js";
import { counted, posted, request } from "./common.js";
import { Look } from "./look.js";

const find = (selector) => document.querySelector(selector);
const form = find("#ask");
const names = new Map(); // what uploads of this visit are called, and their sizes, by key
const boxes = new BoxEditor((box) => go({ box: box ? box.join(",") : null }));
const look = new Look(() => go({ look: null }), (key) => go({ look: key }, true));
let answer = null; // the last one, and what it was to
let asked = "";
let current = null; // the request under way

/** The state, as the URL has it. */
function stateNow() {
  const state = Object.fromEntries(new URLSearchParams(location.search));
  if (!state.index) state.index = form.elements.index.value;
  return state;
}

/** Go on to another state: what is null is dropped. */
function go(changes, replace = false) {
  const parameters = new URLSearchParams(location.search);
  for (const [name, value] of Object.entries(changes)) {
    if (value === null || value === "") parameters.delete(name);
    else parameters.set(name, value);
  }
  const url = `${location.pathname}?${parameters}`;
  if (replace) history.replaceState(null, "", url);
  else history.pushState(null, "", url);
  return show();
}


/** What is asked of the server. */
function questionOf(state) {
  const question = {
    index: state.index,
    crop: !state.whole,
    k: Number(state.k || 10),
    instances: Number(state.instances || 1),
    mirror: state.mirror !== "0",
    thorough: state.thorough ? "unsure" : "never",
    expand: Boolean(state.expand && state.whole),
    sisters: Boolean(state.sisters),
    correspondences: true,
  };
  if (state.image) question.image = state.image;
  else question.query = state.query;
  if (state.box) question.box = state.box.split(",").map(Number);
  return question;
}

/** Show what the URL says. */
async function show() {
  const state = stateNow();
  fillForm(state);
  const has = Boolean(state.image || state.query);
  for (const name of ["#query", "#box-keys", "#box-tools", "#box-numbers"]) find(name).hidden = !has;
  find("#search").classList.toggle("has-query", has);
  if (!has) {
    find("#answer").hidden = true;
    look.close();
    return;
  }
  showQuery(state);
  const question = questionOf(state);
  if (JSON.stringify(question) !== asked) await ask(state, question);
  if (answer) openLook(stateNow());
}

function fillForm(state) {
  for (const field of form.elements) {
    if (!field.name) continue;
    if (field.type === "radio") field.checked = field.value === (state[field.name] || "");
    else if (field.type === "checkbox") field.checked = state[field.name] === field.value;
    else if (state[field.name]) field.value = state[field.name];
    else if (field.type === "number") field.value = field.defaultValue;
  }
}

/** Where the picture that is asked about is shown. */
function pictureOf(state) {
  return state.image
    ? `/api/v1/images/${state.image}/thumbnail?side=1600&index=${encodeURIComponent(state.index)}`
    : `/api/v1/queries/${state.query}/thumbnail?side=1600`;
}

function showQuery(state) {
  const picture = find("#query-picture");
  const source = pictureOf(state);
  if (picture.getAttribute("src") !== source) {
    picture.src = source;
    const known = names.get(state.query);
    find("#query-name").textContent = known ? known.name : "";
    boxes.show(known ? [known.width, known.height] : [0, 0], boxOf(state));
  } else {
    boxes.show(boxes.size, boxOf(state));
  }
}

function boxOf(state) {
  return state.box ? state.box.split(",").map(Number) : null;
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
    answer = { ...(await response.json()), state };
  } catch (error) {
    if (error.name === "AbortError") return;
    asked = "";
    fail(error.message);
    return;
  }
  boxes.setSize([answer.width, answer.height]);
  const known = names.get(state.query);
  find("#query-name").textContent =
    `${known ? known.name : state.image ? answer.query : "Your picture"}, ${answer.width} × ${answer.height} pixels`;
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
  const seconds = Object.values(answer.seconds).reduce((sum, value) => sum + value, 0);
  find("#timing").textContent =
    `${counted(answer.features, "feature")}, ${seconds.toFixed(2)} s, generation ${answer.generation}`;
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
  const second = state.image ? { image: state.image } : { query: state.query };
  look.open({
    match,
    others: answer.matches,
    index: state.index,
    query: { source: pictureOf(state), size: [answer.width, answer.height], named: second },
    box: boxOf(state),
  });
}

/** Take a picture that the user gave. */
async function take(file) {
  say("Sending the picture …");
  const body = new FormData();
  body.append("picture", file, file.name || "pasted picture");
  try {
    const response = await request("/api/v1/queries", { method: "POST", body });
    const kept = await response.json();
    names.set(kept.key, kept);
    await go({ query: kept.key, image: null, box: null, look: null });
    // on a narrow page the answer lies below the question
    if (window.matchMedia("(max-width: 61.99rem)").matches) find("#answer").scrollIntoView();
  } catch (error) {
    fail(error.message);
  }
}

/** Say what is going on; what the page shows anyway is only for those who hear it. */
function say(text, shown = true) {
  find("#problem").hidden = true;
  find("#status").classList.toggle("quiet", !shown);
  find("#status").textContent = text;
}

function fail(text) {
  find("#status").textContent = "";
  find("#problem").hidden = false;
  find("#problem").textContent = text;
  find("#answer").hidden = true;
}

function pictureIn(transfer) {
  return [...(transfer?.files || [])].find((file) => file.type.startsWith("image/") || /\.\w+$/.test(file.name));
}

find("#file").addEventListener("change", (event) => {
  if (event.target.files.length) take(event.target.files[0]);
  event.target.value = "";
});
document.addEventListener("paste", (event) => {
  const file = pictureIn(event.clipboardData);
  if (!file) return;
  event.preventDefault();
  take(file);
});
document.addEventListener("dragover", (event) => {
  if (![...event.dataTransfer.types].includes("Files")) return;
  event.preventDefault();
  form.classList.add("dropping");
});
document.addEventListener("dragleave", (event) => {
  if (!event.relatedTarget) form.classList.remove("dropping");
});
document.addEventListener("drop", (event) => {
  form.classList.remove("dropping");
  const file = pictureIn(event.dataTransfer);
  if (!event.dataTransfer.types.includes("Files")) return;
  event.preventDefault();
  if (file) take(file);
  else fail("That is no picture file.");
});
form.addEventListener("submit", (event) => event.preventDefault());
form.addEventListener("change", (event) => {
  const field = event.target;
  if (!field.name) return;
  if (field.type === "number" && !field.reportValidity()) return;
  const on = field.type === "checkbox" ? field.checked : field.value !== field.defaultValue || field.type === "radio";
  const changes = { [field.name]: on ? field.value : null, look: null };
  if (field.name === "index" && stateNow().image) changes.image = null;
  go(changes);
});
find("#answer").addEventListener("keydown", moveAmong);
window.addEventListener("popstate", show);
show();
