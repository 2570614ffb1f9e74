// The marks of a timeline: their shapes, their tone, and what they say.

import { s } from "./dom.js";
import { clockTime, took } from "./format.js";
import { GATE_NAMES, stateTone, verdictTone } from "./status.js";

// Pixels of the narrowest bar.
const LEAST = 4;

// In the order of time: as one goes through them with the keys.
export function marksOf(spans, time, lane, frame) {
  return [
    ...spans.waits.map((wait) => ofWait(wait, time, lane, frame)),
    ...spans.loops.map((loop) => ofLoop(loop, time, lane, frame)),
    ...spans.bars.filter((bar) => bar.lane >= 0).map((bar) => ofBar(bar, time, lane)),
    ...ofGates(spans, time, lane, frame),
  ].sort((a, b) => a.at - b.at || a.x - b.x);
}

function ofWait(wait, time, lane, { lane: high }) {
  const x = time.x(wait.from), width = Math.max(LEAST, time.x(wait.to) - x);
  return {
    key: wait.key, at: wait.from, x, class: "wait", tone: wait.kind === "parked" ? "warn" : "quiet",
    text: `${wait.kind} for ${length(wait)}, from ${clockTime(wait.from)}: ${wait.text}`,
    shapes: [
      s("rect", { class: "hatched", x, y: lane(-1) - 7, width, height: 14, rx: 2 }),
      width > 60 && s("text", { class: "on-wait", x: x + 6, y: lane(-1) + 4 }, wait.kind),
      s("rect", { class: "target", x: x - 2, y: lane(-1) - high / 2, width: width + 4, height: high }),
    ],
  };
}

function ofBar(bar, time, lane) {
  const x = time.x(bar.from), width = Math.max(LEAST, time.x(bar.to) - x), y = lane(bar.lane);
  const tone = stateTone(bar.state);
  const again = bar.attempt > 1 || bar.retry > 0;
  const label = `${again ? `${bar.attempt}${bar.retry ? `.${bar.retry}` : ""}: ` : ""}${length(bar)}`;
  const roomy = width > label.length * 6.6 + (tone === "bad" ? 20 : 8);
  // A failed attempt bears a cross: at its beginning where there is room for words, else in its middle.
  const sign = roomy ? x + 6 : x + width / 2 - 3;
  return {
    key: bar.key, at: bar.from, x, class: "bar", tone,
    text: `${bar.stage}, attempt ${bar.attempt}${bar.retry ? `, retry ${bar.retry}` : ""}: ${bar.state}${bar.code ? ` (${bar.code})` : ""}, ${length(bar)} from ${clockTime(bar.from)}${bar.resumptions ? `, resumed ${bar.resumptions} times` : ""}`,
    shapes: [
      s("rect", { class: bar.open ? "body open" : "body", x, y: y - 8, width, height: 16, rx: Math.min(3, width / 2) }),
      tone === "bad" && s("path", { class: "sign", d: `M${sign} ${y - 3}l6 6m0 -6l-6 6`, "data-thin": width < 12 }),
      roomy && s("text", { class: "on-bar", x: tone === "bad" ? x + 17 : x + 6, y: y + 4 }, label),
      s("rect", { class: "target", x: x - 3, y: y - 13, width: Math.max(width + 6, 14), height: 26 }),
    ],
  };
}

// Gates that answered at almost the same time stand side by side.
function ofGates(spans, time, lane, { diamond: half }) {
  const used = new Map();
  return spans.gates.slice().sort((a, b) => a.to - b.to || a.gate - b.gate).map((gate) => {
    const x = Math.max(time.x(gate.to) + half + 3, used.get(gate.lane) ?? 0);
    used.set(gate.lane, x + 2 * half + 3);
    const y = lane(gate.lane);
    const tone = verdictTone(gate.verdict);
    const why = gate.findings.map((finding) => finding.detail).join("; ");
    const f = half / 6;
    const cross = `M${x - 2 * f} ${y - 2 * f}l${4 * f} ${4 * f}m0 ${-4 * f}l${-4 * f} ${4 * f}`;
    const sign = { approve: `M${x - 2.6 * f} ${y + 0.2 * f}l${1.9 * f} ${1.9 * f} ${3.4 * f} ${-4 * f}`, reject: cross, error: cross }[gate.verdict];
    return {
      key: gate.key, at: gate.to, x, class: "gate-point", tone,
      text: `gate ${gate.gate}, ${GATE_NAMES[gate.gate] ?? ""}${gate.round > 1 ? `, round ${gate.round}` : ""}: ${gate.verdict}${gate.verdict === "asked" ? "" : ` at ${clockTime(gate.to)}`}${why ? `: ${why}` : ""}`,
      shapes: [
        s("path", { class: "body", d: `M${x} ${y - half - 1}l${half + 1} ${half + 1} ${-half - 1} ${half + 1} ${-half - 1} ${-half - 1}Z` }),
        s("path", { class: "sign", d: sign ?? "" }),
        s("rect", { class: "target", x: x - half - 1.5, y: y - 13, width: 2 * half + 3, height: 26 }),
      ],
    };
  });
}

function ofLoop(loop, time, lane, { lane: high }) {
  const from = { x: time.x(loop.at), y: lane(loop.lane) + high / 2 - 3 };
  const to = loop.back === null ? null : { x: time.x(loop.back), y: lane(1) + 10 };
  const path = to ? `M${from.x} ${from.y}C${from.x + 14} ${from.y} ${to.x} ${from.y} ${to.x} ${to.y}` : `M${from.x} ${from.y}h14`;
  return {
    key: loop.key, at: loop.at, x: from.x, class: "loop", tone: "warn",
    text: `loop ${loop.loop}: ${loop.label}${to ? ", back to the plan" : ", no way on"}${loop.different ? `: ${loop.different}` : ""}`,
    shapes: [
      s("path", { class: "way", d: path }),
      s("path", { class: "way", d: to ? `M${to.x - 4} ${to.y + 5}L${to.x} ${to.y}l4 5` : `M${from.x + 14} ${from.y - 4}v8` }),
      s("path", { class: "target", d: path }),
    ],
  };
}

function length({ from, to }) {
  return took((to - from) / 1000);
}
