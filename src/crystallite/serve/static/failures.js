// Files that could not be used, each with its reason.

import { make, replaceContent } from "./dom.js";
import { formatCount } from "./text.js";

const SHOWN = 200;

/** `failures`: [{ source, reason }] */
export function showFailures(container, failures) {
  if (!failures.length) return replaceContent(container);
  const shown = failures.slice(0, SHOWN);
  replaceContent(
    container,
    make(
      "section",
      { class: "failures", "aria-labelledby": "failures-title", "data-testid": "failures" },
      make("h2", { id: "failures-title" }, `Not predicted: ${formatCount(failures.length, "structure")}`),
      make(
        "ul",
        {},
        shown.map(({ source, reason }) => make("li", {}, make("strong", {}, source), `: ${reason}`)),
      ),
      failures.length > shown.length
        ? make("p", { class: "note" }, `and ${failures.length - shown.length} more`)
        : null,
    ),
  );
}
