// A crystal in words: formula, space group, cell, and its atoms as a table.

import { make } from "./dom.js";
import { formatCount, formatNumber, formulaElement, isNumber, spaceGroupElement } from "./text.js";

const SHOWN_ATOMS = 200;

export function crystalSummary(crystal) {
  const { cell } = crystal;
  const length = (name) => formatNumber(cell[name], 3);
  const angle = (name) => formatNumber(cell[name], 2);
  const rows = [
    ["Space group", spaceGroup(crystal)],
    ["Atoms in the cell", `${formatCount(crystal.n_atoms, "atom")}, ${formatCount(crystal.n_nodes, "different one")}`],
    ["a, b, c", `${length("a")}, ${length("b")}, ${length("c")} Å`],
    ["α, β, γ", `${angle("alpha")}°, ${angle("beta")}°, ${angle("gamma")}°`],
    ["Volume", `${formatNumber(crystal.volume, 2)} Å³`],
    ["Density", isNumber(crystal.density) ? `${formatNumber(crystal.density, 2)} g/cm³` : "–"],
  ];
  return make(
    "div",
    { class: "summary", "data-testid": "crystal-summary" },
    make("h2", {}, formulaElement(crystal.formula), make("span", { class: "crystal-id" }, ` ${crystal.material_id}`)),
    make(
      "dl",
      {},
      rows.map(([name, value]) => make("div", {}, make("dt", {}, name), make("dd", {}, value))),
    ),
    composition(crystal),
    atomTable(crystal),
  );
}

function spaceGroup({ space_group: group }) {
  if (!group) return "not found";
  return make("span", {}, spaceGroupElement(group.symbol), ` (No. ${group.number}), ${group.system}`);
}

export function countElements(crystal) {
  const counts = new Map();
  for (const { element } of crystal.atoms) counts.set(element, (counts.get(element) ?? 0) + 1);
  return counts;
}

function composition(crystal) {
  const parts = [...countElements(crystal)].map(
    ([element, count]) => `${element} ${formatNumber((100 * count) / crystal.n_atoms, null, 3)} %`,
  );
  return make("p", { class: "note" }, `Share of atoms: ${parts.join(", ")}`);
}

/** What the drawing shows, for those who cannot see it, and for copying. */
function atomTable(crystal) {
  const heads = ["Atom", "x", "y", "z", "Kind"];
  const rows = crystal.atoms.slice(0, SHOWN_ATOMS).map(({ element, fractional, node }) =>
    make(
      "tr",
      {},
      make("th", { scope: "row" }, element),
      fractional.map((x) => make("td", {}, formatNumber(x, 4))),
      make("td", {}, String(node + 1)),
    ),
  );
  const left = crystal.atoms.length - rows.length;
  return make(
    "details",
    { class: "atoms" },
    make("summary", {}, "Positions of the atoms"),
    make("p", { class: "note" }, "Fractional coordinates; atoms of the same kind are equivalent."),
    make(
      "div",
      { class: "scroll", tabindex: "0", role: "region", "aria-label": "Positions of the atoms" },
      make(
        "table",
        { class: "data" },
        make(
          "thead",
          {},
          make(
            "tr",
            {},
            heads.map((head) => make("th", { scope: "col" }, head)),
          ),
        ),
        make("tbody", {}, rows),
      ),
    ),
    left > 0 ? make("p", { class: "note" }, `${formatCount(left, "more atom")} not listed`) : null,
  );
}

/** The drawing in one sentence. */
export function describeCrystal(crystal) {
  const group = crystal.space_group ? `, space group ${crystal.space_group.symbol}` : "";
  const atoms = [...countElements(crystal)].map(([element, count]) => `${count} ${element}`).join(", ");
  const keys = "Arrow keys turn, plus and minus zoom, n and p name atoms.";
  return `Crystal ${crystal.formula}${group}, in the cell ${atoms}. ${keys}`;
}
