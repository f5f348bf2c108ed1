// Requests to the server: its address, the token, waiting while it is busy, errors in words.

const BASE = new URL("api/v1/", document.baseURI);
const TOKEN_KEY = "crystallite-token";
const MAX_TRIES_WHEN_BUSY = 5;

/** An answer of the server other than 200, or none at all; `message` is for a person. */
export class ServerError extends Error {
  constructor(message, status = 0, errors = []) {
    super(message);
    this.status = status;
    this.errors = errors;
  }
}

let askForToken = async () => null;

/** `ask(wasWrong)` resolves to a token, or null if the user gives none. */
export const setTokenQuestion = (ask) => (askForToken = ask);

/** Take the token from `#token=...` and remove it from the address bar. */
export function takeTokenFromAddress() {
  const match = /[#&]token=([^&]+)/.exec(location.hash);
  if (!match) return;
  sessionStorage.setItem(TOKEN_KEY, decodeURIComponent(match[1]));
  history.replaceState(null, "", location.pathname + location.search);
}

const pause = (seconds, signal) =>
  new Promise((resolve, reject) => {
    const timer = setTimeout(resolve, 1000 * seconds);
    signal?.addEventListener("abort", () => {
      clearTimeout(timer);
      reject(signal.reason);
    });
  });

async function send(path, options) {
  const headers = { Accept: "application/json", ...options.headers };
  const token = sessionStorage.getItem(TOKEN_KEY);
  if (token) headers.Authorization = `Bearer ${token}`;
  try {
    return await fetch(new URL(path, BASE), { ...options, headers });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new ServerError("The server does not answer. Is crystallite serve still running?");
  }
}

async function failure(response) {
  let answer = {};
  try {
    answer = await response.json();
  } catch {
    // not JSON: the status has to do
  }
  const detail = typeof answer.detail === "string" ? answer.detail : `The server answered ${response.status}.`;
  return new ServerError(detail, response.status, answer.errors ?? []);
}

let question = null; // one form for all requests that were refused meanwhile

async function newToken() {
  question ??= askForToken(Boolean(sessionStorage.getItem(TOKEN_KEY))).finally(() => (question = null));
  const token = await question;
  if (token) sessionStorage.setItem(TOKEN_KEY, token);
  return Boolean(token);
}

async function request(path, options = {}) {
  for (let tries = 1; ; tries++) {
    const used = sessionStorage.getItem(TOKEN_KEY);
    const response = await send(path, options);
    if (response.ok) return response;
    if (response.status === 401) {
      if (used !== sessionStorage.getItem(TOKEN_KEY) || (await newToken())) continue;
    } else if (response.status === 429 && tries < MAX_TRIES_WHEN_BUSY) {
      const seconds = Number(response.headers.get("Retry-After")) || 2;
      await pause(Math.min(seconds, 30), options.signal);
      continue;
    }
    throw await failure(response);
  }
}

const getJson = async (path, signal) => (await request(path, { signal })).json();

const post = (path, body, { signal, accept = "application/json" } = {}) =>
  request(path, {
    method: "POST",
    body: JSON.stringify(body),
    headers: { "Content-Type": "application/json", Accept: accept },
    signal,
  });

export const fetchModels = async () => (await getJson("models")).models;
export const fetchExamples = async () => (await getJson("examples")).examples;
export const fetchRuns = async (signal) => (await getJson("runs", signal)).runs;
export const fetchRun = (name, signal) => getJson(`runs/${encodeURIComponent(name)}`, signal);
export const fetchModel = (name) => getJson(`models/${encodeURIComponent(name)}`);

/** Crystals of a file to draw: all, or the one with this id. */
export const fetchCrystals = async (source, { model = null, id = null }, signal) =>
  (await post("crystals", { name: source.name, text: source.text, model, material_id: id }, { signal })).json();

export const predict = async (body, signal) => (await post("predict", body, { signal })).json();

/** The same as the CSV that the command line writes; `failed` counts structures that could not be used. */
export async function predictCsv(body, signal) {
  const response = await post("predict", body, { signal, accept: "text/csv" });
  return { text: await response.text(), failed: Number(response.headers.get("X-Errors") ?? 0) };
}
