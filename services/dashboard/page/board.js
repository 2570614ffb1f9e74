// The board: a row for each task, a column for the queue and each stage, gates between them.

import { h, lazily, outside } from "./dom.js";
import { age, brief, now, stamp } from "./format.js";
import { ENDED, GATES_AFTER, STAGES, badge, gateIcon, gateWords, phase, simulated, stateIcon, together } from "./status.js";
import { short } from "./waits.js";

// Letters of a long stage's name that a phone has room for.
const SHORT = 4;
const COLUMNS = ["queue", ...STAGES];

export function board({ stages, list, waits }) {
  const counts = new Map([["queue", stages.queue], ...stages.stages.map((column) => [column.stage, column])]);
  return h("div", { class: "board-frame", "data-key": "board" },
    h("table", { class: "board", role: "table", "aria-label": "Tasks by stage" },
      h("thead", { role: "rowgroup" }, h("tr", { role: "row" },
        h("th", { role: "columnheader", scope: "col", class: "of-task" }, "Task"),
        COLUMNS.map((name) => head(name, counts.get(name))),
        h("th", { role: "columnheader", scope: "col", class: "of-pull" }, "PR"),
        h("th", { role: "columnheader", scope: "col", class: "of-age" }, "Time"))),
      h("tbody", { role: "rowgroup" }, list.tasks.map((task) => {
        const why = reason(task, waits.of.get(task.id));
        return lazily("tr", task.id, JSON.stringify([task, why]), () => row(task, why));
      }))),
    stages.synthetic > 0 && h("p", { class: "note" }, `${stages.synthetic} simulated task${stages.synthetic > 1 ? "s are" : " is"} not counted.`));
}

function head(name, { count, oldest_s: oldest }) {
  const since = oldest === null ? null : new Date(now() - 1000 * oldest).toISOString();
  return h("th", { role: "columnheader", scope: "col", class: "column", "data-key": name, "data-empty": count === 0 },
    h("span", { class: "stage-name", title: name }, name.slice(0, SHORT), name.length > SHORT + 3 ? h("span", { class: "tail" }, name.slice(SHORT)) : name.slice(SHORT)), " ",
    h("span", { class: "count", "aria-label": `${count} task${count === 1 ? "" : "s"}` }, count), " ",
    h("span", { class: "oldest", title: since ? "the one that has been in it longest" : null }, since && age(since, "", "", "brief")));
}

function row(task, why) {
  return h("tr", { role: "row", "data-key": task.id, "data-phase": task.phase },
    h("th", { role: "rowheader", scope: "row", class: "of-task" },
      h("a", { class: "row-link", href: `#/task/${task.id}`, title: task.title }, task.title),
      h("span", { class: "row-facts" },
        phase(task.phase),
        why ? h("span", { class: "why", title: why }, why) : [
          task.attempt > 1 && badge(`attempt ${task.attempt}`, "warn"),
          task.priority !== "normal" && badge(task.priority, task.priority === "urgent" ? "warn" : ""),
          simulated(task),
          h("span", { class: "dim" }, `${task.engine} · ${task.repos.join(", ")}`),
          h("span", { class: "dim mono" }, task.id)])),
    h("td", { role: "cell", class: "stage", "data-key": "queue" }, queue(task)),
    STAGES.map((stage, place) => cell(task, stage, task.stages[place] ?? "pending")),
    h("td", { role: "cell", class: "of-pull" }, task.pull_requests.map((pull) =>
      outside(pull.url, `#${pull.number}${pull.draft ? " draft" : ""}`, { class: "pull", title: `${pull.repo} ${pull.url}` }))),
    h("td", { role: "cell", class: "of-age" }, time(task)));
}

// What waits and why, in the line that says the state.
function reason(task, wait) {
  if (task.phase === "queued") return short(wait) || (task.depends_on.length > 0 && !task.started_at ? `for a slot, and for ${task.depends_on.join(", ")}` : "for a slot");
  if (task.phase === "parked") return `${task.reason}; ${task.owner} ends it: ${task.wake_up}`;
  return task.reason;
}

function queue(task) {
  const state = task.phase === "queued" ? "waiting" : "completed";
  const words = state === "waiting" ? "in the queue" : "was let in";
  return [stateIcon(task.phase === "cancelled" && !task.started_at ? "cancelled" : state), h("span", { class: "sr" }, words),
    h("span", { class: "since" }, state === "waiting" && age(task.phase_since, "", "", "brief"))];
}

function cell(task, stage, state) {
  const here = task.stage === stage && !ENDED.includes(task.phase) && task.phase !== "queued";
  const gates = GATES_AFTER[stage];
  const verdicts = gates?.map((gate) => task.gates[gate]).filter(Boolean) ?? [];
  const asked = here && task.phase === "gating";
  const verdict = gates && (together(verdicts.length === gates.length ? verdicts : verdicts.filter((one) => one !== "approve")) || (asked ? "asked" : ""));
  return h("td", { role: "cell", class: "stage", "data-key": stage, "data-state": state, "data-here": here, title: `${stage}: ${state}` },
    stateIcon(state), h("span", { class: "sr" }, `${stage} ${state}`),
    h("span", { class: "since" }, here && age(task.phase === "parked" ? task.phase_since : task.stage_since, "", "", "brief")),
    gates && h("span", { class: "gate", title: `${gateWords(gates)}: ${verdict || "not asked"}` }, gateIcon(verdict), h("span", { class: "sr" }, `, ${gateWords(gates)} ${verdict || "not asked"}`)));
}

function time(task) {
  if (!task.ended_at) return age(task.submitted_at, "", "", "brief");
  const seconds = (Date.parse(task.ended_at) - Date.parse(task.submitted_at)) / 1000;
  return h("time", { datetime: task.ended_at, title: `ended ${stamp(task.ended_at)}` }, brief(seconds));
}
