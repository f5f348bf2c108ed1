// Wires the parts of the page together: structures in, predictions out, views, errors.

import * as api from "./api.js";
import { csvOfAll, predictAll, reasonOfRefusal } from "./batches.js";
import { CrystalPanel } from "./crystal_panel.js";
import { crystalSummary } from "./crystal_summary.js";
import { byId, download, make, replaceContent } from "./dom.js";
import { showFailures } from "./failures.js";
import { showExamples, startIntake } from "./intake.js";
import { showProperties } from "./property_panel.js";
import { ResultsTable } from "./results_table.js";
import { RunsPanel } from "./runs_panel.js";
import { Settings } from "./settings.js";
import { say, showProgress } from "./status.js";
import { formatCount } from "./text.js";
import { askForToken } from "./token_dialog.js";

const NEIGHBOURS = 3;
const QUICK = 64; // up to so many files are predicted again at once when a setting changes

const settings = new Settings(() => settingsChanged());
const table = new ResultsTable(settings, { onopen: (row) => openRow(row), ondownload: () => downloadCsv() });
const crystalPanel = new CrystalPanel((model) => contributions(model));
const runsPanel = new RunsPanel(() => loadModels());
const properties = make("section", { class: "properties", "aria-label": "Predicted properties" });
const summary = make("section", { "aria-label": "Crystal" });

let sources = []; // what the user gave
let single = null; // the shown crystal: { source, place, id }
let crystalTask = new AbortController(); // the requests of the shown crystal
let listTask = new AbortController(); // those of the table, which go on while a crystal of it is shown
let listOptions = ""; // what the table was predicted with
let failures = [];
let modelsLoaded = Promise.resolve();

function newCrystalTask() {
  crystalTask.abort();
  crystalTask = new AbortController();
  return crystalTask.signal;
}

function newListTask() {
  listTask.abort();
  listTask = new AbortController();
  showProgress(1, 1);
  return listTask.signal;
}

/** Errors in words; what was stopped on purpose is none. */
function report(error) {
  if (error.name !== "AbortError") say(error.message, true);
}

function addFailures(more) {
  failures = [...failures, ...more];
  showFailures(byId("failures"), failures);
}

async function accept(given, unread) {
  history.replaceState(null, "", "#crystals");
  showView();
  byId("intake").classList.add("compact");
  sources = given;
  single = null;
  failures = [];
  addFailures(unread);
  newListTask();
  table.clear();
  if (sources.length === 1 && !unread.length) await showOnly(sources[0]);
  else await showTable();
}

/** A single file: its crystal, or a table if it holds several. */
async function showOnly(source) {
  const signal = newCrystalTask();
  say(`Reading ${source.name} …`);
  try {
    const both = requestBoth(source, signal);
    const drawn = await both.crystals;
    if (!drawn.crystals.length) throw new api.ServerError(`${source.name} holds no crystal.`, 422, drawn.errors);
    if (drawn.crystals.length > 1) return await showTable(); // which asks again, and tells what cannot be used
    if (drawn.errors.length) addFailures(drawn.errors);
    single = { source, place: 0, id: drawn.crystals[0].material_id };
    await showCrystal(drawn, both.prediction, signal);
  } catch (error) {
    reportStructure(error, source);
  }
}

function requestBoth(source, signal) {
  const prediction = predictOne(source, signal);
  prediction.catch(() => {}); // reported where it is awaited
  return { crystals: api.fetchCrystals(source, { id: single?.id }, signal), prediction };
}

async function predictOne(source, signal) {
  if (!settings.names.length) return { predictions: [] };
  return api.predict({ structures: [source], ...options(), neighbours: NEIGHBOURS }, signal);
}

function reportStructure(error, source) {
  report(error);
  if (error.name === "AbortError") return;
  replaceContent(byId("results"));
  if (error.status === 422 || error.status === 413) {
    addFailures(error.errors?.length ? error.errors : [{ source: source.name, reason: reasonOfRefusal(error) }]);
    say(`${source.name} cannot be used`, true);
  }
}

const options = () => ({ models: settings.names, interval: settings.interval });

const pick = (list, { id, place }) => list.find((one) => one.material_id === id) ?? list[place] ?? list[0];

async function showCrystal(drawn, prediction, signal) {
  const crystal = pick(drawn.crystals, single);
  replaceContent(summary, crystalSummary(crystal));
  replaceContent(properties, make("h2", {}, "Predicted properties"), make("p", { class: "note" }, "Predicting …"));
  const back = sources.length > 1 || drawn.crystals.length > 1 ? backButton() : null;
  const left = make("div", { class: "crystal-left" }, crystalPanel.element, summary);
  replaceContent(byId("results"), back, make("div", { class: "crystal-page" }, left, properties));
  crystalPanel.show(crystal, settings.models);
  if (!settings.models.length) modelsLoaded.then(() => crystalPanel.offerContributions(settings.models));
  await showPrediction(prediction, signal, drawn.notices ?? []);
}

