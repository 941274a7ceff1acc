// The question of a page that asks with a picture, as its URL says it: index, image or query (keys),
// box, and the fields of the form.

import { BoxEditor } from "./box.js";
import { request } from "./common.js";

const find = (selector) => document.querySelector(selector);
const form = find("#ask");
const names = new Map(); // what uploads of this visit are called, and their sizes, by key
const boxes = new BoxEditor((box) => go({ box: box ? box.join(",") : null }));
let show = null;

/** Show what the URL says by `given`, now and whenever it has changed. */
export function begin(given) {
  show = given;
  window.addEventListener("popstate", show);
  show();
}

/** The state, as the URL has it. */
export function stateNow() {
  const state = Object.fromEntries(new URLSearchParams(location.search));
  if (!state.index) state.index = form.elements.index.value;
  return state;
}

/** Go on to another state: what is null is dropped. */
export function go(changes, replace = false) {
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

/** Show the question. Returns whether there is a picture to ask with. */
export function showQuestion(state) {
  fillForm(state);
  const has = Boolean(state.image || state.query);
  for (const name of ["#query", "#box-keys", "#box-tools", "#box-numbers"]) find(name).hidden = !has;
  find("#search").classList.toggle("has-query", has);
  if (has) showQuery(state);
  else find("#answer").hidden = true;
  return has;
}

function fillForm(state) {
  for (const field of form.elements) {
    if (!field.name) continue;
    if (field.type === "radio") field.checked = field.value === (state[field.name] || "");
    else if (field.type === "checkbox") field.checked = state[field.name] === field.value;
    else if (state[field.name]) field.value = state[field.name];
    else if (field.type === "number") field.value = field.defaultValue;
    else if (field.tagName === "SELECT" && field.name !== "index") field.selectedIndex = 0;
  }
}

/** Where the picture that is asked about is shown. */
export function pictureOf(state) {
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

/** Say what the picture is, once that is known. */
export function nameQuery(state, answer) {
  boxes.setSize([answer.width, answer.height]);
  const known = names.get(state.query);
  find("#query-name").textContent =
    `${known ? known.name : state.image ? answer.query : "Your picture"}, ${answer.width} × ${answer.height} pixels`;
}

/** The box, as numbers. */
export function boxOf(state) {
  return state.box ? state.box.split(",").map(Number) : null;
}

/** The picture, as the server knows it. */
export function named(state) {
  return state.image ? { image: state.image } : { query: state.query };
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
export function say(text, shown = true) {
  find("#problem").hidden = true;
  find("#status").classList.toggle("quiet", !shown);
  find("#status").textContent = text;
}

/** Say what went wrong. */
export function fail(text) {
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
