// The keyboard: moving among tasks or parts with real focus, so that Enter, Tab and a screen reader go on from there.

import { h } from "./dom.js";

const KEYS = [
  ["j or ↓, k or ↑", "next or previous task; on a task's page, part"],
  ["Enter", "open the task"],
  ["Esc", "back to all tasks; close what is open"],
  ["/", "search the tasks"],
  ["← →", "in a timeline, the bar or gate before or after"],
  ["?", "these keys"],
];
const help = document.getElementById("help");
const main = document.getElementById("main");

// Where to go back to, and which task to stand on there.
let overviewAt = "#/";
let cameFrom = "";
let afterwards = null;

const onTask = (hash = location.hash) => hash.startsWith("#/task/");

export function listen() {
  document.addEventListener("keydown", pressed);
  document.getElementById("help-button").addEventListener("click", showKeys);
  if (!onTask()) overviewAt = location.hash || "#/";
  window.addEventListener("hashchange", (event) => {
    const before = new URL(event.oldURL).hash;
    if (!onTask(before)) overviewAt = before || "#/";
    else cameFrom = before;
    // A filter keeps the focus where it is; another page takes it to its beginning.
    if (onTask() || onTask(before)) afterwards ??= onTask() ? () => focusOn(main) : back;
  });
  return { settled };
}

// What was asked for can be done once the view is there.
function settled() {
  const act = afterwards;
  afterwards = null;
  act?.();
}

function back() {
  focusOn([...main.querySelectorAll(".row-link")].find((link) => link.getAttribute("href") === cameFrom) ?? main);
}

function focusOn(node) {
  node?.focus({ preventScroll: node === main });
}

function pressed(event) {
  if (event.ctrlKey || event.metaKey || event.altKey || event.defaultPrevented) return;
  if (document.querySelector("dialog[open]")) return;
  const typing = event.target.matches?.("input, select, textarea");
  if (typing && event.key !== "Escape") return;
  const act = ACTIONS[event.key];
  if (act && act(event) !== false) event.preventDefault();
}

const ACTIONS = {
  j: () => step(1),
  k: () => step(-1),
  ArrowDown: (event) => arrow(event, 1),
  ArrowUp: (event) => arrow(event, -1),
  Escape: escape,
  "/": search,
  "?": showKeys,
};

// Arrows scroll as ever, unless somebody is moving among the tasks or has not begun to do anything.
function arrow(event, by) {
  const at = document.activeElement;
  if (onTask() || !(at === document.body || at === main || at.matches(".row-link, #search"))) return false;
  return step(by);
}

function step(by) {
  const places = [...main.querySelectorAll(onTask() ? "section > h2" : ".row-link")];
  if (places.length === 0) return false;
  const at = places.indexOf(document.activeElement);
  const next = at < 0 ? (by > 0 ? 0 : places.length - 1) : Math.min(Math.max(at + by, 0), places.length - 1);
  places[next].focus();
  places[next].scrollIntoView({ block: "nearest" });
}

function escape(event) {
  if (event.target.id === "search") (main.querySelector(".row-link") ?? main).focus();
  else if (onTask()) location.hash = overviewAt;
  else return false;
}

function search() {
  const field = () => document.getElementById("search")?.focus();
  if (!onTask()) return field();
  afterwards = field;
  location.hash = overviewAt;
}

function showKeys() {
  help.replaceChildren(
    h("div", { class: "dialog-head" }, h("h2", { id: "help-name" }, "Keys"), h("button", { type: "button", onclick: () => help.close() }, "Close")),
    h("dl", { class: "keys" }, KEYS.map(([key, meaning]) => h("div", {}, h("dt", {}, h("kbd", {}, key)), h("dd", {}, meaning)))),
    h("p", { class: "note" }, "Everything can be reached with Tab as well."));
  help.showModal();
}
