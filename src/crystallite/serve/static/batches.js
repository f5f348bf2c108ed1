// Many structures go to the server a few at a time, one request after the other, so that it stays free for others.

import { predict, predictCsv, ServerError } from "./api.js";

const FILES = 32;
const CHARACTERS = 4_000_000;

function batchesOf(sources) {
  const batches = [];
  let size = Infinity;
  for (const source of sources) {
    if (size + source.text.length > CHARACTERS || batches.at(-1).length >= FILES) {
      batches.push([]);
      size = 0;
    }
    batches.at(-1).push(source);
    size += source.text.length;
  }
  return batches;
}

/** A structure that is too large alone: the server speaks of requests, and of sending fewer. */
export const reasonOfRefusal = (error) =>
  error.status === 413 ? `too large for this server: ${error.message.split(";")[0]}` : error.message;

const failuresOf = (sources, reason) => sources.map(({ name }) => ({ source: name, reason }));

/**
 * Ask `send(batch)` for every batch; `refused(failures)` takes structures that the server does not accept.
 * Throws what leaves no hope for the others, such as a stopped server; then `rest` of the error lists these.
 */
async function sendAll(sources, send, refused, onprogress) {
  const waiting = batchesOf(sources);
  let done = 0;
  while (waiting.length) {
    const batch = waiting.shift();
    try {
      await send(batch);
    } catch (error) {
      if (error instanceof ServerError && error.status === 413 && batch.length > 1) {
        const half = Math.ceil(batch.length / 2);
        waiting.unshift(batch.slice(0, half), batch.slice(half));
        continue;
      }
      if (!(error instanceof ServerError) || ![413, 422].includes(error.status)) {
        error.rest = [batch, ...waiting].flat();
        throw error;
      }
      refused(error.errors.length ? error.errors : failuresOf(batch, reasonOfRefusal(error)));
    }
    done += batch.length;
    onprogress(done);
  }
}

/** `options`: models, interval, neighbours. `take(predictions, failures, notices)` is called as answers arrive. */
export async function predictAll(sources, options, { take, onprogress, signal }) {
  const send = async (batch) => {
    const answer = await predict({ structures: batch, ...options }, signal);
    take(answer.predictions, answer.errors ?? [], answer.notices ?? []);
  };
  try {
    await sendAll(sources, send, (failures) => take([], failures, []), onprogress);
  } catch (error) {
    if (error.rest) take([], failuresOf(error.rest, reasonOf(error)), []);
    throw error;
  }
}

const reasonOf = (error) =>
  error.name === "AbortError" ? "not predicted: stopped" : `not predicted: ${error.message}`;

/** One CSV of all structures that can be used, with one header. */
export async function csvOfAll(sources, options, { onprogress, signal }) {
  const parts = [];
  const send = async (batch) => {
    const { text } = await predictCsv({ structures: batch, ...options }, signal);
    parts.push(parts.length ? text.slice(text.indexOf("\n") + 1) : text);
  };
  await sendAll(sources, send, () => {}, onprogress);
  return new Blob(parts, { type: "text/csv" });
}
