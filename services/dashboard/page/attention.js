// What needs somebody: open alerts, messages that were given up, how the latest tasks ended.

import { h } from "./dom.js";
import { age } from "./format.js";
import { badge, phase } from "./status.js";

export function alerts({ alerts: open }) {
  return h("section", { id: "alerts", "aria-labelledby": "alerts-name", "data-key": "alerts" },
    h("h2", { id: "alerts-name", tabindex: "-1" }, "Open alerts"),
    open.length === 0
      ? h("p", { class: "empty" }, "Nothing needs you.")
      : h("ul", { class: "plain" }, open.map((alert) => {
        const tone = alert.severity === "critical" ? "bad" : "warn";
        return h("li", { class: "panel", "data-key": alert.id, "data-tone": tone },
          h("p", {}, badge(alert.severity, tone), " ", age(alert.raised_at, "", " ago")),
          h("p", { class: "clamped", title: alert.summary }, alert.task_id ? h("a", { href: `#/task/${alert.task_id}` }, alert.summary) : alert.summary),
          h("p", { class: "note" }, sinks(alert)));
      })));
}

function sinks(alert) {
  return Object.entries(alert.sinks).map(([name, state]) =>
    state.delivered_at ? `${name} told` : state.reason ? `${name} not told after ${state.attempts} tries: ${state.reason}` : `${name} not told yet`).join("; ");
}

export function deadLetters({ dead }) {
  if (!dead.error && dead.dead_letters.length === 0) return null;
  return h("section", { "aria-labelledby": "dead-name", "data-key": "dead" },
    h("h2", { id: "dead-name", tabindex: "-1" }, "Dead letters"),
    dead.error ? h("p", { class: "empty" }, `The bus could not be asked: ${dead.error}`) : h("ul", { class: "plain" }, dead.dead_letters.map((letter) =>
      h("li", { class: "panel", "data-tone": "warn", "data-key": letter.id },
        h("b", { class: "mono" }, letter.consumer), ` gave up ${letter.type || "a message"} after ${letter.attempts} tries: ${letter.reason}`))),
    !dead.error && h("p", { class: "note" }, "See ", h("code", {}, "autopilot dlq list"), "."));
}

export function outcomes({ system }) {
  const { outcomes: ended, outcome_window: window } = system;
  if (window === 0) return null;
  return h("section", { "aria-labelledby": "outcomes-name", "data-key": "outcomes" },
    h("h2", { id: "outcomes-name", tabindex: "-1" }, "Outcomes"),
    h("dl", { class: "facts narrow" }, Object.entries(ended).map(([name, count]) => h("div", {}, h("dt", {}, phase(name)), h("dd", {}, count)))),
    h("p", { class: "note" }, `Of the latest ${window} task${window > 1 ? "s" : ""}, simulated ones left out.`));
}
