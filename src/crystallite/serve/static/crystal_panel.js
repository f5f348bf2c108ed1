// The crystal in 3D with its controls: supercell, bonds, colours, directions, picture.

import { countElements, describeCrystal } from "./crystal_summary.js";
import { colourOf } from "./elements.js";
import { classColour, divergingColour, scaleOf } from "./colours.js";
import { CrystalView } from "./crystal_view.js";
import { download, labelledCheckbox, labelledSelect, make, replaceContent } from "./dom.js";
import { atomsInCells, MAX_ATOMS } from "./scene.js";
import { formatCount, formatNumber, inWords } from "./text.js";

const BONDS = [
  ["near", "Nearest of the graph"],
  ["all", "All of the graph"],
  ["none", "None"],
];

export class CrystalPanel {
  #crystal = null;
  #options = { cells: [1, 1, 1], complete: true, bonds: "near" };
  #scheme = "element";
  #values = new Map(); // contributions of atoms by scheme

  /** `fetchContributions(model)` resolves to the contributions of the shown crystal. */
  constructor(fetchContributions) {
    this.fetchContributions = fetchContributions;
    this.canvas = make("canvas", { tabindex: "0", role: "img", "data-testid": "crystal-view" });
    this.name = make("p", { class: "atom-name", "aria-live": "polite" });
    this.legend = make("div", { class: "legend" });
    this.notice = make("p", { class: "note notice" });
    this.controls = make("div", { class: "view-controls" });
    this.element = make(
      "section",
      { class: "crystal-panel", "aria-label": "Crystal in 3D" },
      make("div", { class: "stage" }, this.canvas, this.name),
      this.legend,
      this.controls,
      this.notice,
    );
    this.view = new CrystalView(this.canvas, (atom) => this.#nameAtom(atom));
  }

  show(crystal, models) {
    this.#crystal = crystal;
    this.#options.cells = [1, 1, 1];
    this.#scheme = "element";
    this.#values.clear();
    this.canvas.setAttribute("aria-label", describeCrystal(crystal));
    this.view.show(crystal);
    this.offerContributions(models);
    this.#arrange();
  }

  /** Of these models, those that tell contributions of atoms become choices of colours. */
  offerContributions(models) {
    this.#renderControls(models.filter((model) => model.atom_contributions));
  }

  #arrange() {
    const contribution = this.#values.get(this.#scheme);
    const scene = this.view.arrange(this.#options, contribution?.values ?? this.#scheme);
    replaceContent(this.legend, contribution ? scaleLegend(contribution) : this.#classLegend());
    this.notice.textContent = scene.tooManyBonds ? "More bonds than can be drawn; they are left out." : "";
  }

  #renderControls(models) {
    const cells = ["a", "b", "c"].map((name, axis) =>
      labelledSelect(
        `Cells along ${name}`,
        ["1", "2", "3"].map((n) => [n, n]),
        "1",
        (count) => this.#setCells(axis, count),
      ),
    );
    const along = ["a", "b", "c"].map((name, axis) => button(`Along ${name}`, () => this.view.viewAlong(axis)));
    replaceContent(
      this.controls,
      make(
        "div",
        { class: "buttons" },
        along,
        button("Reset", () => this.view.reset()),
        button("Save picture", () => this.#save()),
      ),
      make("div", { class: "fields" }, cells),
      make(
        "div",
        { class: "fields" },
        labelledSelect("Bonds", BONDS, this.#options.bonds, (bonds) => this.#set({ bonds })),
        labelledSelect("Colours", this.#schemes(models), "element", (scheme) => this.#colourBy(scheme)),
      ),
      labelledCheckbox("Repeat atoms on faces of the cell", this.#options.complete, (complete) =>
        this.#set({ complete }),
      ),
    );
  }

  /** Options of the colours; those of contributions are numbered, as names of models may hold any character. */
  #schemes(models) {
    this.contributions = models.flatMap((model) =>
      model.targets.map((target) => ({ model: model.name, target: target.name })),
    );
    const options = this.contributions.map(({ model, target }, number) => [
      String(number),
      model === target ? `Contributions: ${inWords(model)}` : `Contributions: ${model}, ${inWords(target)}`,
    ]);
    return [["element", "Elements"], ["equivalent", "Equivalent atoms"], ...options];
  }

  #set(change) {
    Object.assign(this.#options, change);
    this.#arrange();
  }

  #setCells(axis, count) {
    const cells = [...this.#options.cells];
    cells[axis] = Number(count);
    if (atomsInCells(this.#crystal, cells) > MAX_ATOMS) {
      this.controls.querySelectorAll("select")[axis].value = String(this.#options.cells[axis]);
      this.notice.textContent = `That would be more than ${formatCount(MAX_ATOMS, "atom")}, too many to draw.`;
    } else this.#set({ cells });
  }

  async #colourBy(scheme) {
    const crystal = this.#crystal;
    this.#scheme = scheme;
    try {
      await this.#fetchValues(scheme);
    } catch (error) {
      if (crystal !== this.#crystal) return;
      this.#scheme = "element";
      this.#arrange();
      this.notice.textContent = error.message;
      return;
    }
    if (crystal === this.#crystal && scheme === this.#scheme) this.#arrange();
  }

  async #fetchValues(scheme) {
    const wanted = this.contributions[scheme];
    if (!wanted || this.#values.has(scheme)) return;
    const crystal = this.#crystal;
    const found = (await this.fetchContributions(wanted.model)).find((one) => one.target === wanted.target);
    if (!found) throw new Error(`${wanted.model} tells no contributions of atoms to ${wanted.target}.`);
    if (crystal === this.#crystal) this.#values.set(scheme, found);
  }

  async #save() {
    download(await this.view.picture(), `${this.#crystal.material_id.replaceAll("/", "_")}.png`);
  }

  #nameAtom(atom) {
    if (!atom || !this.#crystal) {
      this.name.textContent = "";
      return;
    }
    const { element, fractional, node } = this.#crystal.atoms[atom.index];
    const place = fractional.map((x) => formatNumber(x, 3)).join(", ");
    const contribution = this.#values.get(this.#scheme);
    const share = contribution ? `, ${formatNumber(contribution.values[atom.index])} ${contribution.unit}` : "";
    this.name.textContent = `${element} at ${place}, kind ${node + 1}${share}`;
  }

  #classLegend() {
    if (this.#scheme === "element") {
      return [...countElements(this.#crystal).keys()].map((element) => swatch(colourOf(element), element));
    }
    const kinds = new Map();
    for (const { element, node } of this.#crystal.atoms) if (!kinds.has(node)) kinds.set(node, element);
    const shown = [...kinds]
      .slice(0, 12)
      .map(([node, element], index) => swatch(classColour(index), `${element}, kind ${node + 1}`));
    return kinds.size > 12 ? [...shown, make("span", { class: "note" }, `and ${kinds.size - 12} more`)] : shown;
  }
}

const button = (text, onclick) => make("button", { type: "button", class: "button small", onclick }, text);

function swatch(colour, text) {
  const dot = make("span", { class: "dot", "aria-hidden": "true" });
  dot.style.backgroundColor = colour;
  return make("span", { class: "swatch" }, dot, text);
}

/** Blue to red with its lowest, middle and highest number. */
function scaleLegend({ values, unit }) {
  const { low, middle, high } = scaleOf(values);
  if (Math.max(...values) === Math.min(...values)) {
    return make("span", { class: "note" }, `Contribution of every atom: ${formatNumber(middle)} ${unit}`);
  }
  const bar = make("span", { class: "scale-bar", "aria-hidden": "true" });
  bar.style.backgroundImage = `linear-gradient(to right, ${[-1, -0.5, 0, 0.5, 1].map(divergingColour).join(", ")})`;
  const numbers = [low, middle, high].map((number) => make("span", {}, formatNumber(number)));
  return make(
    "span",
    { class: "scale" },
    bar,
    make("span", { class: "scale-numbers" }, numbers),
    make("span", { class: "note" }, `Contribution of each atom${unit ? `, ${unit}` : ""}`),
  );
}
