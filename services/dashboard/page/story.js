// What happened, sentence by sentence; and the ways back to the plan.

import { h } from "./dom.js";
import { moment } from "./format.js";
import { part, problems } from "./part.js";
import { badge } from "./status.js";

export function loops(task) {
  return task.loops.length > 0 && part("loops", "Loops", h("ol", { class: "plain" }, task.loops.map((loop) =>
    h("li", { class: "panel", "data-key": loop.loop, "data-tone": loop.outcome === "closed" ? "good" : "warn" },
      h("p", {}, h("b", {}, `Loop ${loop.loop}`), ` after ${loop.stage}: `, h("code", {}, loop.label), ` (${loop.kind}) `, loop.outcome && badge(loop.outcome, loop.outcome === "closed" ? "good" : "bad"), " ", moment(loop.opened_at)),
      problems(loop.findings),
      loop.different && h("p", {}, `What the next plan does differently: ${loop.different}`)))));
}

// Sentences that are shown at once.
const LATEST = 40;

function sentence(entry) {
  return h("li", { "data-key": entry.position, "data-tone": entry.tone ?? "" },
    moment(entry.at), h("span", {}, entry.text), h("span", { class: "mono dim", title: entry.stream }, `${entry.type} #${entry.position}`));
}

export function story(task) {
  const entries = task.timeline.slice().reverse();
  const [latest, earlier] = [entries.slice(0, LATEST), entries.slice(LATEST)];
  return part("story", "What happened",
    h("ol", { class: "story" }, latest.map(sentence)),
    earlier.length > 0 && h("details", {}, h("summary", {}, `${earlier.length} earlier`), h("ol", { class: "story" }, earlier.map(sentence))),
    task.events > entries.length && h("p", { class: "note" }, `The latest ${entries.length} of ${task.events} events. `, h("code", {}, `autopilot events --task ${task.id}`), " shows all."));
}
