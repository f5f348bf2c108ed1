// Predictions of many crystals as a table: sorted, filtered, opened, downloaded.

import { isAlarming } from "./alarm.js";
import { labelledCheckbox, make, replaceContent } from "./dom.js";
import { parseFilter } from "./table_filter.js";
import { decimalsForError, errorOf, formatNumber, formatPercent, formulaElement, inWords, isNumber } from "./text.js";

const PAGE = 250; // rows shown at once

export class ResultsTable {
  #rows = []; // { prediction, place: which crystal of its file }
  #columns = [];
  #sort = { key: null, ascending: true };
  #shown = PAGE;
  #intervals = false;
  #perFile = new Map();
  #waiting = false;

  /** `onopen(row)`: a crystal is chosen. `ondownload()`: the CSV is wanted. `settings` knows the models. */
  constructor(settings, { onopen, ondownload }) {
    this.settings = settings;
    this.onopen = onopen;
    this.filter = make("input", {
      type: "search",
      id: "table-filter",
      autocomplete: "off",
      spellcheck: "false",
      placeholder: "Fe  band_gap > 1",
      "aria-describedby": "filter-help filter-error",
      "data-testid": "table-filter",
      oninput: () => this.#refilter(),
    });
    this.error = make("p", { id: "filter-error", class: "error", role: "status" });
    this.count = make("p", { class: "note", "aria-live": "polite", "data-testid": "row-count" });
    this.head = make("thead");
    this.body = make("tbody");
    this.more = make(
      "button",
      { type: "button", class: "button", hidden: true, onclick: () => this.#showMore() },
      "Show more rows",
    );
    this.csv = make(
      "button",
      { type: "button", class: "button", "data-testid": "download-csv", onclick: ondownload },
      "Download CSV",
    );
    this.element = this.#build();
  }

  #build() {
    return make(
      "section",
      { class: "results", "aria-labelledby": "table-title" },
      make("h2", { id: "table-title" }, "Predictions"),
      make(
        "div",
        { class: "table-tools" },
        make("label", { class: "field filter", for: "table-filter" }, make("span", {}, "Filter"), this.filter),
        labelledCheckbox("Show intervals", false, (checked) => {
          this.#intervals = checked;
          this.#render();
        }),
        this.csv,
      ),
      make(
        "p",
        { id: "filter-help", class: "note" },
        "Elements, words of ids and files, comparisons: Fe band_gap > 1 alarms = 0. ",
        "Marked values (◆) are of crystals unlike the training data.",
      ),
      this.error,
      this.count,
      make(
        "div",
        { class: "scroll", tabindex: "0", role: "region", "aria-label": "Table of predictions, scrolls" },
        make("table", { class: "data results-table", "data-testid": "results-table" }, this.head, this.body),
      ),
      this.more,
    );
  }

  clear() {
    this.#rows = [];
    this.#columns = [];
    this.#perFile.clear();
    this.#shown = PAGE;
    this.#renderSoon();
  }

  /** More predictions, as they arrive. */
  add(predictions) {
    for (const prediction of predictions) {
      const place = this.#perFile.get(prediction.source) ?? 0;
      this.#perFile.set(prediction.source, place + 1);
      this.#rows.push({ prediction, place, byKey: new Map(prediction.properties.map((one) => [keyOf(one), one])) });
    }
    if (!this.#columns.length && this.#rows.length) this.#columns = this.#makeColumns(this.#rows[0].prediction);
    this.#renderSoon();
  }

  #makeColumns(prediction) {
    const names = prediction.properties.map((property) => property.name);
    const columns = prediction.properties.map((property) => {
      const { name, model, unit } = property;
      const twice = names.filter((other) => other === name).length > 1;
      const key = twice ? `${model}.${name}` : name;
      const percent = this.settings.find(model, name).model?.task === "classification";
      const of = (row) => row.byKey.get(keyOf(property));
      const title = inWords(name) + (twice ? ` (${model})` : "");
      return {
        key,
        names: [inWords(name)],
        title,
        unit: percent ? "probability" : unit,
        percent,
        of,
        value: (row) => of(row)?.value,
      };
    });
    return [
      { key: "crystal", title: "Crystal", text: ({ prediction: p }) => p.material_id },
      { key: "formula", title: "Formula", text: ({ prediction: p }) => p.formula },
      ...columns,
      { key: "alarms", names: [], title: "Alarms", unit: "properties", value: alarmsOf },
    ];
  }

