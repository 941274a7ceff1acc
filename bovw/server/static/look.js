// A match, looked at closely: both pictures side by side or laid over each other, moved together
// through the homography, with what agrees and what differs.

import { placeOf, posted, request, save, verdictOf } from "./common.js";
import { inverse, mapped, scaleAt } from "./geometry.js";
import { BOX, crosshair, frames, laidOver, lines, outline, picture } from "./stage.js";

const find = (selector) => document.querySelector(selector);
const STEP = 60;
const CLOSEST = 40;

export class Look {
  /** `closed` is called when the user closes it, `moved` with the key of another match. */
  constructor(closed, moved) {
    this.closed = closed;
    this.moved = moved;
    this.dialog = find("#look");
    this.stage = find("#stage");
    this.shown = null;
    this.pointers = new Map();
    this.listen();
  }

  /** Show a match of a query, with its box or null. */
  open(shown) {
    const same = this.shown && this.shown.match.key === shown.match.key && this.shown.query.source === shown.query.source;
    if (same && this.dialog.open) return;
    this.shown = shown;
    const { match, index, query } = shown;
    const [, word] = verdictOf(match);
    find("#look-title").textContent = shown.title || match.image;
    find("#look-words").textContent = [word, placeOf(match)].filter(Boolean).join(": ");
    this.stage.setAttribute("aria-label", `The query beside ${match.image}. ${word}. ${placeOf(match)}`);
    find("#differences").checked = false;
    find("#differences").disabled = !match.homography;
    find('[name="view"][value="over"]').disabled = !match.homography;
    find('[name="view"][value="beside"]').checked = true;
    find("#fade-label").hidden = true;
    find("#lines-label").hidden = false;
    find("#stage-state").textContent = "";
    find("#stage-place").textContent = "";
    this.found = null;
    this.pointed = null;
    this.query = { size: query.size, image: this.load(query.source) };
    const source = `/api/v1/images/${match.key}/thumbnail?side=1600&index=${encodeURIComponent(index)}`;
    this.image = { size: [match.width, match.height], image: this.load(source) };
    this.forward = match.homography || scaled(query.size, this.image.size);
    this.backward = inverse(this.forward);
    this.returnTo = document.activeElement;
    if (!this.dialog.open) this.dialog.showModal();
    this.resize();
    this.showAll();
    this.stage.focus();
  }

  /** Close it, if it is open. */
  close() {
    this.shown = null;
    if (this.dialog.open) this.dialog.close();
  }

  load(source) {
    const image = new Image();
    image.addEventListener("load", () => this.draw());
    image.addEventListener("error", () => { find("#stage-state").textContent = "A picture cannot be shown."; });
    image.src = source;
    return image;
  }

  listen() {
    this.dialog.addEventListener("close", () => {
      this.returnTo?.focus?.();
      if (this.shown) this.closed();
    });
    find("#look-close").addEventListener("click", () => this.dialog.close());
    find("#zoom-in").addEventListener("click", () => this.zoomMiddle(1.5));
    find("#zoom-out").addEventListener("click", () => this.zoomMiddle(1 / 1.5));
    find("#zoom-all").addEventListener("click", () => this.showAll());
    find("#fade").addEventListener("input", () => this.draw());
    find("#lines").addEventListener("change", () => this.draw());
    find("#differences").addEventListener("change", () => this.compare());
    find("#save-drawing").addEventListener("click", () => this.saveDrawing());
    find("#save-json").addEventListener("click", () => this.saveJson());
    for (const radio of document.querySelectorAll('[name="view"]')) {
      radio.addEventListener("change", () => {
        find("#fade-label").hidden = !this.over;
        find("#lines-label").hidden = this.over;
        this.showAll();
      });
    }
    this.stage.addEventListener("keydown", (event) => this.press(event));
    this.stage.addEventListener("wheel", (event) => this.wheel(event), { passive: false });
    this.stage.addEventListener("pointerdown", (event) => this.grab(event));
    this.stage.addEventListener("pointermove", (event) => this.drag(event));
    for (const name of ["pointerup", "pointercancel"]) {
      this.stage.addEventListener(name, (event) => this.pointers.delete(event.pointerId));
    }
    this.stage.addEventListener("pointerleave", () => { this.pointed = null; this.draw(); });
    new ResizeObserver(() => { if (this.shown && this.resize()) this.showAll(); }).observe(this.stage);
  }

  get over() {
    return find('[name="view"][value="over"]').checked;
  }

