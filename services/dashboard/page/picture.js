// The timeline as a picture: a lane for each stage, attempts as bars over real time, gates as diamonds, loops as arrows.

import { h, island, s, update } from "./dom.js";
import { now } from "./format.js";
import { marksOf } from "./marks.js";
import { part } from "./part.js";
import { scale } from "./scale.js";
import { spansOf } from "./spans.js";
import { STAGES } from "./stages.js";

// Pixels; the padding is the frame's own.
const LANE = 26, TOP = 30, PADDING = 12;
// Room behind the last bar for the gates that stand there.
const BEHIND = 56;
const HINT = "Point at a bar or a gate, tap it, or go through them with ← and →.";

export function picture(task) {
  if (!task.submitted_at && task.runs.length === 0) return null;
  return part("picture", "Timeline", island("div", { class: "picture" }, task, { begin, receive: draw }));
}

function begin(box) {
  box.said = h("p", { class: "said", "aria-live": "polite" }, HINT);
  box.svg = s("svg", { role: "group", "aria-label": "Timeline of the task: stages from top to bottom, time from left to right" });
  box.svg.onkeydown = (event) => move(box, event);
  box.append(box.svg, box.said);
  const watch = new ResizeObserver(() => draw(box));
  watch.observe(box);
  const clock = setInterval(() => {
    if (!box.isConnected) {
      clearInterval(clock);
      watch.disconnect();
    } else if (!box.given.ended_at) draw(box);
  }, 1_000);
  draw(box);
}

function draw(box) {
  const width = Math.floor(box.clientWidth - 2 * PADDING);
  if (width <= 0) return;
  const narrow = width < 560;
  const left = narrow ? 74 : 92, right = width - BEHIND;
  const height = TOP + LANE * (STAGES.length + 1) + 6;
  const spans = spansOf(box.given, now());
  const time = scale(spans, left, right);
  const lane = (number) => TOP + LANE * (number + 1) + LANE / 2;
  const marks = marksOf(spans, time, lane, { lane: LANE, diamond: narrow ? 4.5 : 6 });
  const current = marks.some((mark) => mark.key === box.current) ? box.current : marks[0]?.key;
  box.svg.setAttribute("viewBox", `0 0 ${width} ${height}`);
  box.svg.setAttribute("width", width);
  box.svg.setAttribute("height", height);
  update(box.svg, [
    s("defs", { "data-key": "defs" }, s("pattern", { id: "hatch", width: 6, height: 6, patternUnits: "userSpaceOnUse", patternTransform: "rotate(45)" }, s("rect", { class: "hatch-ground", width: 6, height: 6 }), s("path", { class: "hatch", d: "M0 0V6" }))),
    frame(spans, time, lane, { width, left, right, height, skipped: box.given.skipped }),
    ...marks.map((mark) => s("g", { "data-key": mark.key, class: `point ${mark.class}`, "data-tone": mark.tone, role: "img", "aria-label": mark.text, tabindex: mark.key === current ? 0 : -1, onfocus: () => tell(box, mark), onpointerenter: () => tell(box, mark), onclick: () => tell(box, mark) }, mark.shapes)),
    spans.live && s("path", { "data-key": "now", class: "now", d: `M${time.x(spans.to)} ${TOP - 4}V${height}` }),
  ].filter(Boolean));
  // What is being looked at goes on telling the time.
  const told = marks.find((mark) => mark.key === box.told);
  if (told && box.said.textContent !== told.text) show(box, told.text);
}

function frame(spans, time, lane, { width, left, right, height, skipped }) {
  return s("g", { "data-key": "frame", "aria-hidden": "true" },
    ["waiting", ...STAGES].map((name, place) => [
      place % 2 === 1 && s("rect", { class: "stripe", x: 0, y: TOP + LANE * place, width, height: LANE }),
      s("text", { class: "lane-name", x: 0, y: lane(place - 1) + 4 }, name),
      skipped[name] && !spans.bars.some((bar) => bar.stage === name) && s("text", { class: "tick", x: left, y: lane(place - 1) + 4 }, "skipped")]),
    spans.waits.filter((wait) => wait.kind === "parked").map((wait) =>
      s("rect", { class: "parked", x: time.x(wait.from), y: TOP, width: time.x(wait.to) - time.x(wait.from), height: height - TOP })),
    time.ticks.map((tick) => [
      s("path", { class: "grid", d: `M${tick.x} ${TOP - 6}V${height}` }),
      s("text", { class: "tick", x: tick.x, y: 14, "text-anchor": tick.x > right - 30 ? "end" : tick.x < left + 8 ? "start" : "middle" }, elapsed(tick.after))]),
    time.breaks.map((gap) => s("path", { class: "break", d: zigzag(gap.x + gap.width / 2, TOP - 6, height) })));
}

function elapsed(ms) {
  const all = Math.round(ms / 1000);
  const units = [[Math.floor(all / 86_400), "d"], [Math.floor(all / 3600) % 24, "h"], [Math.floor(all / 60) % 60, "min"], [all % 60, "s"]];
  return units.filter(([number]) => number > 0).map(([number, unit]) => `${number} ${unit}`).join(" ") || "0 s";
}

function zigzag(x, from, to) {
  let path = `M${x} ${from}`;
  for (let y = from, side = 1; y < to; y += 6, side = -side) path += `l${side * 4} 6`;
  return path;
}

function tell(box, mark) {
  box.current = box.told = mark.key;
  show(box, mark.text);
  for (const point of box.svg.querySelectorAll(".point")) point.setAttribute("tabindex", point.dataset.key === mark.key ? 0 : -1);
}

function show(box, text) {
  update(box.said, [...h("p", {}, text).childNodes]);
}

function move(box, event) {
  const points = [...box.svg.querySelectorAll(".point")];
  const at = points.indexOf(document.activeElement);
  const next = { ArrowRight: at + 1, ArrowLeft: at - 1, Home: 0, End: points.length - 1 }[event.key];
  if (next === undefined || at < 0) return;
  event.preventDefault();
  points[Math.min(Math.max(next, 0), points.length - 1)].focus();
}
