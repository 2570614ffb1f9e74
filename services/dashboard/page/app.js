// The page: which view is shown, when it is read again, and whether what it shows is current.

import { get, Refused } from "./data.js";
import { h, show } from "./dom.js";
import { setServerTime, tick } from "./format.js";
import { Live } from "./live.js";
import * as overview from "./overview.js";
import * as task from "./task.js";

const main = document.getElementById("main");
const system = document.getElementById("system");
const notice = document.getElementById("notice");
const link = document.getElementById("link");
const linkText = document.getElementById("link-text");

// Under load events come by the hundred: the page is read again at most this often.
const PAUSE_MS = 600;
// Views are folded a moment after the record: how long the page goes on asking for what it knows has happened.
const PATIENCE_MS = 10_000;
// However quiet it is, the page is compared with the server now and then.
const SAFETY_MS = 30_000;

let timer = null;
let reading = false;
let readAt = 0;
let again = false;
// Task to {position, since}: news that the views did not show yet.
const expected = new Map();

function route() {
  const match = /^#\/task\/([A-Za-z0-9_-]{1,120})$/.exec(location.hash);
  return match ? { name: match[1], view: task } : { name: "", view: overview };
}

async function refresh() {
  clearTimeout(timer);
  timer = null;
  if (reading) {
    again = true;
    return;
  }
  reading = true;
  const { name, view } = route();
  try {
    const data = await view.read(name);
    if (route().name !== name) return;
    show(main, view.view(data, refresh));
    const state = data.system ?? (await get("system"));
    setServerTime(state.now);
    show(system, overview.systemLine(state));
    document.title = name ? `${data.task.title || name} – Autopilot` : "Autopilot";
    settle(view.reached(data));
    readAt = Date.now();
  } catch (error) {
    failed(error, name);
  } finally {
    reading = false;
    if (again || route().name !== name) {
      again = false;
      schedule(0);
    }
  }
}

function failed(error, name) {
  if (error instanceof Refused && error.status === 404 && name) {
    show(main, h("section", { "data-key": "missing" }, h("h2", {}, "No such task"), h("p", { class: "empty" }, `${error.message}. `, h("a", { href: "#/" }, "All tasks"))));
  } else if (error instanceof Refused && error.status === 401) {
    state("ended", {});
  } else {
    say("warn", `The server could not be asked: ${error.message}. It is tried again.`);
    schedule(3_000);
  }
}

function settle(positions) {
  for (const [id, wanted] of expected) {
    const there = (positions.get(id) ?? 0) >= wanted.position;
    if (there || Date.now() - wanted.since > PATIENCE_MS) expected.delete(id);
  }
  if (expected.size > 0) schedule(400);
}

function schedule(wait) {
  if (timer === null || wait === 0) {
    clearTimeout(timer);
    timer = setTimeout(refresh, Math.max(wait, readAt + PAUSE_MS - Date.now(), 0));
  }
}

function onNews(news) {
  const { name } = route();
  if (name && news.task_id !== name && news.category !== "mode") return;
  if (news.task_id && (expected.size < 500 || expected.has(news.task_id))) {
    const since = expected.get(news.task_id)?.since ?? Date.now();
    expected.set(news.task_id, { position: news.position, since });
  }
  schedule(150);
}

let lost = null;

function state(name, { since, fresh } = {}) {
  link.dataset.state = name;
  linkText.textContent = { live: "live", lost: "connection lost", ended: "session ended", connecting: "connecting" }[name];
  document.body.dataset.stale = String(name !== "live");
  lost = name === "lost" ? since : null;
  if (name === "live") {
    say("", "");
    if (fresh) schedule(0);
  } else if (name === "ended") {
    say("bad", "Your session has ended: what you see is not updated any more. Get a new link with `autopilot status`.");
  } else sayLost();
}

function sayLost() {
  if (lost === null) return;
  const seconds = Math.round((Date.now() - lost) / 1000);
  say("bad", `Connection lost: what you see is ${seconds} s old. It is being restored; is the stack up? \`autopilot status\` tells.`);
}

function say(tone, text) {
  notice.dataset.tone = tone;
  if (notice.textContent !== text) notice.textContent = text;
}

window.addEventListener("hashchange", () => {
  expected.clear();
  main.focus({ preventScroll: true });
  window.scrollTo(0, 0);
  schedule(0);
  readAt = 0;
  refresh();
});
setInterval(() => {
  tick();
  sayLost();
}, 1_000);
setInterval(() => !document.hidden && lost === null && schedule(0), SAFETY_MS);

refresh();
new Live({ onNews, onState: state }).open();
