// Colours of atoms: by element, by equivalence, by a number.

import { colourOf } from "./elements.js";

const LEVELS = 48; // few colours are enough, and each has its own picture of a sphere
const NEGATIVE = [33, 102, 172];
const MIDDLE = [240, 240, 236];
const POSITIVE = [178, 24, 43];

export const toHex = (rgb) => `#${rgb.map((x) => Math.round(x).toString(16).padStart(2, "0")).join("")}`;

export const fromHex = (hex) => [1, 3, 5].map((start) => parseInt(hex.slice(start, start + 2), 16));

export const mixed = (one, other, share) => one.map((x, channel) => x + (other[channel] - x) * share);

/** Blue, white, red for -1, 0, 1. */
export function divergingColour(position) {
  const level = Math.round(Math.max(-1, Math.min(1, position)) * LEVELS) / LEVELS;
  return toHex(mixed(MIDDLE, level < 0 ? NEGATIVE : POSITIVE, Math.abs(level)));
}

/** Colours of numbered classes that neighbours in number can be told apart by. */
export function classColour(number) {
  const hue = (210 + number * 137.5) % 360;
  return toHex(fromHue(Math.round(hue / 5) * 5, 0.6, number % 2 ? 0.72 : 0.55));
}

function fromHue(hue, saturation, lightness) {
  const strength = saturation * Math.min(lightness, 1 - lightness);
  return [0, 8, 4].map((offset) => {
    const k = (offset + hue / 30) % 12;
    return 255 * (lightness - strength * Math.max(-1, Math.min(k - 3, 9 - k, 1)));
  });
}

/** The range that a scale of these numbers covers: around 0 if both signs occur, else around their middle. */
export function scaleOf(values) {
  const [low, high] = [Math.min(...values), Math.max(...values)];
  const middle = low < 0 && high > 0 ? 0 : (low + high) / 2;
  const reach = Math.max(high - middle, middle - low) || 1;
  return { low: middle - reach, middle, high: middle + reach };
}

/** Colour of each atom of a crystal; `scheme` is "element", "equivalent" or a list of one number per atom. */
export function atomColours(crystal, scheme) {
  if (scheme === "element") return crystal.atoms.map((atom) => colourOf(atom.element));
  if (scheme === "equivalent") {
    const classes = new Map();
    for (const { node } of crystal.atoms) if (!classes.has(node)) classes.set(node, classes.size);
    return crystal.atoms.map((atom) => classColour(classes.get(atom.node)));
  }
  const { middle, high } = scaleOf(scheme);
  return scheme.map((value) => divergingColour((value - middle) / (high - middle)));
}
