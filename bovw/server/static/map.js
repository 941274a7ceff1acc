// The page of the map: map-view.js draws it; near by, pictures are loaded one by one.

import { request } from "./common.js";
import { begin } from "./map-view.js";

const find = (selector) => document.querySelector(selector);
const map = find("#map");
const SHARP = 320; // pixels of a thumbnail
const LOADING = 6; // at a time
const HELD = 400; // pictures at most
// By their numbers, those that were drawn last at the end: a picture, or null while it is loaded or
// if it cannot be; and the drawing that it was part of last.
const pictures = new Map();
let images = [];
let loading = 0;
let wanted = []; // by the drawing that is under way
let drawing = 0;
let drawn = true;
let draw = () => {};

/** A larger picture, if it is there; else it is loaded once all is drawn. */
function closer(number) {
  if (drawn) {
    drawn = false;
    drawing += 1;
    wanted = [];
    queueMicrotask(() => { drawn = true; load(); });
  }
  const held = pictures.get(number);
  if (!held) {
    wanted.push(number);
    return null;
  }
  pictures.delete(number);
  pictures.set(number, held);
  held.drawing = drawing;
  return held.picture;
}

function load() {
  while (loading < LOADING && wanted.length && hasRoom()) {
    const number = wanted.pop();
    const held = { picture: null, drawing };
    pictures.set(number, held);
    loading += 1;
    const picture = new Image();
    picture.addEventListener("load", () => { held.picture = picture; loaded(); });
    picture.addEventListener("error", loaded);
    picture.src = images[number].thumbnail;
  }
}

/** Whether one more can be held: the one goes that was not drawn for the longest time. */
function hasRoom() {
  if (pictures.size < HELD) return true;
  const [number, held] = pictures.entries().next().value;
  return held.drawing < drawing && pictures.delete(number);
}

function loaded() {
  loading -= 1;
  draw();
  load();
}

/** What the tip tells beside name and size: a link and, of a picture that is held, what is sharp. */
function told(number, tip) {
  const { key, thumbnail } = images[number];
  const parameters = new URLSearchParams({ index: map.dataset.index, image: key });
  find("#tip-alike").href = `/similar?${parameters}`;
  tip.dataset.key = key;
  if (!tip.classList.contains("pinned")) return;
  const picture = new Image();
  picture.addEventListener("load", () => {
    if (tip.dataset.key !== key) return;
    const canvas = tip.querySelector("canvas");
    [canvas.width, canvas.height, canvas.hidden] = [picture.naturalWidth, picture.naturalHeight, false];
    canvas.getContext("2d").drawImage(picture, 0, 0);
  });
  picture.src = thumbnail;
}

/** The sheets of tiny pictures; none if one is not kept any more: then there are colours. */
async function sheetsOf(urls) {
  const sheets = urls.map((url) => Object.assign(new Image(), { src: url }));
  try {
    await Promise.all(sheets.map((sheet) => sheet.decode()));
  } catch {
    return [];
  }
  return sheets;
}

async function show() {
  find("#status").textContent = "Loading …";
  const found = await (await request(`${map.dataset.url}`)).json();
  images = found.images;
  const column = (name) => images.map((image) => image[name]);
  const linked = ({ key }) => `/?${new URLSearchParams({ index: map.dataset.index, image: key, whole: 1 })}`;
  const data = {
    side: found.sheets.side,
    across: found.sheets.across,
    width: found.sheets.widths,
    height: found.sheets.heights,
    colour: found.sheets.colours,
    x: column("x"),
    y: column("y"),
    row: column("row"),
    column: column("column"),
    names: column("image"),
    facts: images.map(({ width, height }) => `${width.toLocaleString("en")} × ${height.toLocaleString("en")} pixels`),
    links: images.map(linked),
  };
  draw = begin(data, await sheetsOf(found.sheets.urls), { sharp: SHARP, closer, told });
  find("#status").textContent = "";
  map.dataset.ready = "";
}

show().catch((error) => {
  find("#status").textContent = "";
  find("#problem").hidden = false;
  find("#problem").textContent = error.message;
});
