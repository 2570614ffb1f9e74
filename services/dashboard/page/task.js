// One task: where it stands, what it went through, what was changed, and what proves it.

import { changes } from "./changes.js";
import { get } from "./data.js";
import { h } from "./dom.js";
import { rawEvents } from "./events.js";
import { evidence } from "./evidence.js";
import { gates, rubric } from "./gates.js";
import { facts, head, pulls } from "./head.js";
import { failure, incidentPart } from "./incident.js";
import { picture } from "./picture.js";
import { receipts } from "./receipts.js";
import { loops, story } from "./story.js";
import { waiting } from "./waits.js";

export async function read(id) {
  const task = await get(`tasks/${id}`);
  const incident = task.incident_id ? await get(`incidents/${task.incident_id}`).catch(() => null) : null;
  return { task, incident };
}

export function reached({ task }) {
  return new Map([[task.id, task.position]]);
}

export function tasks({ task }) {
  return [task];
}

export function title({ task }, id) {
  return `${task.title || id} – Autopilot`;
}

// A panel is a function from the task to a part, or to nothing where there is nothing to say. Add yours here.
export function view({ task, incident, waits }) {
  return [
    head(task),
    waiting(waits, task),
    pulls(task),
    incident ? incidentPart(incident) : task.phase !== "done" && failure(task),
    picture(task),
    changes(task),
    receipts(task),
    h("div", { class: "pair", "data-key": "judged" }, gates(task), rubric(task)),
    loops(task),
    h("div", { class: "pair", "data-key": "kept" }, facts(task), evidence(task)),
    story(task),
    rawEvents(task.id),
  ].filter(Boolean);
}
