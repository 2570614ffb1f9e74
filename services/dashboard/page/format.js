// How times and sizes are put in words.

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

// How long something took; short things with a decimal, minutes with their seconds.
export function took(seconds) {
  if (seconds < 10) return `${seconds.toFixed(1)} s`;
  if (seconds < 60) return duration(seconds);
  return seconds < 3600 ? `${Math.floor(seconds / 60)} min ${Math.round(seconds % 60)} s` : duration(seconds);
}

// The same where there is room for six characters.
export function brief(seconds) {
  const s = Math.max(0, Math.round(seconds));
  if (s < 100) return `${s} s`;
  if (s < 6000) return `${Math.round(s / 60)} min`;
  return s < 360_000 ? `${Math.round(s / 3600)} h` : `${Math.round(s / 86400)} d`;
}

// An age that goes on by itself; `tick` moves it.
export function age(since, before = "", after = "", form = "duration") {
  if (!since) return null;
  return h("time", { datetime: since, title: stamp(since), "data-before": before, "data-after": after, "data-form": form, class: "age" },
    told(since, before, after, form));
}

export function tick() {
  for (const node of document.querySelectorAll("time.age")) {
    const text = told(node.dateTime, node.dataset.before, node.dataset.after, node.dataset.form);
    if (node.textContent !== text) node.textContent = text;
  }
}

function told(since, before, after, form) {
  return before + (form === "brief" ? brief : duration)((now() - Date.parse(since)) / 1000) + after;
}

const clock = new Intl.DateTimeFormat(undefined, { hour: "2-digit", minute: "2-digit", second: "2-digit" });
const full = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "medium" });

export function stamp(time) {
  return full.format(new Date(time));
}

export function clockTime(time) {
  return clock.format(new Date(time));
}

export function moment(time) {
  return h("time", { datetime: time, title: `${stamp(time)} (${new Date(time).toISOString()})`, class: "mono" }, clockTime(time));
}

export function size(bytes) {
  if (bytes < 1024) return `${bytes} B`;
  if (bytes < 1024 * 1024) return `${(bytes / 1024).toFixed(1)} KiB`;
  return `${(bytes / 1024 / 1024).toFixed(1)} MiB`;
}