  /** Fit the canvas to its place. Returns whether that changed it. */
  resize() {
    const ratio = window.devicePixelRatio || 1;
    const [width, height] = [this.stage.clientWidth, this.stage.clientHeight];
    const before = [this.stage.width, this.stage.height];
    this.stage.width = Math.round(width * ratio);
    this.stage.height = Math.round(height * ratio);
    this.ratio = ratio;
    return before[0] !== this.stage.width || before[1] !== this.stage.height;
  }

  /** The parts of the stage: [left, top, width, height] of the query and of the image. */
  panes() {
    const [width, height] = [this.stage.clientWidth, this.stage.clientHeight];
    if (this.over) return { image: [0, 0, width, height] };
    const gap = 4;
    return width >= height
      ? { query: [0, 0, (width - gap) / 2, height], image: [(width + gap) / 2, 0, (width - gap) / 2, height] }
      : { query: [0, 0, width, (height - gap) / 2], image: [0, (height + gap) / 2, width, (height - gap) / 2] };
  }

  /** Show all of both pictures. */
  showAll() {
    if (!this.shown) return;
    this.views = {};
    for (const [name, pane] of Object.entries(this.panes())) {
      const [width, height] = this[name].size;
      const zoom = 0.94 * Math.min(pane[2] / width, pane[3] / height);
      this.views[name] = { centre: [(width - 1) / 2, (height - 1) / 2], zoom };
    }
    this.draw();
  }

  /** Which part of the stage a place of it is in. */
  paneAt(x, y) {
    return Object.entries(this.panes()).find(([, [left, top, width, height]]) => (
      x >= left && x < left + width && y >= top && y < top + height
    ))?.[0];
  }

  /** The place of a picture that is shown at a place of the stage, and the other way round. */
  pointAt(name, x, y) {
    const [left, top, width, height] = this.panes()[name];
    const { centre, zoom } = this.views[name];
    return [centre[0] + (x - left - width / 2) / zoom, centre[1] + (y - top - height / 2) / zoom];
  }

  placeOn(name, [x, y]) {
    const [left, top, width, height] = this.panes()[name];
    const { centre, zoom } = this.views[name];
    return [left + width / 2 + (x - centre[0]) * zoom, top + height / 2 + (y - centre[1]) * zoom];
  }

  /** What leads from a picture to the other one. */
  leads(name) {
    return name === "query" ? this.forward : this.backward;
  }

  /** Zoom by a factor about a place of the stage; the other picture follows. */
  zoom(factor, x, y) {
    const name = this.paneAt(x, y);
    if (!name) return;
    const view = this.views[name];
    const point = this.pointAt(name, x, y);
    const zoom = Math.max(0.02, Math.min(CLOSEST, view.zoom * factor));
    const kept = view.zoom / zoom;
    view.centre = view.centre.map((value, axis) => point[axis] + (value - point[axis]) * kept);
    view.zoom = zoom;
    this.follow(name);
  }

  zoomMiddle(factor) {
    const [left, top, width, height] = this.panes().image;
    this.zoom(factor, left + width / 2, top + height / 2);
  }

  pan(name, right, down) {
    const view = this.views[name];
    view.centre = [view.centre[0] - right / view.zoom, view.centre[1] - down / view.zoom];
    this.follow(name);
  }

  /** Have the other picture show the same place at the same size. */
  follow(name) {
    const other = name === "query" ? "image" : "query";
    const view = this.views[name];
    if (this.views[other]) {
      const way = this.leads(name);
      const centre = mapped(way, view.centre);
      const zoom = view.zoom / scaleAt(way, view.centre);
      if ([...centre, zoom].every(Number.isFinite)) this.views[other] = { centre, zoom };
    }
    this.draw();
  }

  press(event) {
    const moves = { ArrowLeft: [STEP, 0], ArrowRight: [-STEP, 0], ArrowUp: [0, STEP], ArrowDown: [0, -STEP] };
    if (moves[event.key]) this.pan("image", ...moves[event.key]);
    else if (event.key === "+" || event.key === "=") this.zoomMiddle(1.25);
    else if (event.key === "-") this.zoomMiddle(0.8);
    else if (event.key === "0") this.showAll();
    else if (event.key === "n" || event.key === "p") this.step(event.key === "n" ? 1 : -1);
    else return;
    event.preventDefault();
  }

  /** Go on to the next match, or back. */
  step(way) {
    const { others, match } = this.shown;
    const next = others[others.indexOf(match) + way];
    if (next) this.moved(next.key);
  }

  wheel(event) {
    event.preventDefault();
    this.zoom(Math.exp(-event.deltaY * 0.002), event.offsetX, event.offsetY);
  }

  grab(event) {
    this.stage.setPointerCapture(event.pointerId);
    this.pointers.set(event.pointerId, [event.offsetX, event.offsetY]);
    this.drag(event);
  }

