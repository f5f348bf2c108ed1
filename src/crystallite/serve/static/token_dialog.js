// Asks for the token of a server that wants one.

import { byId } from "./dom.js";

/** Resolves to the token, or null if the user gives none. */
export function askForToken(wasWrong) {
  const dialog = byId("token-dialog");
  if (wasWrong)
    byId("token-note").textContent = "That is not this server's token. Whoever started the server knows it.";
  byId("token").value = "";
  dialog.showModal();
  return new Promise((resolve) => {
    const done = () => resolve(dialog.returnValue === "use" ? byId("token").value.trim() : null);
    dialog.addEventListener("close", done, { once: true });
  });
}
