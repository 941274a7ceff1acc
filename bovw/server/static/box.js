// A box on the picture that is asked about, drawn by mouse, pen, touch or keys.

import { shape } from "./common.js";

const KEYS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
const STEP = 0.02;
const PAUSE = 600;
const SMALLEST = 8;

export class BoxEditor {
  /** `changed` is called with [x, y, width, height] or null, when the user pauses. */
  constructor(changed) {
    this.changed = changed;
    this.size = [0, 0];
    this.box = null;
    this.frame = document.querySelector("#frame");
    this.canvas = document.querySelector("#query-box");
    this.drawButton = document.querySelector("#draw-box");
    this.clearButton = document.querySelector("#clear-box");
    this.numbers = ["x", "y", "w", "h"].map((name) => document.querySelector(`#box-${name}`));
    this.listen();
  }

  /** Show a picture of [width, height] with a box, or without one. */
  show(size, box) {
    this.size = size;
    this.box = box;
    this.draw();
  }

  /** Take note of how large the picture is; a box that is being drawn stays. */
  setSize(size) {
    this.size = size;
    this.draw();
  }

  listen() {
    this.frame.addEventListener("pointerdown", (event) => this.begin(event));
    this.frame.addEventListener("keydown", (event) => this.press(event));
    this.drawButton.addEventListener("click", () => this.setDrawing(!this.drawing));
    this.clearButton.addEventListener("click", () => this.clear());
    for (const input of this.numbers) input.addEventListener("change", () => this.typed());
  }

  get drawing() {
    return this.drawButton.getAttribute("aria-pressed") === "true";
  }

  setDrawing(on) {
    this.drawButton.setAttribute("aria-pressed", on);
    this.frame.classList.toggle("drawing", on);
  }

  placeOf(event) {
    const { left, top, width, height } = this.frame.getBoundingClientRect();
    const x = ((event.clientX - left) / width) * this.size[0];
    const y = ((event.clientY - top) / height) * this.size[1];
    return [clamp(x, 0, this.size[0]), clamp(y, 0, this.size[1])];
  }

  begin(event) {
    if (event.button || !this.size[0] || (event.pointerType === "touch" && !this.drawing)) return;
    event.preventDefault();
    this.frame.focus({ preventScroll: true });
    this.frame.setPointerCapture(event.pointerId);
    const start = this.placeOf(event);
    const before = this.box;
    const move = (moved) => {
      const end = this.placeOf(moved);
      this.box = between(start, end);
      this.draw();
    };
    const finish = (ended) => {
      for (const name of ["pointermove", "pointerup", "pointercancel"]) {
        this.frame.removeEventListener(name, name === "pointermove" ? move : finish);
      }
      const small = !this.box || this.box[2] < SMALLEST || this.box[3] < SMALLEST;
      if (ended.type === "pointercancel" || small) this.box = before;
      this.draw();
      this.setDrawing(false);
      if (this.box !== before) this.changed(this.box);
    };
    this.frame.addEventListener("pointermove", move);
    this.frame.addEventListener("pointerup", finish);
    this.frame.addEventListener("pointercancel", finish);
  }

  press(event) {
    if (event.key === "Enter" && !this.box) {
      this.box = between(this.size.map((side) => side / 4), this.size.map((side) => (side * 3) / 4));
    } else if ((event.key === "Delete" || event.key === "Backspace") && this.box) {
      this.box = null;
    } else if (KEYS[event.key] && this.box) {
      const [x, y, width, height] = this.box;
      const [right, down] = KEYS[event.key].map((way, axis) => {
        return way * Math.max(1, Math.round(this.size[axis] * STEP));
      });
      this.box = event.shiftKey
        ? this.within(x, y, width + right, height + down)
        : this.within(clamp(x + right, 0, this.size[0] - width), clamp(y + down, 0, this.size[1] - height), width, height);
    } else return;
    event.preventDefault();
    this.draw();
    this.later();
  }

  typed() {
    const values = this.numbers.map((input) => Math.round(Number(input.value)));
    if (this.numbers.some((input) => input.value === "")) return;
    this.box = this.within(...values);
    this.draw();
    this.later();
  }

  within(x, y, width, height) {
    const left = clamp(x, 0, this.size[0] - 1);
    const top = clamp(y, 0, this.size[1] - 1);
    return [left, top, clamp(width, 1, this.size[0] - left), clamp(height, 1, this.size[1] - top)];
  }

  clear() {
    this.box = null;
    this.draw();
    this.frame.focus();
    this.changed(null);
  }

  later() {
    clearTimeout(this.timer);
    this.timer = setTimeout(() => this.changed(this.box), PAUSE);
  }

  draw() {
    const [width, height] = this.size;
    this.canvas.setAttribute("viewBox", `0 0 ${width || 1} ${height || 1}`);
    this.canvas.setAttribute("preserveAspectRatio", "none");
    this.canvas.replaceChildren();
    this.clearButton.hidden = !this.box;
    this.numbers.forEach((input, place) => {
      input.value = this.box ? this.box[place] : "";
      input.max = this.size[place % 2] || "";
    });
    if (!this.box) return;
    const [x, y, w, h] = this.box;
    const around = `M0 0H${width}V${height}H0ZM${x} ${y}h${w}v${h}h${-w}Z`;
    const place = { x, y, width: w, height: h };
    this.canvas.append(
      shape("path", { d: around }), shape("rect", { class: "under", ...place }), shape("rect", place),
    );
  }
}

function clamp(value, low, high) {
  return Math.max(low, Math.min(high, value));
}

function between([x0, y0], [x1, y1]) {
  const x = Math.floor(Math.min(x0, x1));
  const y = Math.floor(Math.min(y0, y1));
  return [x, y, Math.ceil(Math.max(x0, x1)) - x, Math.ceil(Math.max(y0, y1)) - y];
}