async function showPrediction(prediction, signal, notices = []) {
  const [answer] = await Promise.all([prediction, modelsLoaded]);
  if (signal.aborted) return;
  const found = pick(answer.predictions, single);
  showProperties(properties, found?.properties ?? [], settings);
  if (!found) return say("No model is chosen.");
  const told = [...new Set([...notices, ...(answer.notices ?? [])])];
  say(
    [`${formatCount(found.properties.length, "property", "properties")} of ${found.formula} predicted.`, ...told].join(
      " ",
    ),
  );
}

function backButton() {
  return make(
    "button",
    { type: "button", class: "button small back", onclick: () => history.back() },
    "Back to the table",
  );
}

async function showTable() {
  newCrystalTask();
  const signal = newListTask();
  single = null;
  listOptions = JSON.stringify(options());
  table.clear();
  replaceContent(byId("results"), sources.length ? table.element : null);
  if (!sources.length) return say("None of the files can be used", true);
  if (!settings.names.length) return say("No model is chosen.", true);
  say(`Predicting ${formatCount(sources.length, "file")} …`);
  await modelsLoaded; // the table writes properties by their models
  await runList(signal, (onprogress) => predictList(signal, onprogress));
}

/** Progress is shown and the CSV has to wait while many structures are asked for. */
async function runList(signal, work) {
  if (signal.aborted) return;
  table.csv.disabled = true;
  showProgress(0, sources.length);
  try {
    await work((done) => signal.aborted || showProgress(done, sources.length));
  } catch (error) {
    report(error);
  }
  if (listTask.signal !== signal) return; // another list has begun
  table.csv.disabled = false;
  showProgress(1, 1);
}

async function predictList(signal, onprogress) {
  let crystals = 0;
  const take = (predictions, refused) => {
    if (listTask.signal !== signal) return;
    crystals += predictions.length;
    table.add(predictions);
    if (refused.length) addFailures(refused);
  };
  await predictAll(sources, { ...options(), neighbours: 0 }, { signal, take, onprogress });
  const refused = failures.length ? `, ${failures.length.toLocaleString("en")} not` : "";
  say(`${formatCount(crystals, "crystal")} predicted${refused}.`);
}

async function openRow({ prediction, place }) {
  const source = sources.find((one) => one.name === prediction.source);
  const signal = newCrystalTask();
  single = { source, place, id: prediction.material_id };
  history.pushState({ crystal: true }, "", "#crystals");
  say(`Reading ${source.name} …`);
  try {
    const both = requestBoth(source, signal);
    await showCrystal(await both.crystals, both.prediction, signal);
    byId("results").querySelector("canvas").focus({ preventScroll: true });
    byId("results").scrollIntoView({ block: "start" });
  } catch (error) {
    report(error);
  }
}

/** Back from a crystal: the table as it was. */
function returnToTable() {
  if (!single || (sources.length === 1 && !byId("results").querySelector(".back"))) return;
  newCrystalTask();
  single = null;
  replaceContent(byId("results"), table.element);
  say("");
  if (listOptions !== JSON.stringify(options())) settingsChanged();
}

async function contributions(model) {
  const answer = await api.fetchCrystals(single.source, { model, id: single.id }, crystalTask.signal);
  return pick(answer.crystals, single).contributions;
}

async function settingsChanged() {
  if (!sources.length) return;
  if (!single) {
    if (sources.length <= QUICK) return again();
    return replaceContent(
      byId("status"),
      "The settings changed. ",
      make("button", { type: "button", class: "button small", onclick: again }, "Predict again"),
    );
  }
  const signal = newCrystalTask();
  try {
    await showPrediction(predictOne(single.source, signal), signal);
  } catch (error) {
    report(error);
  }
}

function again() {
  failures = [];
  showFailures(byId("failures"), failures);
  return showTable();
}

async function downloadCsv() {
  const signal = newListTask();
  say("Predicting for the CSV …");
  await runList(signal, async (onprogress) => {
    download(await csvOfAll(sources, options(), { signal, onprogress }), "predictions.csv");
    say("The CSV is complete.");
  });
}

function showView() {
  const runs = location.hash === "#runs";
  byId("runs-view").hidden = !runs;
  byId("crystals-view").hidden = runs;
  for (const [id, current] of [
    ["to-runs", runs],
    ["to-crystals", !runs],
  ]) {
    if (current) byId(id).setAttribute("aria-current", "page");
    else byId(id).removeAttribute("aria-current");
  }
  if (runs) runsPanel.open();
  else runsPanel.close();
}

async function loadModels() {
  try {
    settings.setModels(await api.fetchModels());
  } catch (error) {
    report(error);
  }
}

api.takeTokenFromAddress();
api.setTokenQuestion(askForToken);
addEventListener("popstate", () => {
  showView();
  if (location.hash !== "#runs" && !history.state?.crystal) returnToTable();
});
byId("cancel").addEventListener("click", () => {
  listTask.abort();
  say("Stopped.");
});
startIntake(accept);
showView();
modelsLoaded = loadModels();
api.fetchExamples().then((examples) => showExamples(examples, accept), report);
