// The filter of the table: words, elements and comparisons such as `Fe band_gap > 1 novelty < 95`.

import { isElement } from "./elements.js";

const COMPARISONS = {
  "<": (a, b) => a < b,
  "<=": (a, b) => a <= b,
  ">": (a, b) => a > b,
  ">=": (a, b) => a >= b,
  "=": (a, b) => a === b,
};

/**
 * `columns`: [{ key, names, value(row) }] of numbers. Returns a function of a row.
 * Throws an Error in words if a comparison cannot be understood.
 */
export function parseFilter(text, columns) {
  const tests = [];
  const rest = plainNames(text, columns).replace(
    /([^\s<>=≤≥]*)\s*(<=|>=|≤|≥|==|<|>|=)\s*([^\s,<>=≤≥]*)/g,
    (_, name, operator, number) => {
      tests.push(comparison(name, operator, number, columns));
      return " ";
    },
  );
  for (const word of rest.split(/[\s,]+/)) {
    if (word && !["and", "&", "&&"].includes(word.toLowerCase())) tests.push(wordTest(word));
  }
  return (row) => tests.every((test) => test(row));
}

/** "Band gap > 1" -> "band_gap > 1": names as they stand in the heads of the table. */
function plainNames(text, columns) {
  const spoken = columns.flatMap(({ key, names }) =>
    names.filter((name) => name.includes(" ")).map((name) => [name, key]),
  );
  spoken.sort((one, other) => other[0].length - one[0].length);
  return spoken.reduce((found, [name, key]) => {
    const escaped = name.replace(/[.*+?^${}()|[\]\\]/g, "\\$&");
    return found.replace(new RegExp(`${escaped}(?=\\s*[<>=≤≥])`, "gi"), key);
  }, text);
}

function comparison(name, operator, number, columns) {
  const compare = COMPARISONS[{ "≤": "<=", "≥": ">=", "==": "=" }[operator] ?? operator];
  const value = Number(number.replace("\u2212", "-"));
  if (!name) throw new Error(`Before ${operator} stands no name of a property.`);
  if (number === "" || Number.isNaN(value)) throw new Error(`After ${name} ${operator} stands no number.`);
  const column = columns.find(({ key, names }) =>
    [key, ...names].some((one) => one.toLowerCase() === name.toLowerCase()),
  );
  if (!column) throw new Error(`There is no property ${name}. There are: ${columns.map(({ key }) => key).join(", ")}.`);
  return (row) => {
    const found = column.value(row);
    return found !== null && found !== undefined && compare(found, value);
  };
}

/** An element's symbol finds crystals with it; other words look into id, file and formula. */
function wordTest(word) {
  if (isElement(word)) {
    return ({ prediction }) => elementsOf(prediction.formula).has(word);
  }
  const wanted = word.toLowerCase();
  return ({ prediction: { material_id: id, source, formula } }) =>
    [id, source, formula].some((text) => (text ?? "").toLowerCase().includes(wanted));
}

const elementsOf = (formula) => new Set(formula.match(/[A-Z][a-z]?/g) ?? []);
