// Why tasks do not run yet, as the scheduler says it: what each waits for, how many start before it, how long that may take.

import { get } from "./data.js";
import { h } from "./dom.js";
import { brief, clockTime, now, stamp } from "./format.js";
import { part } from "./part.js";
import { badge } from "./status.js";

// Phases in which a task waits for something.
const WAITING = ["queued", "parked", "waiting"];
const KINDS = {
  slot: ["its turn", ""],
  dependency: ["other tasks", ""],
  queue: ["its queue", "warn"],
  hold: ["slots for anybody", "warn"],
  mode: ["another mode", "warn"],
  time: ["time", ""],
  tokens: ["tokens", "warn"],
  files: ["files of other tasks", ""],
  person: ["a person", "warn"],
};

// Those of some tasks that wait.
export function idle(tasks) {
  return tasks.filter((task) => WAITING.includes(task.phase)).map((task) => task.id);
}

// Until there is an answer, the page tells what the record says of each task by itself.
export const UNKNOWN = { of: new Map() };

export async function ask(ids) {
  try {
    const { waits, at } = await get(`waits?${new URLSearchParams(ids.map((id) => ["task", id]))}`);
    return { of: new Map(waits.map((wait) => [wait.id, wait])), at };
  } catch (error) {
    return { of: new Map(), error: error.message };
  }
}

// In a few words, for a row of the board; nothing where the scheduler says nothing.
export function short(wait) {
  if (!wait?.why_not_yet) return "";
  const { waits, position, estimate } = wait;
  if (waits.some(({ kind }) => kind !== "slot")) return waits.filter(({ kind }) => kind !== "slot").map(({ detail }) => detail).join("; ");
  return [position && (position.ahead === 0 ? "next to start" : ahead(position, "ahead")), estimate?.seconds != null && about(estimate)].filter(Boolean).join(", ") || waits[0].detail;
}

export function waiting({ of, at, error }, task) {
  if (!WAITING.includes(task.phase)) return null;
  if (error) return part("wait", "Why it does not run yet", h("p", { class: "note" }, `This cannot be told now: ${error}.`));
  const wait = of.get(task.id);
  if (!wait?.why_not_yet) return null;
  const { waits, position, estimate } = wait;
  return part("wait", "Why it does not run yet",
    h("ul", { class: "plain" }, waits.map((one) => h("li", { class: "panel", "data-key": one.kind, "data-tone": KINDS[one.kind]?.[1] ?? "" },
      h("p", {}, badge(KINDS[one.kind]?.[0] ?? one.kind, KINDS[one.kind]?.[1] ?? ""), " ", linked(one)),
      one.until && h("p", {}, `until ${stamp(one.until)}`)))),
    h("dl", { class: "facts" },
      position && h("div", {}, h("dt", {}, "Place"), h("dd", {}, ahead(position, position.ahead === 1 ? "task starts before it" : "tasks start before it"))),
      estimate && h("div", {}, h("dt", {}, "Estimate"), h("dd", {}, estimate.seconds === null ? estimate.basis : `${about(estimate)}, at ${clockTime(now() + 1000 * estimate.seconds)}: ${estimate.basis}`))),
    h("p", { class: "note" }, `As of ${clockTime(at)}.`));
}

// The tasks that it waits for are led to where they are named.
function linked({ kind, detail, on }) {
  if (kind !== "dependency") return detail;
  return detail.split(/([\w-]+)/).map((word) => (on.includes(word) ? h("a", { href: `#/task/${word}` }, word) : word));
}

function ahead({ ahead: count, exact }, what) {
  return `${exact ? "" : "at most "}${count.toLocaleString("en")} ${what}`;
}

function about({ seconds }) {
  return `about ${brief(seconds)}`;
}
