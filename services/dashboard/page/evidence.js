// What is stored of a task, to be looked at in place.

import { h } from "./dom.js";
import { size } from "./format.js";
import { part } from "./part.js";
import { openEvidence } from "./viewer.js";

// Beyond that many the list would be a burden; the command line has them all.
const MOST = 300;

export function evidence(task) {
  const list = task.evidence.slice(-MOST);
  return part("evidence", "Evidence",
    list.length === 0
      ? h("p", { class: "empty" }, "Nothing is stored yet. Stages leave logs, diffs and reports here.")
      : h("table", { class: "list" },
        h("thead", {}, h("tr", {}, ["What", "From", "Type", "Size"].map((name) => h("th", { scope: "col" }, name)))),
        h("tbody", {}, list.map((item) => h("tr", { "data-key": `${item.run_id} ${item.digest} ${item.name}` },
          h("td", { class: "cell-main" }, h("button", { type: "button", class: "quiet", onclick: () => openEvidence(item.digest, item.name) }, item.name)),
          h("td", { "data-label": "From" }, `${item.stage} ${item.attempt}`),
          h("td", { "data-label": "Type", class: "dim" }, item.media_type),
          h("td", { "data-label": "Size", class: "number" }, size(item.size)))))),
    task.evidence.length > MOST && h("p", { class: "note" }, `The latest ${MOST} of ${task.evidence.length}. `, h("code", {}, `autopilot evidence ${task.id}`), " lists all."));
}
