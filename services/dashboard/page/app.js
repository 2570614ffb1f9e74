// The page: which view is shown, and when it is read again. It is read when there is news, and never by the clock.

import { Connection } from "./connection.js";
import { get, Refused } from "./data.js";
import { h, show } from "./dom.js";
import { setServerTime, tick } from "./format.js";
import { listen } from "./keys.js";
import { Live } from "./live.js";
import * as overview from "./overview.js";
import * as task from "./task.js";
import { visible } from "./visible.js";
import { ask, idle, UNKNOWN } from "./waits.js";

const main = document.getElementById("main");
const system = document.getElementById("system");

// Under load events come by the hundred: the page is read again at most this often.
const PAUSE_MS = 600;
// Views are folded a moment after the record: how long the page goes on asking for what it knows has happened.
const PATIENCE_MS = 10_000;
// What the scheduler says of tasks that wait is up to two seconds old: after news of slots it is asked once more.
const AGAIN_MS = 2_200;
// Tasks of which news is remembered; of more, the page is read once more anyway.
const REMEMBERED = 500;

let timer = null;
let reading = false;
let readAt = 0;
let again = false;
// What is shown, and what the scheduler said last of tasks in it that wait.
let shown = null;
let waits = UNKNOWN;
let asking = false;
let askAgain = false;
let late = null;
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
  const asked = location.hash;
  try {
    const [data, state] = await Promise.all([view.read(name), view === overview ? null : get("system")]);
    if (location.hash !== asked) {
      again = true;
      return;
    }
    setServerTime((state ?? data.system).now);
    shown = { view, data, at: asked };
    draw();
    show(system, overview.systemLine(state ?? data.system));
    document.title = visible(view.title(data, name));
    keys.settled();
    settle(view.reached(data));
    askWhy();
    connection.read();
    readAt = Date.now();
  } catch (error) {
    failed(error, name);
  } finally {
    reading = false;
    if (again) {
      again = false;
      schedule(0);
    }
  }
}

function draw() {
  show(main, shown.view.view({ ...shown.data, waits }, refresh));
}

// Nothing waits for this answer; it is added when it comes.
async function askWhy() {
  const ids = idle(shown.view.tasks(shown.data));
  if (ids.length === 0) return;
  askAgain = asking;
  if (asking) return;
  asking = true;
  waits = await ask(ids);
  asking = false;
  if (shown.at === location.hash) draw();
  if (waits.error) schedule(3_000);
  else if (askAgain) askWhy();
}

function failed(error, name) {
  if (error instanceof Refused && error.status === 404 && name) {
    show(main, h("section", { "data-key": "missing" }, h("h2", {}, "No such task"), h("p", { class: "empty" }, `${error.message}. `, h("a", { href: "#/" }, "All tasks"))));
  } else if (error instanceof Refused && error.status === 401) {
    connection.state("ended");
  } else {
    connection.unread(error.message);
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
  const own = !name || news.task_id === name;
  const slots = shown && news.category === "admission" && idle(shown.view.tasks(shown.data)).length > 0;
  if (!own && !slots && news.category !== "mode") return;
  if (slots) {
    clearTimeout(late);
    late = setTimeout(schedule, AGAIN_MS, 0);
  }
  if (own && news.task_id && (expected.size < REMEMBERED || expected.has(news.task_id))) {
    const since = expected.get(news.task_id)?.since ?? Date.now();
    expected.set(news.task_id, { position: news.position, since });
  }
  schedule(150);
}

function onState(name, { since, fresh } = {}) {
  connection.state(name, since);
  if (fresh) schedule(0);
}

const connection = new Connection();
const keys = listen();

window.addEventListener("hashchange", () => {
  expected.clear();
  waits = UNKNOWN;
  window.scrollTo(0, 0);
  readAt = 0;
  refresh();
});
document.getElementById("skip").addEventListener("click", (event) => {
  event.preventDefault();
  main.focus();
});
setInterval(() => {
  tick();
  connection.tick();
}, 1_000);

refresh();
new Live({ onNews, onState }).open();
