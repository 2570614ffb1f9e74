// All tasks: the flow through the stages, the list, alerts.

import { get } from "./data.js";
import { h, outside } from "./dom.js";
import { age, now, phase, setServerTime, simulated } from "./format.js";

const STAGES = ["spec", "plan", "think", "implement", "verify", "review", "pr", "monitor"];
const GATES = { plan: "gate 0", verify: "gates 1–3", review: "gates 4–5" };
const CARDS = 6;
const FILTERS = [
  ["", "all"],
  ["active", "not ended"],
  ["done", "done"],
  ["incident", "incident"],
  ["parked", "parked"],
  ["cancelled", "cancelled"],
];

let filter = "";
let shown = 50;

export async function read() {
  const wanted = filter ? `&phase=${filter}` : "";
  const [system, stages, active, list, alerts, dead] = await Promise.all([
    get("system"),
    get("stages"),
    get("tasks?phase=active&limit=300"),
    get(`tasks?limit=${shown}${wanted}`),
    get("alerts?state=open&limit=50"),
    get("dead-letters?limit=20").catch((error) => ({ error: error.message, dead_letters: [] })),
  ]);
  setServerTime(system.now);
  return { system, stages, active: active.tasks, list, alerts: alerts.alerts, dead };
}

// Positions up to which the answer is known to be: news beyond them has not been folded yet.
export function reached({ active, list }) {
  return new Map([...list.tasks, ...active].map((card) => [card.id, card.position]));
}

export function systemLine(system) {
  const { mode, running, max_concurrent: slots, active, open_alerts: open } = system;
  return [
    h("span", { class: "badge", "data-tone": mode.mode === "normal" ? "good" : "bad", title: mode.reason ? `${mode.actor}: ${mode.reason}` : "" }, `mode ${mode.mode}`),
    h("span", { class: "fact" }, h("b", {}, `${running}/${slots}`), " slots taken"),
    h("span", { class: "fact" }, h("b", {}, active), " not ended"),
    open > 0 && h("a", { class: "badge", "data-tone": "bad", href: "#/", onclick: () => document.getElementById("alerts")?.scrollIntoView() }, `${open} open alert${open > 1 ? "s" : ""}`),
    system.disks.filter((disk) => disk.pressure).map((disk) => h("span", { class: "badge", "data-tone": "bad" }, `disk ${disk.volume} ${Math.round(disk.used_percent)} % full`)),
  ].flat().filter(Boolean);
}

export function view(data, refresh) {
  return [
    flow(data),
    h("div", { class: "halves", "data-key": "halves" }, tasks(data, refresh), h("div", { class: "side" }, alerts(data), deadLetters(data), outcomes(data))),
  ];
}

function flow({ stages, active }) {
  const columns = [["queue", stages.queue], ...stages.stages.map((column) => [column.stage, column])];
  return h("section", { "data-key": "flow", "aria-labelledby": "flow-name" },
    h("h2", { id: "flow-name" }, "Flow"),
    h("ol", { class: "flow" }, columns.map(([name, column]) => {
      const cards = active.filter((card) => !card.synthetic && placeOf(card) === name);
      return h("li", { class: "column", "data-key": name, "data-empty": column.count === 0, "data-gate": GATES[name] },
        h("div", { class: "column-head" },
          h("h3", {}, name),
          h("span", { class: "count", "aria-label": `${column.count} tasks` }, column.count),
          h("span", { class: "oldest" }, column.oldest_s !== null && age(new Date(now() - 1000 * column.oldest_s).toISOString(), "oldest "))),
        h("ul", { class: "cards" },
          cards.slice(0, CARDS).map(card),
          column.count > CARDS && h("li", { class: "more" }, `and ${column.count - CARDS} more`)),
        GATES[name] && h("span", { class: "gate" }, GATES[name]));
    })),
    stages.synthetic > 0 && h("p", { class: "note" }, `${stages.synthetic} simulated task${stages.synthetic > 1 ? "s are" : " is"} not counted here.`));
}

function placeOf(card) {
  return card.phase === "queued" || !STAGES.includes(card.stage) ? "queue" : card.stage;
}

function card(task) {
  return h("li", { "data-key": task.id },
    h("a", { class: "card", href: `#/task/${task.id}` },
      h("span", { class: "card-title" }, task.title),
      h("span", { class: "card-facts" },
        phase(task.phase),
        task.attempt > 1 && h("span", { class: "badge", "data-tone": "warn" }, `attempt ${task.attempt}`),
        task.priority === "urgent" && h("span", { class: "badge", "data-tone": "warn" }, "urgent"),
        age(task.stage_since ?? task.submitted_at))));
}