  #refilter() {
    this.#shown = PAGE;
    this.#render();
  }

  #showMore() {
    this.#shown += PAGE;
    this.#render();
  }

  #renderSoon() {
    if (this.#waiting) return;
    this.#waiting = true;
    requestAnimationFrame(() => {
      this.#waiting = false;
      this.#render();
    });
  }

  #found() {
    this.error.textContent = "";
    this.filter.removeAttribute("aria-invalid");
    let test = () => true;
    try {
      test = parseFilter(
        this.filter.value,
        this.#columns.filter((column) => column.value),
      );
    } catch (error) {
      if (this.#columns.length) {
        this.error.textContent = error.message;
        this.filter.setAttribute("aria-invalid", "true");
      }
    }
    return this.#sorted(this.#rows.filter(test));
  }

  #sorted(rows) {
    const column = this.#columns.find(({ key }) => key === this.#sort.key);
    if (!column) return rows;
    const sign = this.#sort.ascending ? 1 : -1;
    if (column.text) {
      const compare = new Intl.Collator("en", { numeric: true }).compare;
      return [...rows].sort((one, other) => sign * compare(column.text(one), column.text(other)));
    }
    const number = (row) => column.value(row) ?? (sign > 0 ? Infinity : -Infinity); // unknown values come last
    return [...rows].sort((one, other) => sign * (number(one) - number(other) || 0));
  }

  #render() {
    const rows = this.#found();
    replaceContent(
      this.head,
      make(
        "tr",
        {},
        this.#columns.map((column) => this.#headCell(column)),
      ),
    );
    replaceContent(
      this.body,
      rows.slice(0, this.#shown).map((row) => this.#row(row)),
    );
    const shown = Math.min(rows.length, this.#shown);
    const of = rows.length < this.#rows.length ? ` of ${this.#rows.length.toLocaleString("en")}` : "";
    const part = shown < rows.length ? `, the first ${shown} shown` : "";
    const crystals = this.#rows.length === 1 ? "crystal" : "crystals";
    this.count.textContent = `${rows.length.toLocaleString("en")}${of} ${crystals}${part}`;
    this.more.hidden = shown >= rows.length;
  }

  #headCell(column) {
    const sorted = this.#sort.key === column.key;
    const direction = this.#sort.ascending ? "ascending" : "descending";
    return make(
      "th",
      { scope: "col", "aria-sort": sorted ? direction : "none", class: column.value ? "number" : null },
      make(
        "button",
        { type: "button", "data-column": column.key, onclick: () => this.#sortBy(column.key) },
        column.title,
        make("span", { class: "arrow", "aria-hidden": "true" }, sorted ? (this.#sort.ascending ? "▲" : "▼") : ""),
      ),
      column.unit ? make("span", { class: "unit" }, column.unit) : null,
    );
  }

  #sortBy(key) {
    const again = this.#sort.key === key;
    this.#sort = { key, ascending: again ? !this.#sort.ascending : true };
    this.#render();
    this.head.querySelector(`[data-column="${CSS.escape(key)}"]`)?.focus();
  }

  #row(row) {
    const open = () => this.onopen(row);
    const name = make("button", { type: "button", class: "link", onclick: open }, row.prediction.material_id);
    const cells = this.#columns.slice(2).map((column) => this.#valueCell(column, row));
    const element = make(
      "tr",
      {},
      make("th", { scope: "row" }, name),
      make("td", {}, formulaElement(row.prediction.formula)),
      cells,
    );
    element.addEventListener("click", (event) => {
      if (!event.target.closest("button") && !getSelection().toString()) open();
    });
    return element;
  }

  #valueCell(column, row) {
    if (!column.of) {
      const alarms = column.value(row);
      return make("td", { class: alarms ? "number alarming" : "number" }, String(alarms));
    }
    const property = column.of(row);
    if (!property) return make("td", { class: "number" }, "–");
    const marked = isAlarming(property);
    return make(
      "td",
      { class: marked ? "number alarming" : "number" },
      column.percent ? formatPercent(property.value) : this.#write(property),
      marked
        ? make(
            "span",
            { class: "mark", title: "unlike the training data" },
            " ◆",
            make("span", { class: "visually-hidden" }, "unlike the training data"),
          )
        : null,
    );
  }

  #write(property) {
    const error = errorOf(property);
    const decimals = decimalsForError(error);
    const { value, lower, upper } = property;
    if (this.#intervals && isNumber(lower) && isNumber(upper)) {
      return `${formatNumber(value, decimals)} (${formatNumber(lower, decimals)} to ${formatNumber(upper, decimals)})`;
    }
    const spread = isNumber(error) ? ` ± ${formatNumber(error, decimals)}` : "";
    return formatNumber(value, decimals) + spread;
  }
}

const keyOf = ({ model, name }) => `${model}/${name}`;

const alarmsOf = ({ prediction }) => prediction.properties.filter(isAlarming).length;
