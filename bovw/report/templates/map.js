// The map of a collection: pan, zoom, hover, click. All lengths in the world are in cells of the
// grid; a thumbnail is one cell large until it is as large on the screen as it is sharp.

const canvas = document.getElementById("canvas");
const context = canvas.getContext("2d", { alpha: false });
const tip = document.getElementById("tip");
const ROOM = 4; // the map has so many times the area of the grid
let data, sheets, count = 0, names = [];
let places; // of the map, in cells
let shown; // where each thumbnail is now: between map and grid
let matched; // by the name that is looked for
let hooks = { sharp: 0, closer: () => null, told: () => {} };
const view = { scale: 1, left: 0, top: 0 }; // pixels of a cell; the world at the upper left corner
const GAP = 0.06, FLIGHT = 500, DOT = 5;
const NEAR = 48; // pixels from which on a picture is worth a larger one
let width = 0, height = 0, ratio = 1;
let inGrid = false, blend = 0, flight = 0, planned = 0, stale = true;
let pinned = -1, hovered = -1, moved = false;
let levels = []; // the sheets in full, half, quarter size and so on: for what is seen from afar
// While the view moves, the last drawing is moved with it if a new one would take too long.
const still = document.createElement("canvas"), then = { scale: 0, left: 0, top: 0 };
const PATIENCE = 20, REST = 120; // milliseconds
let cost = 0, resting = 0, moving = false;

function range(values) {
  let low = Infinity, high = -Infinity;
  for (const value of values) {
    low = Math.min(low, value);
    high = Math.max(high, value);
  }
  return [low, high];
}

function spread() { // positions of any unit in cells
  const [left, right] = range(data.x), [top, bottom] = range(data.y);
  const most = Math.max(right - left, bottom - top); // all may lie on a line, or in one place
  const across = Math.max(right - left, most / 4) + 1e-9, down = Math.max(bottom - top, most / 4) + 1e-9;
  const unit = Math.sqrt(ROOM * count / (across * down));
  places = { x: data.x.map((x) => (x - left) * unit), y: data.y.map((y) => (y - top) * unit) };
}

function layout() {
  const smooth = blend * blend * (3 - 2 * blend);
  for (let i = 0; i < count; i++) {
    shown[2 * i] = places.x[i] + (data.column[i] - places.x[i]) * smooth;
    shown[2 * i + 1] = places.y[i] + (data.row[i] - places.y[i]) * smooth;
  }
}

function side() { // of a thumbnail, in pixels of the page
  const sharp = (hooks.sharp || data.side) / ratio;
  return blend === 1 ? view.scale * (1 - GAP) : Math.min(view.scale, Math.max(sharp, 64));
}

function move() { // the view has changed, and may go on to change
  moving = true;
  clearTimeout(resting);
  resting = setTimeout(() => { moving = false; plan(); }, REST);
  plan();
}

function plan(marks = false) { // to draw all anew, or but the marks of what is pointed at
  stale ||= !marks;
  if (data && !planned) planned = requestAnimationFrame(draw);
}

function draw(now) {
  planned = 0;
  if (blend !== Number(inGrid)) {
    const share = Math.min(1, (now - flight) / FLIGHT);
    blend = inGrid ? share : 1 - share;
    layout();
    plan();
  }
  const style = getComputedStyle(canvas);
  context.setTransform(ratio, 0, 0, ratio, 0, 0);
  context.fillStyle = style.backgroundColor;
  context.fillRect(0, 0, width, height);
  if (moving && cost > PATIENCE && blend === Number(inGrid)) {
    const grown = view.scale / then.scale;
    context.drawImage(still, (then.left - view.left) * view.scale, (then.top - view.top) * view.scale,
      width * grown, height * grown);
    return;
  }
  if (stale) {
    stale = false;
    const begun = performance.now();
    drawAll();
    Object.assign(then, view);
    still.width = canvas.width;
    still.height = canvas.height;
    still.getContext("2d", { alpha: false }).drawImage(canvas, 0, 0);
    cost = performance.now() - begun;
  } else {
    context.drawImage(still, 0, 0, width, height);
  }
  for (const i of [hovered, pinned]) {
    if (i < 0) continue;
    const unit = side() / data.side;
    const w = Math.max(data.width[i] * unit, 4), h = Math.max(data.height[i] * unit, 4);
    const x = (shown[2 * i] - view.left) * view.scale - w / 2;
    const y = (shown[2 * i + 1] - view.top) * view.scale - h / 2;
    context.strokeStyle = style.color;
    context.lineWidth = 3;
    context.strokeRect(x, y, w, h);
  }
}

