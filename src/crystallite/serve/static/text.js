// How numbers, formulas, space groups and names of properties are written.

import { make } from "./dom.js";

const MINUS = "\u2212";

/** Decimals that show the first uncertain digit; one more where that digit is 1 or 2. */
export function decimalsForError(error) {
  if (!(error > 0) || !Number.isFinite(error)) return null;
  const exponent = Math.floor(Math.log10(error));
  const leading = error / 10 ** exponent;
  return Math.min(Math.max(0, (leading < 2.95 ? 1 : 0) - exponent), 8);
}

/** A number with these decimals, or without them with `digits` significant ones. */
export function formatNumber(value, decimals = null, digits = 3) {
  if (value === null || value === undefined || !Number.isFinite(value)) return "–";
  const size = Math.abs(value);
  let text;
  if (decimals !== null) text = value.toFixed(decimals);
  else if (size !== 0 && (size < 1e-4 || size >= 1e6)) text = value.toExponential(digits - 1);
  else if (size >= 10 ** (digits - 1)) text = value.toFixed(0);
  else text = String(Number(value.toPrecision(digits)));
  if (Number(text) === 0) text = text.replace("-", "");
  return text.replace("-", MINUS).replace("e-", `e${MINUS}`).replace("e+", "e");
}

export const formatPercent = (share) =>
  share > 0.995 && share < 1 ? "> 99 %" : share < 0.005 && share > 0 ? "< 1 %" : `${Math.round(100 * share)} %`;

export const formatCount = (count, one, many = `${one}s`) =>
  `${count.toLocaleString("en")} ${count === 1 ? one : many}`;

/** What error the shown digits of a prediction have: half its interval, else its standard deviation. */
export function errorOf(property) {
  const { lower, upper, std } = property;
  if (isNumber(lower) && isNumber(upper) && upper > lower) return (upper - lower) / 2;
  return isNumber(std) ? std : null;
}

export const isNumber = (value) => typeof value === "number" && Number.isFinite(value);

/** "formation_energy_per_atom" -> "Formation energy per atom" */
export function inWords(name) {
  const text = name.replaceAll("_", " ").trim();
  return /^log10\b/.test(text) ? text : text.charAt(0).toUpperCase() + text.slice(1);
}

/** "Si2Fe" with its numbers as subscripts. */
export function formulaElement(formula, tag = "span") {
  const parts = formula.match(/\d+(?:\.\d+)?|[^\d]+/g) ?? [];
  return make(
    tag,
    { class: "formula" },
    parts.map((part) => (/^\d/.test(part) ? make("sub", {}, part) : part)),
  );
}

/** A Hermann-Mauguin symbol, such as "P6_3/mmc" or "Fm-3m", with screws and inversions as printed. */
export function spaceGroupElement(symbol) {
  const parts = symbol.match(/-\d|_\d|[^-_]|[-_]/g) ?? [];
  return make("span", { class: "space-group" }, parts.map(spaceGroupPart));
}

function spaceGroupPart(part) {
  if (/^-\d/.test(part)) return make("span", { class: "overline" }, part.slice(1));
  if (/^_\d/.test(part)) return make("sub", {}, part.slice(1));
  return /[A-Za-z]/.test(part) ? make("i", {}, part) : part;
}

export const listOf = (words) =>
  words.length < 2 ? words.join("") : `${words.slice(0, -1).join(", ")} and ${words.at(-1)}`;
