// Small plots as SVG: scales, ticks, a frame with axes. Colours come from the style sheet.

import { draw } from "./dom.js";
import { formatNumber } from "./text.js";

/** Round numbers in [low, high], about `count` of them. */
export function niceTicks(low, high, count = 5) {
  const raw = (high - low) / Math.max(1, count);
  if (!(raw > 0)) return [low];
  const power = 10 ** Math.floor(Math.log10(raw));
  const step = power * ([1, 2, 5, 10].find((factor) => factor * power >= raw * 0.999) ?? 10);
  const first = Math.ceil(low / step - 1e-9);
  const last = Math.floor(high / step + 1e-9);
  return Array.from({ length: Math.max(0, last - first + 1) }, (_, index) => tidy((first + index) * step));
}

const tidy = (value) => Number(value.toPrecision(12));

/** 1, 2, 5 times powers of ten, or powers alone where there are many. */
export function logTicks(low, high) {
  const powers = [];
  for (let p = Math.floor(Math.log10(low)); p <= Math.ceil(Math.log10(high)); p++) powers.push(p);
  const factors = powers.length > 4 ? [1] : [1, 2, 5];
  const ticks = powers.flatMap((p) => factors.map((factor) => tidy(factor * 10 ** p)));
  const inside = ticks.filter((tick) => tick >= low * 0.999 && tick <= high * 1.001);
  return inside.length > 1 ? inside : niceTicks(low, high, 3);
}

export function linearScale(low, high, start, end) {
  const span = high - low || 1;
  return (value) => start + ((value - low) / span) * (end - start);
}

export function logScale(low, high, start, end) {
  const scale = linearScale(Math.log(low), Math.log(high), start, end);
  return (value) => scale(Math.log(value));
}

/**
 * A frame with axes and grid. `x` and `y`: { low, high, label, log }.
 * Returns { svg, toX, toY, area }; what is added to `area` lies above the grid.
 */
export function frame({ width, height, x, y, label }) {
  const edge = { left: 58, right: 14, top: 10, bottom: 42 };
  const [left, right, top, bottom] = [edge.left, width - edge.right, edge.top, height - edge.bottom];
  const toX = (x.log ? logScale : linearScale)(x.low, x.high, left, right);
  const toY = (y.log ? logScale : linearScale)(y.low, y.high, bottom, top);
  const area = draw("g");
  const svg = draw(
    "svg",
    { viewBox: `0 0 ${width} ${height}`, class: "plot", role: "img", "aria-label": label },
    ticksOf(x, 6).map((tick) => [
      draw("line", { class: "grid", x1: toX(tick), x2: toX(tick), y1: top, y2: bottom }),
      draw("text", { x: toX(tick), y: bottom + 16, "text-anchor": "middle" }, formatNumber(tick)),
    ]),
    ticksOf(y, 5).map((tick) => [
      draw("line", { class: "grid", x1: left, x2: right, y1: toY(tick), y2: toY(tick) }),
      draw("text", { x: left - 6, y: toY(tick) + 4, "text-anchor": "end" }, formatNumber(tick)),
    ]),
    draw("path", { class: "axis", d: `M${left} ${top}V${bottom}H${right}` }),
    draw("text", { class: "axis-label", x: (left + right) / 2, y: height - 6, "text-anchor": "middle" }, x.label),
    draw(
      "text",
      {
        class: "axis-label",
        "text-anchor": "middle",
        transform: `translate(13 ${(top + bottom) / 2}) rotate(-90)`,
      },
      y.label,
    ),
    area,
  );
  return { svg, toX, toY, area };
}

const ticksOf = ({ low, high, log }, count) => (log ? logTicks(low, high) : niceTicks(low, high, count));

export function linePath(points) {
  return points.map(([x, y], index) => `${index ? "L" : "M"}${x.toFixed(1)} ${y.toFixed(1)}`).join("");
}

/** Many dots as one path: lines of no length with round ends. */
export const dotsPath = (points) => points.map(([x, y]) => `M${x.toFixed(1)} ${y.toFixed(1)}h0`).join("");

/**
 * The training values as a histogram, the prediction as a line and its interval as a band.
 * Heights are square roots, so that rare values stay visible beside a peak.
 */
export function distributionPlot({ distribution, value, lower, upper, label }) {
  const [width, base, top] = [300, 62, 6];
  const range = rangeOf(distribution, [value, lower, upper]);
  const log = distribution?.scale === "log10" && range.low > 0;
  const toX = (log ? logScale : linearScale)(range.low, range.high, 6, width - 6);
  const parts = [];
  if (distribution) {
    const highest = Math.sqrt(Math.max(...distribution.counts, 1));
    parts.push(draw("path", { class: "bars", d: barsPath(distribution, toX, base, (base - top) / highest) }));
  }
  if (lower < upper) {
    const [start, end] = [lower, upper].map((x) => toX(Math.max(range.low, Math.min(range.high, x))));
    parts.push(
      draw("rect", { class: "band", x: start, width: Math.max(1, end - start), y: top - 4, height: base - top + 4 }),
    );
  }
  parts.push(draw("line", { class: "value-line", x1: toX(value), x2: toX(value), y1: 0, y2: base }));
  parts.push(draw("line", { class: "axis", x1: 0, x2: width, y1: base, y2: base }));
  for (const tick of ticksOf({ ...range, log }, 5)) {
    const x = toX(tick);
    const anchor = x < 14 ? "start" : x > width - 14 ? "end" : "middle";
    parts.push(draw("text", { x, y: base + 14, "text-anchor": anchor }, formatNumber(tick)));
  }
  return draw(
    "svg",
    { viewBox: `0 0 ${width} 80`, class: "plot distribution", role: "img", "aria-label": label },
    parts,
  );
}

/** The range of the training values, widened for the prediction, but not for a very wide interval. */
function rangeOf(distribution, numbers) {
  const known = numbers.filter((x) => Number.isFinite(x));
  const edges = distribution?.edges ?? known;
  let [low, high] = [Math.min(...edges, numbers[0]), Math.max(...edges, numbers[0])];
  if (low === high) [low, high] = [low - 1, high + 1];
  if (distribution?.scale === "log10" && low > 0) return { low, high }; // the band is cut there
  const reach = (high - low) / 2;
  const wide = known.filter((x) => x > low - reach && x < high + reach);
  return { low: Math.min(low, ...wide), high: Math.max(high, ...wide) };
}

function barsPath({ edges, counts }, toX, base, factor) {
  return counts
    .map((count, index) => {
      if (!count) return "";
      const [start, end] = [toX(edges[index]), toX(edges[index + 1])];
      const height = Math.max(1, Math.sqrt(count) * factor);
      return `M${start.toFixed(1)} ${base}v${(-height).toFixed(1)}h${(end - start).toFixed(1)}V${base}z`;
    })
    .join("");
}
