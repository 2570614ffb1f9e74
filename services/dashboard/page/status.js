// What a state looks like: a shape, a tone and a word, so that nobody needs to tell colours apart.

import { h, s } from "./dom.js";

export { STAGES } from "./stages.js";
export const GATES_AFTER = { plan: [0], verify: [1, 2, 3], review: [4, 5] };
export const GATE_NAMES = ["plan", "automated", "risk", "adversarial", "peer review", "domain experts"];
export const ENDED = ["done", "cancelled", "incident"];

const PATHS = {
  check: "M4.6 8.3 7 10.6 11.4 5.6",
  cross: "M5.4 5.4 10.6 10.6M10.6 5.4 5.4 10.6",
  pause: "M6.3 5.4V10.6M9.7 5.4V10.6",
  question: "M6.2 6.4a1.8 1.8 0 1 1 2.5 1.7c-.5.2-.7.5-.7 1M8 11.2v.1",
};

// 16 by 16: a disc, square, ring or diamond with a sign in it.
function icon(shape, sign, { dashed = false, solid = true } = {}) {
  const body = {
    disc: () => s("circle", { cx: 8, cy: 8, r: 7 }),
    square: () => s("rect", { x: 1.5, y: 1.5, width: 13, height: 13, rx: 2.5 }),
    small: () => s("circle", { cx: 8, cy: 8, r: 3.5 }),
    dash: () => s("path", { d: "M3 8H13" }),
    diamond: () => s("path", { d: "M8 .8 15.2 8 8 15.2.8 8Z" }),
  }[shape]();
  body.setAttribute("class", `body${solid ? " solid" : ""}${dashed ? " dashed" : ""}`);
  return s("svg", { class: "icon", viewBox: "0 0 16 16", "aria-hidden": "true" }, body,
    sign === "dot" ? s("circle", { class: "dot", cx: 8, cy: 8, r: 3.2 }) : sign && s("path", { class: "sign", d: PATHS[sign] }));
}

const STATES = {
  completed: ["good", "disc", "check"],
  failed: ["bad", "square", "cross"],
  "not accepted": ["bad", "square", "cross"],
  started: ["live", "disc", "dot", { solid: false }],
  requested: ["live", "disc", "", { solid: false, dashed: true }],
  cancelled: ["quiet", "square", "cross", { solid: false }],
  skipped: ["quiet", "dash", ""],
  waiting: ["live", "disc", "", { solid: false, dashed: true }],
  pending: ["quiet", "small", "", { solid: false }],
};
const VERDICTS = {
  approve: ["good", "diamond", "check"],
  reject: ["bad", "diamond", "cross"],
  error: ["bad", "diamond", "cross"],
  abstain: ["warn", "diamond", "question", { solid: false }],
  asked: ["live", "diamond", "", { solid: false, dashed: true }],
  "": ["quiet", "diamond", "", { solid: false }],
};
const PHASES = {
  unknown: ["being read", ...STATES.pending],
  queued: ["queued", ...STATES.waiting],
  running: ["running", ...STATES.started],
  gating: ["at the gate", ...VERDICTS.asked],
  resolving: ["being resolved", "warn", "disc", "dot", { solid: false }],
  waiting: ["watched", ...STATES.started],
  parked: ["parked", "warn", "disc", "pause"],
  cancelling: ["being cancelled", "warn", "disc", "dot", { solid: false }],
  suspending: ["being stopped", "warn", "disc", "dot", { solid: false }],
  done: ["done", ...STATES.completed],
  cancelled: ["cancelled", ...STATES.cancelled],
  incident: ["incident", ...STATES.failed],
};

export function stateIcon(state) {
  const [tone, ...shape] = STATES[state] ?? STATES.pending;
  return h("span", { class: "mark", "data-tone": tone, "data-state": state }, icon(...shape));
}

export function gateIcon(verdict) {
  const [tone, ...shape] = VERDICTS[verdict ?? ""] ?? VERDICTS[""];
  return h("span", { class: "mark", "data-tone": tone }, icon(...shape));
}

export function stateTone(state) {
  return (STATES[state] ?? STATES.pending)[0];
}

export function verdictTone(verdict) {
  return (VERDICTS[verdict ?? ""] ?? VERDICTS[""])[0];
}

// The verdict of several gates as one: the worst that was given; approved only if all of them approve.
export function together(verdicts) {
  for (const verdict of ["error", "reject", "abstain"]) if (verdicts.includes(verdict)) return verdict;
  return verdicts.length > 0 && verdicts.every((verdict) => verdict === "approve") ? "approve" : "";
}

export function phase(name) {
  const [text, tone, ...shape] = PHASES[name] ?? [name, ...STATES.pending];
  return h("span", { class: "state", "data-tone": tone }, icon(...shape), text);
}

export function badge(text, tone = "", title = "") {
  return h("span", { class: "badge", "data-tone": tone, title: title || null }, text);
}

export function simulated(item) {
  return item.synthetic && badge("simulated", "dashed", "Counts in no metric and no gate statistic.");
}

export function gateWords(gates) {
  return gates.length === 1 ? `gate ${gates[0]}` : `gates ${gates[0]}–${gates[gates.length - 1]}`;
}