function drawAll() {
  const size = side(), half = size / 2, unit = size / data.side;
  const level = Math.max(0, Math.min(levels.length - 1, Math.floor(-Math.log2(unit * ratio))));
  const source = levels[level], shrink = 2 ** level;
  for (let i = 0; i < count; i++) {
    const x = (shown[2 * i] - view.left) * view.scale, y = (shown[2 * i + 1] - view.top) * view.scale;
    if (x < -half || y < -half || x > width + half || y > height + half) continue;
    const w = data.width[i] * unit, h = data.height[i] * unit;
    context.globalAlpha = matched[i] ? 1 : 0.1;
    const closer = size * ratio > Math.max(data.side, NEAR) && hooks.closer(i);
    if (closer) {
      context.drawImage(closer, x - w / 2, y - h / 2, w, h);
    } else if (size < DOT || !source?.[Math.floor(i / (data.across * data.across))]) {
      context.fillStyle = data.colour[i];
      context.fillRect(x - w / 2, y - h / 2, Math.max(w, 2), Math.max(h, 2));
    } else {
      const place = i % (data.across * data.across);
      const left = (place % data.across) * data.side, top = Math.floor(place / data.across) * data.side;
      context.drawImage(source[Math.floor(i / (data.across * data.across))],
        left / shrink, top / shrink, data.width[i] / shrink, data.height[i] / shrink,
        x - w / 2, y - h / 2, w, h);
    }
  }
  context.globalAlpha = 1;
}

function at(x, y) { // the picture that is seen at a place of the page, or -1
  if (!count) return -1;
  const unit = Math.max(side(), DOT) / data.side / 2;
  for (let i = count - 1; i >= 0; i--) {
    const dx = Math.abs((shown[2 * i] - view.left) * view.scale - x);
    const dy = Math.abs((shown[2 * i + 1] - view.top) * view.scale - y);
    if (matched[i] && dx <= data.width[i] * unit && dy <= data.height[i] * unit) return i;
  }
  return -1;
}

function fit() { // all of it
  if (!count) return;
  const [left, right] = range(inGrid ? data.column : places.x);
  const [top, bottom] = range(inGrid ? data.row : places.y);
  view.scale = Math.min(width / (right - left + 1.5), height / (bottom - top + 1.5), 2 * data.side);
  view.left = (left + right) / 2 - width / view.scale / 2;
  view.top = (top + bottom) / 2 - height / view.scale / 2;
  plan();
}

function zoom(factor, x, y) { // about a place of the page
  if (!data) return;
  const scale = Math.min(Math.max(view.scale * factor, 0.5), 40 * data.side);
  view.left += x / view.scale - x / scale;
  view.top += y / view.scale - y / scale;
  view.scale = scale;
  move();
}

function resize() {
  if (!data) return;
  ratio = window.devicePixelRatio || 1;
  const box = canvas.getBoundingClientRect();
  const first = !width;
  width = box.width;
  height = box.height;
  canvas.width = Math.round(width * ratio);
  canvas.height = Math.round(height * ratio);
  if (first) fit();
  plan();
}

function tell(i, x, y) { // what a picture is, beside it
  tip.hidden = i < 0;
  if (i < 0) return;
  const place = i % (data.across * data.across), image = tip.querySelector("canvas");
  const factor = Math.min(2, 256 / data.side);
  image.width = data.width[i] * factor;
  image.height = data.height[i] * factor;
  const sheet = sheets[Math.floor(i / (data.across * data.across))];
  image.hidden = !sheet;
  if (sheet) image.getContext("2d").drawImage(sheet, (place % data.across) * data.side,
    Math.floor(place / data.across) * data.side, data.width[i], data.height[i], 0, 0, image.width, image.height);
  tip.querySelector("b").textContent = data.names[i];
  tip.querySelector("span").textContent = data.facts[i];
  const link = tip.querySelector("a");
  link.hidden = !data.links[i];
  link.href = data.links[i] || "#";
  tip.classList.toggle("pinned", i === pinned);
  hooks.told(i, tip);
  const box = tip.getBoundingClientRect();
  tip.style.left = `${Math.max(4, x + 16 + box.width > width ? x - 16 - box.width : x + 16)}px`;
  tip.style.top = `${Math.max(4, Math.min(y + 16, height - box.height - 4))}px`;
}

function pinMiddle() { // the picture that is nearest to the middle of the page
  let best = -1, least = Infinity;
  for (let i = 0; i < count; i++) {
    const away = Math.hypot((shown[2 * i] - view.left) * view.scale - width / 2,
      (shown[2 * i + 1] - view.top) * view.scale - height / 2);
    if (matched[i] && away < least) [best, least] = [i, away];
  }
  pin(best, width / 2, height / 2);
}

