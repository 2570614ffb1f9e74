// All tasks: how many are in each stage, the board, and what needs somebody.

import { alerts, deadLetters, outcomes } from "./attention.js";
import { board } from "./board.js";
import { get } from "./data.js";
import { h } from "./dom.js";
import { badge } from "./status.js";

const FILTERS = [["", "all"], ["underway", "running"], ["queued", "queued"], ["parked", "parked"], ["incident", "incidents"], ["done", "done"], ["cancelled", "cancelled"]];
const FIRST = 50, MOST = 500;

let shown = FIRST;
let typing = null;

// What is shown is part of the address, so that it can be passed on.
function wanted() {
  const query = new URLSearchParams(location.hash.split("?")[1] ?? "");
  const show = query.get("show") ?? "";
  return { show: FILTERS.some(([value]) => value === show) ? show : "", text: (query.get("text") ?? "").slice(0, 200) };
}

function address({ show, text }) {
  const query = new URLSearchParams(Object.entries({ show, text }).filter(([, value]) => value));
  return query.size > 0 ? `#/?${query}` : "#/";
}

export async function read() {
  const { show, text } = wanted();
  const query = new URLSearchParams({ limit: shown, ...(show && { phase: show }), ...(text && { text }) });
  const [system, stages, list, alerts, dead] = await Promise.all([
    get("system"),
    get("stages"),
    get(`tasks?${query}`),
    get("alerts?state=open&limit=50"),
    get("dead-letters?limit=20").catch((error) => ({ error: error.message, dead_letters: [] })),
  ]);
  return { system, stages, list, alerts: alerts.alerts, dead };
}

// Positions up to which the answer is known to be: news beyond them has not been folded yet.
export function reached({ list }) {
  return new Map(list.tasks.map((card) => [card.id, card.position]));
}

export function tasks({ list }) {
  return list.tasks;
}

export function title() {
  return "Autopilot";
}

export function systemLine(system) {
  const { mode, running, max_concurrent: slots, active, parked, open_alerts: open } = system;
  return [
    h("span", { class: "fact" }, h("b", {}, `${running}/${slots}`), " slots in use"),
    h("span", { class: "fact" }, h("b", {}, active), " not ended"),
    h("a", { class: "fact", href: "#/?show=parked" }, h("b", {}, parked), " parked"),
    h("button", { type: "button", class: "badge", "data-tone": open > 0 ? "bad" : "", onclick: toAlerts }, open === 1 ? "1 alert" : `${open} alerts`),
    badge(`mode ${mode.mode}`, mode.mode === "normal" ? "" : "bad", mode.reason ? `${mode.actor}: ${mode.reason}` : ""),
    system.disks.filter((disk) => disk.pressure).map((disk) => badge(`disk ${disk.volume} ${Math.round(disk.used_percent)} % full`, "bad")),
  ].flat().filter(Boolean);
}

function toAlerts() {
  if (!document.getElementById("alerts")) location.hash = "#/";
  const look = () => document.getElementById("alerts-name")?.focus();
  document.getElementById("alerts") ? look() : setTimeout(look, 400);
}

export function view(data, refresh) {
  return [
    h("div", { class: "halves", "data-key": "overview" },
      h("section", { class: "tasks", "aria-labelledby": "tasks-name", "data-key": "tasks" },
        h("div", { class: "section-head" }, h("h2", { id: "tasks-name", tabindex: "-1" }, "Tasks"), search(refresh), filters(data.system)),
        board(data),
        data.list.tasks.length === 0 && none(),
        more(data.list, refresh)),
      h("div", { class: "side", "data-key": "side" }, alerts(data), deadLetters(data), outcomes(data))),
  ];
}

function filters(system) {
  const { show, text } = wanted();
  const counts = { parked: system.parked, incident: system.outcomes.incident };
  return h("nav", { class: "filters", "aria-label": "Which tasks are shown" }, FILTERS.map(([value, name]) =>
    h("a", { href: address({ show: value, text }), "aria-current": value === show ? "true" : null, onclick: () => { shown = FIRST; } },
      name, counts[value] > 0 && h("b", {}, ` ${counts[value]}`))));
}

function search(refresh) {
  const take = (event) => {
    clearTimeout(typing);
    const text = event.target.value;
    typing = setTimeout(() => {
      history.replaceState(null, "", address({ ...wanted(), text }));
      shown = FIRST;
      refresh();
    }, 200);
  };
  return h("label", { class: "search" }, h("span", { class: "sr" }, "Search tasks"),
    h("input", { id: "search", type: "search", placeholder: "Search  /", autocomplete: "off", spellcheck: "false", maxlength: 200, value: wanted().text, oninput: take }));
}

function more(list, refresh) {
  if (!list.next) return null;
  return shown < MOST
    ? h("button", { type: "button", class: "quiet", onclick: () => { shown = Math.min(shown + 100, MOST); refresh(); } }, "Show more")
    : h("p", { class: "note" }, `The latest ${MOST}. Search for others, or see `, h("code", {}, "autopilot tasks"), ".");
}

function none() {
  const { show, text } = wanted();
  if (show || text) return h("p", { class: "empty" }, "No task is like this. ", h("a", { href: "#/" }, "Show all"));
  return h("p", { class: "empty" }, "No task has been submitted yet. Hand one in with ", h("code", {}, "autopilot submit task.yaml"), ", or watch some with ", h("code", {}, "make demo"), ".");
}
