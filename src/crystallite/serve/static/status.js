// The line of status, read aloud by screen readers, and the progress of many files.

import { byId } from "./dom.js";

export function say(text, isError = false) {
  byId("status").textContent = text;
  byId("status").classList.toggle("error", isError);
}

export function showProgress(done, total) {
  const running = done < total;
  byId("progress").value = total ? done / total : 0;
  byId("progress").classList.toggle("invisible", !running);
  byId("cancel").hidden = !running;
}
