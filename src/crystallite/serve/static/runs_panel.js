// The user's training runs: a list, and of the chosen one its plots, live while it trains.

import { fetchRun, fetchRuns } from "./api.js";
import { byId, make, replaceContent } from "./dom.js";
import { learningCurves, parityPlot } from "./run_plots.js";
import { formatCount, inWords, listOf } from "./text.js";

const POLL = 2_000; // milliseconds while a run trains
const REST = 10_000; // otherwise: a run may begin

export class RunsPanel {
  #chosen = null;
  #open = false;
  #timer = null;
  #shown = ""; // what is drawn, so that nothing is drawn again without a change
  #states = new Map();

  /** `onfinished()`: a run has ended, so there may be a new model. */
  constructor(onfinished) {
    this.onfinished = onfinished;
    this.list = make("ul", { class: "run-list", "data-testid": "run-list" });
    this.note = make("p", { class: "note", role: "status" });
    this.detail = make("section", { class: "run-detail", "aria-live": "off", "aria-label": "Chosen run" });
    replaceContent(byId("runs"), this.note, make("div", { class: "runs-layout" }, this.list, this.detail));
    document.addEventListener("visibilitychange", () => this.#update());
  }

  open() {
    this.#open = true;
    this.#update();
  }

  close() {
    this.#open = false;
    clearTimeout(this.#timer);
  }

  async #update() {
    clearTimeout(this.#timer);
    if (!this.#open || document.visibilityState === "hidden") return;
    let training = true; // after an error, try again
    try {
      const runs = await fetchRuns();
      training = runs.some((run) => run.state === "training");
      this.#showList(runs);
      await this.#showChosen();
      this.#tellFinished(runs);
    } catch (error) {
      this.note.textContent = error.message;
    }
    clearTimeout(this.#timer);
    if (this.#open) this.#timer = setTimeout(() => this.#update(), training ? POLL : REST);
  }

  #showList(runs) {
    this.note.textContent = runs.length
      ? ""
      : "No runs yet. Start the server with the folder of your runs, or train one: crystallite train DATASET --target PROPERTY";
    if (!runs.some((run) => run.name === this.#chosen)) {
      this.#chosen = (runs.find((run) => run.state === "training") ?? runs[0])?.name ?? null;
    }
    const known = new Map([...this.list.children].map((item) => [item.dataset.run, item]));
    const items = runs.map((run) => known.get(run.name) ?? this.#item(run.name));
    if (items.some((item, index) => this.list.children[index] !== item) || this.list.children.length !== items.length) {
      replaceContent(this.list, items);
    }
    runs.forEach((run, index) => this.#fillItem(items[index], run));
  }

  #item(name) {
    const button = make("button", { type: "button", onclick: () => this.#choose(name) });
    return make("li", { "data-run": name }, button);
  }

  #fillItem(item, run) {
    const button = item.firstElementChild;
    const text = stateInWords(run);
    button.setAttribute("aria-current", String(run.name === this.#chosen));
    if (item.dataset.text === text) return;
    item.dataset.text = text;
    const bar = make("progress", {
      max: Math.max(run.epochs, 1),
      value: run.state === "finished" ? run.epochs : run.epoch,
      "aria-hidden": "true",
    });
    replaceContent(button, make("strong", {}, run.name), make("span", { class: `state ${run.state}` }, text), bar);
  }

  #choose(name) {
    this.#chosen = name;
    for (const item of this.list.children) {
      item.firstElementChild.setAttribute("aria-current", String(item.dataset.run === name));
    }
    this.#update();
  }

  async #showChosen() {
    const name = this.#chosen;
    if (!name) return replaceContent(this.detail);
    const run = await fetchRun(name);
    const version = `${name} ${run.state} ${run.history.length} ${run.parity.length}`;
    if (name !== this.#chosen || version === this.#shown) return;
    this.#shown = version;
    const parities = run.parity.map(parityPlot).filter(Boolean);
    const curves = learningCurves(run);
    replaceContent(
      this.detail,
      make("h2", {}, run.name),
      make(
        "p",
        { class: "note" },
        `Predicts ${listOf(run.targets.map((target) => inWords(target)))}; ${stateInWords(run)}.`,
      ),
      make("h3", {}, "Learning curve"),
      make(
        "div",
        { class: "figures", "data-testid": "learning-curve" },
        curves.length
          ? curves
          : make(
              "p",
              { class: "note" },
              run.state === "training" ? "No epoch is complete yet." : "This run has no record of its epochs.",
            ),
      ),
      make("h3", {}, "Test crystals"),
      make(
        "div",
        { class: "figures", "data-testid": "parity-plot" },
        parities.length ? parities : make("p", { class: "note" }, noParity(run)),
      ),
    );
  }

  #tellFinished(runs) {
    const ended = runs.some((run) => this.#states.get(run.name) === "training" && run.state !== "training");
    this.#states = new Map(runs.map((run) => [run.name, run.state]));
    if (ended) this.onfinished();
  }
}

/** Training may end before the last epoch; runs of several models tell no epochs. */
function stateInWords({ state, epoch, epochs }) {
  if (state === "finished") return epoch ? `finished after ${formatCount(epoch, "epoch")}` : "finished";
  return `${state}, epoch ${epoch} of ${epochs}`;
}

const noParity = (run) =>
  run.state === "training"
    ? "Predictions of the test crystals appear when training is finished."
    : "This run has no predictions of numbers for test crystals.";
