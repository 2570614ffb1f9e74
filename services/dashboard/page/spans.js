// A task's history as spans of time, from what is known of its runs, gates, loops and waits. Pure: no page, no clock.

import { placeOf } from "./stages.js";

const ENDS = ["task_done", "task_cancelled", "task_given_up"];
// What begins a wait, and of which kind; what it leaves behind ends it.
const WAITS = { task_submitted: "queued", task_retried: "queued", task_unparked: "queued", task_parked: "parked", monitor_wait_started: "watched", resolution_awaited: "being resolved" };
const GOES_ON = ["stage_requested", "workspace_requested", "withdrawal_requested", "task_admitted", ...ENDS];

// Milliseconds since 1970 throughout. Lanes are numbered as STAGES, from 0.
export function spansOf(task, now) {
  const end = task.ended_at ? at(task.ended_at) : now;
  const bars = task.runs.filter((run) => run.requested_at || run.started_at).map((run) => bar(run, end));
  const gates = task.reviews.filter((review) => review.asked_at).map((review) => ({
    key: `gate ${review.review_id}`, lane: placeOf(review.stage), gate: review.gate, round: review.round, verdict: review.verdict || "asked",
    from: at(review.asked_at), to: review.decided_at ? at(review.decided_at) : end, findings: review.findings,
  })).filter((gate) => gate.lane >= 0);
  const waits = waitsOf(task.timeline, end);
  const loops = task.loops.map((loop) => {
    const plan = bars.filter((one) => one.stage === "plan" && one.from >= at(loop.opened_at)).sort((a, b) => a.from - b.from)[0];
    return { key: `loop ${loop.loop}`, loop: loop.loop, lane: placeOf(loop.stage), at: at(loop.opened_at), back: plan?.from ?? null, label: loop.label, different: loop.different };
  }).filter((loop) => loop.lane >= 0);
  const begin = Math.min(task.submitted_at ? at(task.submitted_at) : end, ...bars.map((one) => one.from), ...waits.map((one) => one.from));
  return { from: begin, to: Math.max(end, begin + 1), live: !task.ended_at, bars, gates, waits, loops };
}

const at = (time) => Date.parse(time);

function bar(run, end) {
  const from = at(run.started_at ?? run.requested_at);
  const state = run.status === "completed" && run.problems.length > 0 ? "not accepted" : run.status || "requested";
  const code = run.failure?.code ?? run.problems[0]?.code ?? "";
  return { key: `run ${run.run_id}`, lane: placeOf(run.stage), stage: run.stage, attempt: run.attempt, retry: run.retry, state, code, resumptions: run.resumptions, from, to: Math.max(from, run.ended_at ? at(run.ended_at) : end), open: !run.ended_at };
}

function waitsOf(timeline, end) {
  const waits = [];
  let open = null;
  const close = (time) => {
    if (open && time > open.from) waits.push({ ...open, to: time });
    open = null;
  };
  for (const entry of timeline) {
    const kind = WAITS[entry.type];
    if (!kind && !GOES_ON.includes(entry.type)) continue;
    close(at(entry.at));
    if (kind) open = { key: `wait ${entry.position}`, kind, from: at(entry.at), text: entry.text };
  }
  close(end);
  return waits;
}
