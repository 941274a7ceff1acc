// What is drawn of a match. `place` gives the place on the stage of a point of a picture.

import { affineOf, cornersOf, isAffine, mapped } from "./geometry.js";

const YES = "#2fe07f";
const MAYBE = "#ffa53a";
const DIFFERENT = "#ff5a52";
/** The colour of the box that was asked about. */
export const BOX = "#ffd400";
const LINES = 60;
const PARTS = 16;

/** A picture where it belongs. */
export function picture(context, { size, image }, place) {
  if (!image.complete || !image.naturalWidth) return;
  const [[left, top], , [right, bottom]] = cornersOf(size).map(place);
  context.imageSmoothingEnabled = (right - left) / size[0] < 4;
  context.drawImage(image, left, top, right - left, bottom - top);
}

/** The query laid over the image through a homography, seen through. */
export function laidOver(context, { size, image }, forward, place, opacity) {
  if (!image.complete || !image.naturalWidth || !opacity) return;
  const parts = isAffine(forward, size) ? 1 : PARTS;
  const [across, down] = [size[0] / parts, size[1] / parts];
  const [pixelsX, pixelsY] = [image.naturalWidth / size[0], image.naturalHeight / size[1]];
  const layer = new OffscreenCanvas(context.canvas.width, context.canvas.height);
  const draw = layer.getContext("2d");
  for (let row = 0; row < parts; row += 1) {
    for (let column = 0; column < parts; column += 1) {
      const [x, y] = [column * across, row * down];
      const corners = [[x, y], [x + across, y], [x + across, y + down], [x, y + down]];
      const halves = parts === 1 ? [[0, 1, 3]] : [[0, 1, 3], [2, 3, 1]];
      for (const half of halves) {
        triangle(draw, context, image, corners, half, parts === 1, forward, place, [pixelsX, pixelsY]);
      }
    }
  }
  context.save();
  context.setTransform(1, 0, 0, 1, 0, 0);
  context.globalAlpha = opacity;
  context.drawImage(layer, 0, 0);
  context.restore();
}

function triangle(draw, context, image, corners, half, whole, forward, place, [pixelsX, pixelsY]) {
  const from = half.map((corner) => corners[corner]);
  const to = from.map(([x, y]) => place(mapped(forward, [x - 0.5, y - 0.5])));
  if (!to.flat().every(Number.isFinite)) return;
  const source = from.map(([x, y]) => [x * pixelsX, y * pixelsY]);
  draw.save();
  draw.setTransform(context.getTransform());
  if (!whole) {
    // a little larger, so that no seams are seen
    const middle = [0, 1].map((axis) => (to[0][axis] + to[1][axis] + to[2][axis]) / 3);
    draw.beginPath();
    for (const point of to) {
      const [right, lower] = [point[0] - middle[0], point[1] - middle[1]];
      const grown = 1 + 0.7 / (Math.hypot(right, lower) || 1);
      draw.lineTo(middle[0] + right * grown, middle[1] + lower * grown);
    }
    draw.clip();
  }
  draw.transform(...affineOf(source, to));
  draw.drawImage(image, 0, 0);
  draw.restore();
}

/** Where the query lies in the image. */
export function outline(context, corners, verified, place) {
  const way = new Path2D();
  for (const corner of corners) way.lineTo(...place(corner));
  way.closePath();
  context.setLineDash(verified ? [] : [8, 5]);
  stroke(context, way, verified ? YES : MAYBE, 2.5);
  context.setLineDash([]);
}

/** Lines between the places that agree, where both are seen. */
export function lines(context, correspondences, verified, places, panes) {
  const every = Math.max(1, Math.ceil(correspondences.length / LINES));
  context.lineWidth = 1.2;
  for (let number = 0; number < correspondences.length; number += every) {
    const [x, y, u, v] = correspondences[number];
    const [start, end] = [places.query([x, y]), places.image([u, v])];
    const seen = [inside(start, panes.query), inside(end, panes.image)];
    context.strokeStyle = verified ? YES : MAYBE;
    context.fillStyle = context.strokeStyle;
    if (seen[0] && seen[1]) {
      context.globalAlpha = 0.55;
      context.stroke(new Path2D(`M${start[0]} ${start[1]}L${end[0]} ${end[1]}`));
      context.globalAlpha = 1;
    }
    for (const [point, shown] of [[start, seen[0]], [end, seen[1]]]) {
      if (!shown) continue;
      context.beginPath();
      context.arc(...point, 3, 0, 2 * Math.PI);
      context.fill();
    }
  }
}

function inside([x, y], [left, top, width, height]) {
  return x >= left && x <= left + width && y >= top && y <= top + height;
}

/** Frames around [x, y, width, height] boxes. */
export function frames(context, boxes, place, colour = DIFFERENT) {
  for (const [x, y, width, height] of boxes) {
    const way = new Path2D();
    for (const point of [[x, y], [x + width, y], [x + width, y + height], [x, y + height]]) {
      way.lineTo(...place([point[0] - 0.5, point[1] - 0.5]));
    }
    way.closePath();
    stroke(context, way, colour, 2.5);
  }
}

/** A cross at a place of the stage. */
export function crosshair(context, [x, y]) {
  if (!Number.isFinite(x + y)) return;
  stroke(context, new Path2D(`M${x - 14} ${y}h10M${x + 4} ${y}h10M${x} ${y - 14}v10M${x} ${y + 4}v10`), "#fff", 2);
}

function stroke(context, way, colour, width) {
  context.lineJoin = "round";
  context.strokeStyle = "#000b";
  context.lineWidth = width + 2.5;
  context.stroke(way);
  context.strokeStyle = colour;
  context.lineWidth = width;
  context.stroke(way);
}
