// The page of the map: map-view.js draws it; near by, pictures are loaded one by one.

import { request } from "./common.js";
import { begin } from "./map-view.js";

const find = (selector) => document.querySelector(selector);
const map = find("#map");
const SHARP = 320; // pixels of a thumbnail
const LOADING = 6; // at a time
const HELD = 400; // pictures at most
const pictures = new Map(); // by their numbers: an image, or null while it is loaded or cannot be
let images = [];
let loading = 0;
let wanted = [];
let draw = () => {};

/** A larger picture, if it is there; else it is loaded, after those that were wanted later. */
function closer(number) {
  if (pictures.has(number)) {
    const picture = pictures.get(number);
    pictures.delete(number); // and is now the last to go
    pictures.set(number, picture);
    return picture;
  }
  wanted.push(number);
  load();
  return null;
}

function load() {
  wanted = wanted.slice(-HELD);
  while (loading < LOADING && wanted.length) {
    const number = wanted.pop();
    if (pictures.has(number)) continue;
    pictures.set(number, null);
    loading += 1;
    const picture = new Image();
    picture.addEventListener("load", () => {
      pictures.set(number, picture);
      while (pictures.size > HELD) pictures.delete(pictures.keys().next().value);
      loaded();
    });
    picture.addEventListener("error", loaded);
    picture.src = images[number].thumbnail;
  }
}

function loaded() {
  loading -= 1;
  draw();
  load();
}

/** What the tip tells beside name and size. */
function told(number) {
  const { key } = images[number];
  const parameters = new URLSearchParams({ index: map.dataset.index, image: key });
  find("#tip-alike").href = `/similar?${parameters}`;
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
}

show().catch((error) => {
  find("#status").textContent = "";
  find("#problem").hidden = false;
  find("#problem").textContent = error.message;
});
