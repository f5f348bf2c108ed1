// Learning curve and parity plot of a training run.

import { draw, make } from "./dom.js";
import { dotsPath, frame, linePath } from "./plot.js";
import { formatNumber, inWords, isNumber } from "./text.js";

const SIZE = { width: 460, height: 300 };

/** Loss, and the validation error of each target, against the epoch. */
export function learningCurves(run) {
  const targets = [...new Set(run.history.flatMap((epoch) => Object.keys(epoch.validation ?? {})))];
  const series = [
    ...targets.map((target) => ({
      title: `Validation error, ${inWords(target)}`,
      unit: run.unit?.[target] ?? "",
      value: (epoch) => epoch.validation?.[target],
    })),
    { title: "Training loss", unit: "", value: (epoch) => epoch.loss },
  ];
  return series.map((one) => learningCurve(run, one)).filter(Boolean);
}

function learningCurve(run, { title, unit, value }) {
  const points = run.history.map((epoch) => [epoch.epoch, value(epoch)]).filter(([, y]) => isNumber(y) && y > 0);
  if (!points.length) return null;
  const values = points.map(([, y]) => y);
  const best = points.reduce((one, other) => (other[1] < one[1] ? other : one));
  const lowest = `${formatNumber(best[1])}${unit ? ` ${unit}` : ""}`;
  const text = `lowest ${lowest} in epoch ${best[0]}, latest ${formatNumber(values.at(-1))}`;
  const { svg, toX, toY, area } = frame({
    ...SIZE,
    x: { low: 0, high: Math.max(run.epochs || 0, points.at(-1)[0], 1), label: "Epoch" },
    y: { low: Math.min(...values) / 1.15, high: Math.max(...values) * 1.15, label: unit || title, log: true },
    label: `${title} by epoch: ${text}`,
  });
  const placed = points.map(([x, y]) => [toX(x), toY(y)]);
  area.append(draw("path", { class: "curve", d: linePath(placed) }));
  if (points.length < 40) area.append(draw("path", { class: "dots", d: dotsPath(placed) }));
  area.append(draw("circle", { class: "best", cx: toX(best[0]), cy: toY(best[1]), r: 4.5 }));
  return figure(title, text, svg);
}

/** Predicted against true values of the test crystals. */
export function parityPlot({ target, unit, true: known, predicted, test_mae: mae }) {
  const all = [...known, ...predicted].filter(isNumber);
  if (!all.length) return null;
  const [low, high] = all.reduce(([least, most], x) => [Math.min(least, x), Math.max(most, x)], [Infinity, -Infinity]);
  const margin = 0.04 * (high - low) || 1;
  const range = { low: low - margin, high: high + margin };
  const withUnit = unit ? ` (${unit})` : "";
  const text = `${known.length} test crystals; mean absolute error ${formatNumber(mae)}${unit ? ` ${unit}` : ""}`;
  const { svg, toX, toY, area } = frame({
    width: 420,
    height: 380,
    x: { ...range, label: `True${withUnit}` },
    y: { ...range, label: `Predicted${withUnit}` },
    label: `${inWords(target)}, predicted against true: ${text}`,
  });
  area.append(draw("path", { class: "diagonal", d: linePath([range.low, range.high].map((x) => [toX(x), toY(x)])) }));
  const points = known.map((x, index) => [toX(x), toY(predicted[index])]).filter((point) => point.every(isNumber));
  area.append(draw("path", { class: known.length > 800 ? "dots faint" : "dots", d: dotsPath(points) }));
  return figure(inWords(target), text, svg);
}

const figure = (title, text, svg) =>
  make("figure", {}, make("figcaption", {}, make("strong", {}, title), make("span", {}, text)), svg);
