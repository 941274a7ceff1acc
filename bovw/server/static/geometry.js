// Homographies as lists of nine numbers, row by row; points as [x, y] in pixels of the original
// pictures, the centre of the first pixel being (0, 0).

/** The point that a homography maps a point to. */
export function mapped(h, [x, y]) {
  const w = h[6] * x + h[7] * y + h[8];
  return [(h[0] * x + h[1] * y + h[2]) / w, (h[3] * x + h[4] * y + h[5]) / w];
}

/** The inverse of a homography. */
export function inverse(h) {
  const [a, b, c, d, e, f, g, i, j] = h;
  const found = [
    e * j - f * i, c * i - b * j, b * f - c * e,
    f * g - d * j, a * j - c * g, c * d - a * f,
    d * i - e * g, b * g - a * i, a * e - b * d,
  ];
  return found.map((value) => value / found[8]);
}

/** Pixels that a pixel at a point becomes, as a ratio of lengths. */
export function scaleAt(h, point) {
  const [x, y] = mapped(h, point);
  const [rightX, rightY] = mapped(h, [point[0] + 1, point[1]]);
  const [downX, downY] = mapped(h, [point[0], point[1] + 1]);
  const area = (rightX - x) * (downY - y) - (rightY - y) * (downX - x);
  return Math.sqrt(Math.abs(area)) || 1;
}

/** Whether a homography is an affine transform, as far as one can see in a picture of this size. */
export function isAffine(h, [width, height]) {
  return Math.abs(h[6]) * width + Math.abs(h[7]) * height < 1e-3;
}

/** The affine transform of three points to three others, as a canvas takes it. */
export function affineOf([[x0, y0], [x1, y1], [x2, y2]], [[u0, v0], [u1, v1], [u2, v2]]) {
  const area = (x1 - x0) * (y2 - y0) - (x2 - x0) * (y1 - y0);
  const a = ((u1 - u0) * (y2 - y0) - (u2 - u0) * (y1 - y0)) / area;
  const c = ((u2 - u0) * (x1 - x0) - (u1 - u0) * (x2 - x0)) / area;
  const b = ((v1 - v0) * (y2 - y0) - (v2 - v0) * (y1 - y0)) / area;
  const d = ((v2 - v0) * (x1 - x0) - (v1 - v0) * (x2 - x0)) / area;
  return [a, b, c, d, u0 - a * x0 - c * y0, v0 - b * x0 - d * y0];
}

/** The corners of a picture, around its pixels. */
export function cornersOf([width, height]) {
  return [[-0.5, -0.5], [width - 0.5, -0.5], [width - 0.5, height - 0.5], [-0.5, height - 0.5]];
}