function pin(i, x, y) {
  pinned = i;
  tell(i, x, y);
  plan(true);
}

const touches = new Map();
canvas.addEventListener("pointerdown", (event) => {
  canvas.setPointerCapture(event.pointerId);
  touches.set(event.pointerId, [event.offsetX, event.offsetY]);
  moved = touches.size > 1;
});
canvas.addEventListener("pointermove", (event) => {
  const x = event.offsetX, y = event.offsetY, before = touches.get(event.pointerId);
  if (!before) {
    const found = at(x, y);
    if (found !== hovered) plan(true);
    hovered = found;
    canvas.style.cursor = found < 0 ? "grab" : "pointer";
    if (pinned < 0) tell(found, x, y);
    return;
  }
  if (touches.size === 2) {
    const [other] = [...touches].filter(([id]) => id !== event.pointerId).map(([, place]) => place);
    const away = (p) => Math.hypot(p[0] - other[0], p[1] - other[1]) || 1;
    zoom(away([x, y]) / away(before), (x + other[0]) / 2, (y + other[1]) / 2);
  }
  if (moved || Math.hypot(x - before[0], y - before[1]) > 3) {
    moved = true;
    view.left -= (x - before[0]) / view.scale / touches.size;
    view.top -= (y - before[1]) / view.scale / touches.size;
    touches.set(event.pointerId, [x, y]);
    hovered = -1;
    pin(-1);
    move();
  }
});
canvas.addEventListener("pointerup", (event) => {
  touches.delete(event.pointerId);
  if (!moved) pin(at(event.offsetX, event.offsetY), event.offsetX, event.offsetY);
});
canvas.addEventListener("pointercancel", (event) => touches.delete(event.pointerId));
canvas.addEventListener("pointerleave", () => {
  hovered = -1;
  if (pinned < 0) tell(-1);
  plan(true);
});
canvas.addEventListener("wheel", (event) => {
  event.preventDefault();
  pin(-1);
  const lines = event.deltaMode ? 30 : 1;
  zoom(Math.exp(-event.deltaY * lines * 0.0015), event.offsetX, event.offsetY);
}, { passive: false });
canvas.addEventListener("keydown", (event) => {
  const step = 60 / view.scale;
  if (event.key === "Enter") {
    pinMiddle();
    return;
  }
  const keys = {
    "+": () => zoom(1.25, width / 2, height / 2), "=": () => zoom(1.25, width / 2, height / 2),
    "-": () => zoom(0.8, width / 2, height / 2), "0": fit, Escape: () => pin(-1),
    ArrowLeft: () => { view.left -= step; }, ArrowRight: () => { view.left += step; },
    ArrowUp: () => { view.top -= step; }, ArrowDown: () => { view.top += step; },
  };
  if (!keys[event.key] || event.ctrlKey || event.metaKey) return;
  event.preventDefault();
  pin(-1);
  keys[event.key]();
  move();
});

document.getElementById("fit").addEventListener("click", fit);
document.getElementById("grid").addEventListener("change", (event) => {
  inGrid = event.target.checked;
  flight = performance.now();
  pin(-1);
  fit();
});
document.getElementById("find").addEventListener("input", (event) => {
  const wanted = event.target.value.trim().toLowerCase();
  let hits = 0;
  for (let i = 0; i < count; i++) hits += matched[i] = Number(names[i].includes(wanted));
  document.getElementById("hits").textContent = wanted ? `${hits.toLocaleString("en")} found` : "";
  pin(-1);
  plan();
});
window.addEventListener("resize", resize);
window.matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => plan());

/** Show a map. `more` has hooks: `closer(i)` gives a larger picture than the sheets have, or null,
    of `sharp` pixels; `told(i, tip)` fills in what the tip tells. Returns what draws anew. */
export function begin(given, sheetsGiven, more = {}) {
  [data, sheets, count] = [given, sheetsGiven, given.x.length];
  hooks = { ...hooks, ...more };
  names = data.names.map((name) => name.toLowerCase());
  shown = new Float64Array(2 * count);
  matched = new Uint8Array(count).fill(1);
  spread();
  layout();
  resize();
  shrinkSheets();
  return plan;
}

async function shrinkSheets() {
  await Promise.all(sheets.map((sheet) => sheet.decode()));
  const made = [];
  for (const shrink of [1, 2, 4, 8]) {
    made.push(await Promise.all(sheets.map((sheet) => createImageBitmap(sheet, {
      resizeWidth: Math.ceil(sheet.naturalWidth / shrink),
      resizeHeight: Math.ceil(sheet.naturalHeight / shrink),
      resizeQuality: "high",
    }))));
  }
  levels = made;
  plan();
}
