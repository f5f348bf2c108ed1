// Rotations as 3 × 3 matrices, rows first, from directions in the crystal to those of the screen: right, up, out.

export const dot = (a, b) => a[0] * b[0] + a[1] * b[1] + a[2] * b[2];

export const cross = (a, b) => [a[1] * b[2] - a[2] * b[1], a[2] * b[0] - a[0] * b[2], a[0] * b[1] - a[1] * b[0]];

export const scaled = (a, factor) => [a[0] * factor, a[1] * factor, a[2] * factor];

export const added = (a, b) => [a[0] + b[0], a[1] + b[1], a[2] + b[2]];

export const unit = (a) => scaled(a, 1 / (Math.hypot(...a) || 1));

export const apply = (rotation, vector) => rotation.map((row) => dot(row, vector));

/** First `second`, then `first`. */
export const product = (first, second) => {
  const columns = [0, 1, 2].map((column) => second.map((row) => row[column]));
  return first.map((row) => columns.map((column) => dot(row, column)));
};

/** Turn about the screen's upward axis (positive: the front moves right) and its rightward one (it moves down). */
export function turn(aboutUp, aboutRight) {
  const [c, s] = [Math.cos(aboutUp), Math.sin(aboutUp)];
  const [d, t] = [Math.cos(aboutRight), Math.sin(aboutRight)];
  const up = [
    [c, 0, s],
    [0, 1, 0],
    [-s, 0, c],
  ];
  const right = [
    [1, 0, 0],
    [0, d, -t],
    [0, t, d],
  ];
  return product(right, up);
}

/** Look down a direction with another one, as far as it can be, upward. */
export function lookAlong(direction, upward) {
  const viewer = unit(direction);
  const up = unit(added(upward, scaled(viewer, -dot(upward, viewer))));
  return orthonormal([cross(up, viewer), up, viewer]);
}

/** Rounding errors of many small turns removed. */
export function orthonormal(rotation) {
  const viewer = unit(rotation[2]);
  const up = unit(added(rotation[1], scaled(viewer, -dot(rotation[1], viewer))));
  return [cross(up, viewer), up, viewer];
}
