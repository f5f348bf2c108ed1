// Predicted properties of one crystal, a card each: value, interval, training data, alarm, nearest crystals.

import { alarmOf } from "./alarm.js";
import { draw, make, replaceContent } from "./dom.js";
import { distributionPlot } from "./plot.js";
import { decimalsForError, errorOf, formatNumber, formatPercent, inWords, isNumber } from "./text.js";

/** `settings` knows the models. */
export function showProperties(container, predicted, settings) {
  const cards = predicted.map((property) => propertyCard(property, settings));
  replaceContent(
    container,
    make("h2", {}, "Predicted properties"),
    make(
      "p",
      { class: "note" },
      "Line: this crystal. Band: the interval. Grey: values of the training crystals (heights as square roots). ",
      "Nearest crystals: those of the training data that the model sees as most alike.",
    ),
    cards.length
      ? make("div", { class: "cards" }, cards)
      : make("p", {}, "No model is chosen. Choose some under Models and interval."),
  );
}

function propertyCard(property, settings) {
  const { model, target } = settings.find(property.model, property.name);
  const isClass = model?.task === "classification";
  const title = isClass && model.about ? model.about : inWords(property.name);
  const about = model?.origin === "run" ? `Your run ${property.model}` : (model?.about ?? "");
  return make(
    "article",
    {
      class: "card",
      "data-testid": "property",
      "data-property": property.name,
      "data-model": property.model,
      "data-value": property.value,
    },
    make("h3", {}, title),
    make("p", { class: "note about" }, about === title ? "" : about),
    isClass ? probability(property) : valueLine(property, settings.interval),
    isClass ? probabilityPlot(property.value) : distribution(property, target),
    alarmLine(property),
    neighbourList(property, isClass),
    target?.test_error ? make("p", { class: "note" }, `Error on test crystals: ${target.test_error}`) : null,
  );
}

function valueLine(property, percent) {
  const { value, lower, upper, unit } = property;
  const decimals = decimalsForError(errorOf(property));
  const withUnit = unit ? ` ${unit}` : "";
  const number = make("strong", { class: "value" }, formatNumber(value, decimals));
  if (isNumber(lower) && isNumber(upper)) {
    const interval = ` (${formatNumber(lower, decimals)} to ${formatNumber(upper, decimals)})${withUnit}, ${percent} %`;
    return make("p", { class: "value-line-text" }, number, interval);
  }
  const spread = isNumber(property.std) ? ` ± ${formatNumber(property.std, decimals)}` : "";
  const reason = isNumber(property.std) ? ` (no interval of ${percent} %)` : " (no interval)";
  return make("p", { class: "value-line-text" }, number, spread, withUnit, make("span", { class: "note" }, reason));
}

const probability = (property) =>
  make(
    "p",
    { class: "value-line-text" },
    make("strong", { class: "value" }, formatPercent(property.value)),
    " probability",
  );

function probabilityPlot(value) {
  const x = 6 + 288 * Math.max(0, Math.min(1, value));
  const ticks = [0, 0.5, 1].map((tick) =>
    draw("text", { x: 6 + 288 * tick, y: 76, "text-anchor": ["start", "middle", "end"][2 * tick] }, `${100 * tick} %`),
  );
  return draw(
    "svg",
    {
      viewBox: "0 0 300 80",
      class: "plot distribution",
      role: "img",
      "aria-label": `Probability ${formatPercent(value)}`,
    },
    draw("rect", { class: "bars", x: 6, y: 38, width: 288, height: 12, rx: 6 }),
    draw("rect", { class: "filled", x: 6, y: 38, width: Math.max(0, x - 6), height: 12, rx: 6 }),
    draw("line", { class: "value-line", x1: x, x2: x, y1: 30, y2: 58 }),
    ticks,
  );
}

function distribution(property, target) {
  const { value, lower, upper } = property;
  const known = target?.distribution ?? null;
  if (!known && !(lower < upper)) return null;
  return distributionPlot({ distribution: known, value, lower, upper, label: describe(property, known) });
}

/** For those who do not see the plot: how many training values are below the prediction. */
function describe(property, distribution) {
  if (!distribution) return "The value and its interval; the training values are not known.";
  const { edges, counts } = distribution;
  const total = counts.reduce((sum, count) => sum + count, 0);
  const below = counts.reduce(
    (sum, count, bin) => sum + count * shareBelow(property.value, edges[bin], edges[bin + 1]),
    0,
  );
  const [low, high] = [edges[0], edges.at(-1)].map((edge) => formatNumber(edge));
  return `Training values from ${low} to ${high}; ${formatPercent(below / total)} of them are below this prediction.`;
}

const shareBelow = (value, start, end) => Math.max(0, Math.min(1, (value - start) / (end - start || 1)));

function alarmLine(property) {
  const { level, title, detail } = alarmOf(property);
  return make(
    "p",
    { class: `alarm ${level}` },
    make("strong", {}, title),
    detail ? make("span", { class: "alarm-detail" }, detail) : null,
  );
}

function neighbourList(property, isClass) {
  const { neighbours = [] } = property;
  if (!neighbours.length) return null;
  const write = (value) => {
    if (!isNumber(value)) return "not known";
    if (isClass) return value >= 0.5 ? "yes" : "no";
    return formatNumber(value, decimalsForError(errorOf(property))) + (property.unit ? ` ${property.unit}` : "");
  };
  const rows = neighbours.map(({ id, distance, value }) =>
    make(
      "tr",
      {},
      make("th", { scope: "row" }, materialLink(id)),
      make("td", {}, write(value)),
      make("td", {}, formatNumber(distance, 2)),
    ),
  );
  return make(
    "table",
    { class: "neighbours" },
    make("caption", {}, "Nearest training crystals"),
    make(
      "thead",
      {},
      make(
        "tr",
        {},
        ["Crystal", "True value", "Distance"].map((text) => make("th", { scope: "col" }, text)),
      ),
    ),
    make("tbody", {}, rows),
  );
}

/** Crystals of the Materials Project have a page there. */
function materialLink(id) {
  if (!/^mp-\d+$/.test(id)) return make("span", {}, id);
  const href = `https://materialsproject.org/materials/${id}`;
  return make(
    "a",
    { href, target: "_blank", rel: "noopener noreferrer" },
    id,
    make("span", { class: "visually-hidden" }, " (new tab)"),
  );
}
