// How times, sizes and states are put in words.

import { h } from "./dom.js";

// Milliseconds that the server's clock is ahead of this one.
let ahead = 0;

export function setServerTime(now) {
  ahead = Date.parse(now) - Date.now();
}

export function now() {
  return Date.now() + ahead;
}

export function duration(seconds) {
  const s = Math.max(0, Math.round(seconds));
  if (s < 60) return `${s} s`;
  if (s < 3600) return `${Math.floor(s / 60)} min`;
  if (s < 86400) return `${Math.floor(s / 3600)} h ${Math.floor((s % 3600) / 60)} min`;
  return `${Math.floor(s / 86400)} d ${Math.floor((s % 86400) / 3600)} h`;
}

// How long something took; short things with a decimal.
export function took(seconds) {
  return seconds < 10 ? `${seconds.toFixed(1)} s` : duration(seconds);
}

// An age that goes on by itself; `tick` moves it.
export function age(since, before = "", after = "") {
  if (!since) return null;
  return h("time", { datetime: since, title: stamp(since), "data-before": before, "data-after": after, class: "age" },
    before + duration((now() - Date.parse(since)) / 1000) + after);
}

export function tick() {
  for (const node of document.querySelectorAll("time.age")) {
    const text = node.dataset.before + duration((now() - Date.parse(node.dateTime)) / 1000) + node.dataset.after;
    if (node.textContent !== text) node.textContent = text;
  }
}

const clock = new Intl.DateTimeFormat(undefined, { hour: "2-digit", minute: "2-digit", second: "2-digit" });
const full = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "medium" });

export function stamp(time) {
  return full.format(new Date(time));
}

export function moment(time) {
  return h("time", { datetime: time, title: stamp(time), class: "mono" }, clock.format(new Date(time)));
}

export function size(bytes) {
  if (bytes < 1024) return `${bytes} B`;
  if (bytes < 1024 * 1024) return `${(bytes / 1024).toFixed(1)} KiB`;
  return `${(bytes / 1024 / 1024).toFixed(1)} MiB`;
}

const PHASES = {
  unknown: ["being read", ""],
  queued: ["queued", ""],
  running: ["running", "live"],
  gating: ["at the gate", "live"],
  resolving: ["being resolved", "warn"],
  waiting: ["watched", "live"],
  parked: ["parked", "warn"],
  cancelling: ["being cancelled", "warn"],
  suspending: ["being stopped", "warn"],
  done: ["done", "good"],
  cancelled: ["cancelled", ""],
  incident: ["incident", "bad"],
};

export function phase(name) {
  const [text, tone] = PHASES[name] ?? [name, ""];
  return h("span", { class: "badge", "data-tone": tone }, text);
}

export const SIMULATED = "simulated";

export function simulated(item) {
  return item.synthetic && h("span", { class: "badge", "data-tone": "dashed", title: "Counts in no metric and no gate statistic." }, SIMULATED);
}
