// Which models are asked, and how wide the intervals are.

import { byId, labelledCheckbox, labelledSelect, make, replaceContent } from "./dom.js";
import { inWords } from "./text.js";

const INTERVALS = ["50", "68", "90", "95"];

/** The user's choices; `onchange` is called after each. */
export class Settings {
  #models = [];
  #chosen = new Set();
  #interval = "90";

  constructor(onchange) {
    this.onchange = onchange;
  }

  /** At first all ready models are asked, runs when chosen; later, choices stay. */
  setModels(models) {
    const first = this.#models.length === 0;
    this.#models = models;
    if (first) {
      const ready = models.filter((model) => model.origin === "package");
      this.#chosen = new Set((ready.length ? ready : models).map((model) => model.name));
    }
    this.#render();
  }

  get models() {
    return this.#models;
  }

  get interval() {
    return Number(this.#interval);
  }

  /** Names for the server; "all" stands for every ready model. */
  get names() {
    if (!this.#models.length) return ["all"]; // not told yet
    const ready = this.#models.filter((model) => model.origin === "package").map((model) => model.name);
    const chosen = this.#models.map((model) => model.name).filter((name) => this.#chosen.has(name));
    if (!ready.length || !ready.every((name) => this.#chosen.has(name))) return chosen;
    return ["all", ...chosen.filter((name) => !ready.includes(name))];
  }

  find(modelName, targetName) {
    const model = this.#models.find((one) => one.name === modelName);
    return { model, target: model?.targets.find((one) => one.name === targetName) };
  }

  #render() {
    const [ready, runs] = ["package", "run"].map((origin) => this.#models.filter((model) => model.origin === origin));
    replaceContent(
      byId("settings-content"),
      labelledSelect(
        "Interval that holds",
        INTERVALS.map((percent) => [percent, `${percent} % of true values`]),
        this.#interval,
        (value) => {
          this.#interval = value;
          this.onchange();
        },
      ),
      this.#group("Ready models", ready),
      runs.length
        ? this.#group("Your runs", runs)
        : make("p", { class: "note" }, "Runs in the folder of runs that the server was started with appear here."),
    );
  }

  #group(title, models) {
    if (!models.length) return null;
    const boxes = models.map((model) =>
      labelledCheckbox(labelOf(model), this.#chosen.has(model.name), (checked) => {
        if (checked) this.#chosen.add(model.name);
        else this.#chosen.delete(model.name);
        this.onchange();
      }),
    );
    return make("fieldset", {}, make("legend", {}, title), make("div", { class: "checks" }, boxes));
  }
}

const labelOf = (model) =>
  model.origin === "package"
    ? inWords(model.name)
    : `${model.name}: ${model.targets.map((target) => inWords(target.name).toLowerCase()).join(", ")}`;