function tasks({ list }, refresh) {
  const select = h("select", { id: "filter", onchange: (event) => { filter = event.target.value; shown = 50; refresh(); } },
    FILTERS.map(([value, text]) => h("option", { value, selected: value === filter }, text)));
  return h("section", { class: "tasks", "aria-labelledby": "tasks-name" },
    h("div", { class: "section-head" }, h("h2", { id: "tasks-name" }, "Tasks"), h("label", { class: "choice" }, "show ", select)),
    list.tasks.length === 0 ? noTasks() : h("table", { class: "list" },
      h("thead", {}, h("tr", {}, ["Task", "State", "Stage", "Pull request", "Submitted"].map((name) => h("th", { scope: "col" }, name)))),
      h("tbody", {}, list.tasks.map(row))),
    list.next && h("button", { type: "button", class: "quiet", onclick: () => { shown = Math.min(shown + 100, 500); refresh(); } }, shown < 500 ? "Show more" : "The list ends here; `autopilot tasks` shows all"));
}

function row(task) {
  return h("tr", { "data-key": task.id },
    h("td", { class: "cell-title" },
      h("a", { href: `#/task/${task.id}` }, task.title),
      h("span", { class: "mono dim" }, task.id), " ", simulated(task)),
    h("td", { "data-label": "State" }, phase(task.phase), task.reason && h("span", { class: "reason" }, task.reason)),
    h("td", { "data-label": "Stage" }, task.stage || "–", task.attempt > 1 ? `, attempt ${task.attempt}` : ""),
    h("td", { "data-label": "Pull request" }, task.pull_requests.length ? task.pull_requests.map((pull) => h("span", { class: "pull" }, outside(pull.url, `${pull.repo} #${pull.number}`), pull.draft ? " draft" : "")) : "–"),
    h("td", { "data-label": "Submitted" }, age(task.submitted_at, "", " ago")));
}

function noTasks() {
  return filter
    ? h("p", { class: "empty" }, `No task is in this state.`)
    : h("p", { class: "empty" }, "No task has been submitted yet. Hand one in with ", h("code", {}, "autopilot submit task.yaml"), ", or watch four of them with ", h("code", {}, "make demo"), ".");
}

function alerts({ alerts: open }) {
  return h("section", { id: "alerts", "aria-labelledby": "alerts-name" },
    h("h2", { id: "alerts-name" }, "Open alerts"),
    open.length === 0 ? h("p", { class: "empty" }, "Nothing needs you. Alerts appear here and stay until their cause is gone.") : h("ul", { class: "plain" }, open.map((alert) =>
      h("li", { class: "alert", "data-key": alert.id, "data-tone": alert.severity === "critical" ? "bad" : "warn" },
        h("b", {}, alert.severity), " ", h("span", {}, alert.summary), " ", age(alert.raised_at, "", " ago"),
        alert.task_id && h("span", {}, " ", h("a", { href: `#/task/${alert.task_id}` }, "look at the task")),
        h("span", { class: "dim" }, sinks(alert))))));
}

function sinks(alert) {
  const told = Object.entries(alert.sinks).map(([name, state]) =>
    state.delivered_at ? `${name} told` : state.reason ? `${name} not told after ${state.attempts} tries: ${state.reason}` : `${name} not told yet`);
  return told.join("; ");
}

function deadLetters({ dead }) {
  if (!dead.error && dead.dead_letters.length === 0) return null;
  return h("section", { "aria-labelledby": "dead-name" },
    h("h2", { id: "dead-name" }, "Dead letters"),
    dead.error ? h("p", { class: "empty" }, `The bus could not be asked: ${dead.error}`) : h("ul", { class: "plain" }, dead.dead_letters.map((letter) =>
      h("li", { class: "alert", "data-tone": "warn", "data-key": letter.id },
        h("b", { class: "mono" }, letter.consumer), ` gave up ${letter.type || "a message"} after ${letter.attempts} tries: ${letter.reason}`))),
    !dead.error && h("p", { class: "note" }, "See ", h("code", {}, "autopilot dlq list"), "."));
}

function outcomes({ system }) {
  const { outcomes: ended, outcome_window: window } = system;
  if (window === 0) return null;
  return h("section", { "aria-labelledby": "outcomes-name" },
    h("h2", { id: "outcomes-name" }, "Outcomes"),
    h("dl", { class: "facts" }, Object.entries(ended).map(([name, count]) => h("div", {}, h("dt", {}, phase(name)), h("dd", {}, count)))),
    h("p", { class: "note" }, `Of the latest ${window} task${window > 1 ? "s" : ""}, simulated ones left out.`));
}