  drag(event) {
    const at = [event.offsetX, event.offsetY];
    const before = this.pointers.get(event.pointerId);
    if (before) {
      const others = [...this.pointers].filter(([id]) => id !== event.pointerId).map(([, place]) => place);
      this.pointers.set(event.pointerId, at);
      if (others.length) {
        const was = Math.hypot(before[0] - others[0][0], before[1] - others[0][1]) || 1;
        this.zoom(Math.hypot(at[0] - others[0][0], at[1] - others[0][1]) / was, ...others[0]);
      } else {
        const name = this.paneAt(...before);
        if (name && (at[0] !== before[0] || at[1] !== before[1])) this.pan(name, at[0] - before[0], at[1] - before[1]);
      }
    }
    this.point(at);
  }

  /** Mark a place in both pictures. */
  point([x, y]) {
    const name = this.paneAt(x, y);
    if (!name || !this.shown) return;
    const here = this.pointAt(name, x, y);
    const there = mapped(this.leads(name), here);
    this.pointed = name === "query" ? { query: here, image: there } : { query: there, image: here };
    const shown = (point) => point.map((value) => Math.round(value)).join(", ");
    find("#stage-place").textContent = this.shown.match.homography
      ? `query ${shown(this.pointed.query)} ↔ image ${shown(this.pointed.image)}`
      : `${name} ${shown(here)}`;
    this.draw();
  }

  draw() {
    if (!this.shown || this.waiting) return;
    this.waiting = true;
    requestAnimationFrame(() => {
      this.waiting = false;
      if (this.shown) this.paint();
    });
  }

  paint() {
    const context = this.stage.getContext("2d");
    const { match } = this.shown;
    context.setTransform(this.ratio, 0, 0, this.ratio, 0, 0);
    context.clearRect(0, 0, this.stage.clientWidth, this.stage.clientHeight);
    const panes = this.panes();
    const places = Object.fromEntries(Object.keys(panes).map((name) => [name, (point) => this.placeOn(name, point)]));
    const boxes = find("#differences").checked && this.found ? this.found : [];
    const { box } = this.shown;
    for (const [name, pane] of Object.entries(panes)) {
      context.save();
      context.beginPath();
      context.rect(...pane);
      context.clip();
      picture(context, this[name], places[name]);
      if (this.over) laidOver(context, this.query, this.forward, places.image, find("#fade").value / 100);
      if (name === "image" && match.outline) outline(context, match.outline, match.verified, places.image);
      frames(context, boxes, (point) => places[name](name === "query" ? mapped(this.backward, point) : point));
      if (name === "query" && box) frames(context, [box], places.query, BOX);
      if (this.pointed && match.homography) crosshair(context, places[name](this.pointed[name]));
      context.restore();
    }
    if (find("#lines").checked && !this.over) {
      lines(context, match.correspondences, match.verified, places, panes);
    }
  }

  /** The pictures, as the server knows them. */
  sides() {
    const { index, match, query, box } = this.shown;
    return { index, first: { image: match.key }, second: query.named, ...(box && { box }) };
  }

  async compare() {
    const shown = this.shown;
    if (find("#differences").checked && !this.found) {
      find("#stage-state").textContent = "Comparing …";
      try {
        const answer = await (await request("/api/v1/compare", posted(this.sides()))).json();
        if (this.shown !== shown) return;
        this.found = (answer.differences || []).map((each) => each.box);
        const count = this.found.length;
        find("#stage-state").textContent = answer.differences === null
          ? "The two pictures alone do not agree for certain, so they are not compared."
          : `${count} ${count === 1 ? "place differs" : "places differ"}${shown.box ? " within the box" : ""}.`;
      } catch (error) {
        find("#stage-state").textContent = error.message;
      }
    }
    this.draw();
  }

  async saveDrawing() {
    const draw = find("#differences").checked ? "differences" : "match";
    find("#stage-state").textContent = "Drawing …";
    try {
      const answer = await request("/api/v1/compare", posted({ ...this.sides(), draw }));
      save(await answer.blob(), `${draw}.png`);
      find("#stage-state").textContent = "";
    } catch (error) {
      find("#stage-state").textContent = error.message;
    }
  }

  saveJson() {
    const text = JSON.stringify(this.shown.match, null, 1);
    save(new Blob([text], { type: "application/json" }), "match.json");
  }
}

/** What lays a picture of a size onto one of another size, where nothing is known of them. */
function scaled([width, height], [otherWidth, otherHeight]) {
  const [across, down] = [otherWidth / width, otherHeight / height];
  return [across, 0, (across - 1) / 2, 0, down, (down - 1) / 2, 0, 0, 1];
}
