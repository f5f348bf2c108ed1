// Structures come in: dropped, chosen, pasted or as an example. Each becomes { name, text } with a name of its own.

import { byId, make, replaceContent } from "./dom.js";

const MAX_FILE_BYTES = 32 * 2 ** 20; // larger files would stop the browser; the server refuses them anyway

/** `accept(sources, failures)` takes what was read and [{ source, reason }] of what was not. */
export function startIntake(accept) {
  const take = async (files) => {
    const { sources, failures } = await readFiles(files);
    if (sources.length || failures.length) accept(sources, failures);
  };
  const input = byId("file-input");
  input.addEventListener("change", async () => {
    await take([...input.files].map((file) => ({ file, path: file.webkitRelativePath || file.name })));
    input.value = ""; // so that the same file can be chosen again
  });
  startDropping(take);
  startPasting(take, accept);
}

export function showExamples(examples, accept) {
  const buttons = examples.map((example) =>
    make(
      "button",
      {
        type: "button",
        class: "button small",
        "data-testid": "example",
        onclick: () => accept([{ name: example.file, text: example.text }], []),
      },
      example.name,
    ),
  );
  replaceContent(byId("examples"), examples.length ? make("span", { class: "note" }, "Or an example:") : null, buttons);
}

async function readFiles(files) {
  const sources = [];
  const failures = [];
  const taken = new Set();
  for (const { file, path } of files) {
    const name = ownName(path, file.name, taken);
    if (file.size > MAX_FILE_BYTES) failures.push({ source: name, reason: "larger than 32 MB" });
    else if (file.size === 0) failures.push({ source: name, reason: "the file is empty" });
    else {
      try {
        sources.push({ name, text: await file.text() });
      } catch {
        failures.push({ source: name, reason: "the browser cannot read the file" });
      }
    }
  }
  return { sources, failures };
}

/** A name as the server keeps it, so that its answers are told by it; with folders, or a number, where it is taken. */
function ownName(path, name, taken) {
  const plain = (text) => [...text.replace(/[\p{C}\p{Zl}\p{Zp}]|(?! )\p{Zs}/gu, "")].slice(-180).join("");
  let found = plain(name.split(/[\\/]/).at(-1));
  if (taken.has(found)) found = plain(path.replace(/[\\/]/g, "-"));
  const [, stem, ending] = /^(.*?)(\.[^.]*)?$/.exec(found);
  for (let number = 2; taken.has(found); number++) found = `${stem}-${number}${ending ?? ""}`;
  taken.add(found);
  return found;
}

function startDropping(take) {
  const hint = byId("drop-hint");
  const hasFiles = (event) => [...(event.dataTransfer?.types ?? [])].includes("Files");
  addEventListener("dragover", (event) => {
    if (!hasFiles(event)) return;
    event.preventDefault();
    hint.hidden = false;
  });
  addEventListener("dragleave", (event) => {
    if (!event.relatedTarget) hint.hidden = true;
  });
  addEventListener("drop", async (event) => {
    if (!hasFiles(event)) return;
    event.preventDefault();
    hint.hidden = true;
    await take(await droppedFiles(event.dataTransfer));
  });
}

/** Dropped files and those of dropped folders. */
async function droppedFiles(transfer) {
  const entries = [...transfer.items].map((item) => item.webkitGetAsEntry?.()).filter(Boolean);
  if (!entries.length) return [...transfer.files].map((file) => ({ file, path: file.name }));
  const found = [];
  for (const entry of entries) await collect(entry, found);
  return found;
}

async function collect(entry, found) {
  if (entry.isFile) {
    const file = await new Promise((resolve, reject) => entry.file(resolve, reject)).catch(() => null);
    if (file && !file.name.startsWith(".")) found.push({ file, path: entry.fullPath.replace(/^\//, "") });
    return;
  }
  const reader = entry.createReader();
  for (;;) {
    const some = await new Promise((resolve, reject) => reader.readEntries(resolve, reject)).catch(() => []);
    if (!some.length) return;
    for (const child of some) await collect(child, found);
  }
}

function startPasting(take, accept) {
  const area = byId("paste-text");
  const submit = (text) => {
    if (text.trim()) accept([{ name: nameForText(text), text }], []);
    else area.focus();
  };
  byId("paste-form").addEventListener("submit", (event) => {
    event.preventDefault();
    submit(area.value);
  });
  addEventListener("paste", async (event) => {
    if (event.target.closest?.("input, textarea, select, dialog")) return;
    const files = [...event.clipboardData.files];
    if (files.length) return take(files.map((file) => ({ file, path: file.name })));
    const text = event.clipboardData.getData("text/plain");
    if (text.trim()) submit(text);
  });
}

/** The ending tells the server the format, so pasted text needs a name that fits it. */
export function nameForText(text) {
  const start = text.trimStart();
  if (/^\s*(data_|_cell_|_symmetry|_space_group)/m.test(text)) return "pasted.cif";
  if (/^[{[]/.test(start)) return "pasted.json";
  if (/^\d+\s*\n[^\n]*lattice\s*=/i.test(start)) return "pasted.extxyz";
  const lines = start.split("\n");
  const isVector = (line) => /^\s*(-?[\d.]+(e[-+]?\d+)?\s+){2}-?[\d.]+/i.test(line ?? "");
  if (isVector(lines[2]) && isVector(lines[3]) && isVector(lines[4])) return "pasted.vasp";
  return "pasted.cif";
}
