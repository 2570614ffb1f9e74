// One task: where it stands, what proves it, what happened.

import { get } from "./data.js";
import { h, outside } from "./dom.js";
import { age, duration, moment, phase, simulated, size, stamp, took } from "./format.js";
import { rawEvents } from "./events.js";
import { openEvidence, openIncidentFile } from "./viewer.js";

const GATE_NAMES = ["plan", "automated", "risk", "adversarial", "peer review", "domain experts"];
const GATES_AFTER = { plan: [0], verify: [1, 2, 3], review: [4, 5] };

export async function read(id) {
  const task = await get(`tasks/${id}`);
  const incident = task.incident_id ? await get(`incidents/${task.incident_id}`).catch(() => null) : null;
  return { task, incident };
}

export function reached({ task }) {
  return new Map([[task.id, task.position]]);
}

export function view({ task, incident }) {
  return [
    head(task),
    track(task),
    task.phase !== "done" && failure(task),
    incident && incidentPart(incident),
    pulls(task),
    proof(task),
    gates(task),
    loops(task),
    h("div", { class: "halves", "data-key": "halves" }, timeline(task), h("div", { class: "side" }, facts(task), evidence(task))),
    rawEvents(task.id),
  ].filter(Boolean);
}

function part(key, name, ...children) {
  return h("section", { "data-key": key, "aria-labelledby": `${key}-name` }, h("h2", { id: `${key}-name` }, name), ...children);
}

function head(task) {
  return h("section", { "data-key": "head", class: "head" },
    h("p", {}, h("a", { href: "#/" }, "← All tasks")),
    h("h2", { class: "title" }, task.title || task.id),
    h("p", { class: "subtitle" }, phase(task.phase), " ", simulated(task), " ", h("span", { class: "mono dim" }, task.id)),
    h("p", { class: "lead" }, standing(task)));
}

function standing(task) {
  switch (task.phase) {
    case "unknown": return "Its submission has not been read yet; this follows in a moment.";
    case "queued": return task.depends_on.length ? ["Waits for ", task.depends_on.map((id, place) => [place ? ", " : "", h("a", { href: `#/task/${id}` }, id)]), " and for a slot."] : "Waits for a slot.";
    case "running": return [`Stage ${task.stage}, attempt ${task.attempts[task.stage] ?? 1}, `, age(task.stage_since, "for "), "."];
    case "gating": return [`The gates after ${task.stage} judge it, `, age(task.phase_since, "for "), "."];
    case "resolving": return [`${task.stage} did not pass. It is being decided how it goes on. `, task.reason];
    case "waiting": return ["The pull request is open and is being watched. ", task.next_probe && `Next probe ${stamp(task.next_probe)}.`];
    case "parked": return [`Parked: ${task.parked.reason}. `, `${task.parked.owner} ends it: `, h("code", {}, task.parked.wake_up), " ", age(task.parked.since, "(for ", ")")];
    case "done": return `The change is in a pull request. ${task.approvals.join(", ")}.`;
    case "cancelled": return task.reason;
    case "incident": return `Given up: ${task.reason}. It can be tried again with: autopilot retry ${task.id}`;
    default: return task.reason;
  }
}

// The line with its eight stops, and the gates between them.
function track(task) {
  return part("track", "Stages", h("ol", { class: "track" }, task.stages.map((stop) => {
    const current = stop.stage === task.stage && !["done", "cancelled", "incident", "queued"].includes(task.phase);
    const last = stop.runs[stop.runs.length - 1];
    const said = stop.state === "skipped" ? stop.skipped : last?.note || "";
    return h("li", { class: "stop", "data-state": stop.state, "data-key": stop.stage, "aria-current": current ? "step" : null },
      h("span", { class: "stop-name" }, stop.stage),
      h("span", { class: "stop-state", title: said }, stop.state, stop.attempts > 1 ? ` ×${stop.attempts}` : "", last?.duration_s ? `, ${took(last.duration_s)}` : ""),
      (GATES_AFTER[stop.stage] ?? []).map((gate) => h("span", { class: "gate-mark", "data-verdict": task.gates[gate] ?? "", title: `gate ${gate}, ${GATE_NAMES[gate]}: ${task.gates[gate] ?? "not asked"}` }, `gate ${gate} ${MARKS[task.gates[gate]] ?? "·"}`)));
  })));
}

const MARKS = { approve: "✓", reject: "✗", abstain: "?", error: "!" };

function problems(list) {
  return list.length > 0 && h("ul", { class: "problems" }, list.map((problem) => h("li", {}, h("code", {}, problem.code), " ", problem.detail)));
}

function failure(task) {
  const last = task.last_failure;
  return last && part("failure", "Last failure",
    h("div", { class: "panel", "data-tone": "bad" },
      h("p", {}, h("b", {}, `${last.stage} ${last.code}`), " ", last.at && moment(last.at)),
      h("p", {}, last.detail),
      problems(last.problems)));
}

function incidentPart(incident) {
  return part("incident", "Incident",
    h("div", { class: "panel", "data-tone": "bad" },
      h("p", {}, incident.filed_at ? ["To reproduce it on a clean clone, see ", h("code", {}, incident.path), incident.reproducible ? "." : " (not reproducible by itself)."] : "The directory that reproduces it is being written."),
      incident.commands.length > 0 && h("ul", { class: "problems" }, incident.commands.map(([repo, command]) => h("li", {}, `${repo}: `, h("code", {}, command)))),
      incident.files.length > 0 && h("p", { class: "files" }, incident.files.map((file) => h("button", { type: "button", class: "quiet", onclick: () => openIncidentFile(incident.id, file) }, `${file.name} (${size(file.size)})`)))));
}

function pulls(task) {
  return task.pull_requests.length > 0 && part("pulls", "Pull requests",
    h("ul", { class: "plain" }, task.pull_requests.map((pull) =>
      h("li", { class: "panel", "data-key": pull.url },
        h("p", {}, h("b", {}, outside(pull.url, `${pull.repo} #${pull.number}`)), pull.draft ? h("span", { class: "badge", "data-tone": "warn" }, "draft, not reviewed") : "", ` ${pull.branch} → ${pull.base}`),
        h("p", { class: "mono dim" }, `tree ${pull.tree}`), h("p", { class: "mono dim" }, pull.url)))));
}

// What the verifier measured itself. Nothing that an engine says appears here.
function proof(task) {
  const runs = task.runs.filter((run) => run.checks.length > 0);
  if (runs.length === 0) return null;
  return part("proof", "Proof",
    h("p", { class: "note" }, "Commands that the verifier ran itself, on trees that it checked out itself."),
    runs.slice().reverse().map((run, place) => h("details", { open: place === 0, "data-key": run.run_id },
      h("summary", {}, `${run.stage}, attempt ${run.attempt}: `, h("b", { "data-tone": run.status === "completed" && run.problems.length === 0 ? "good" : "bad" }, run.status === "completed" && run.problems.length > 0 ? "not accepted" : run.status)),
      place > 0 && problems(run.problems),
      h("table", { class: "list" },
        h("thead", {}, h("tr", {}, ["Command", "Where", "Exit", "Tests", "Time", ""].map((name) => h("th", { scope: "col" }, name)))),
        h("tbody", {}, run.checks.map((check) => h("tr", {},
          h("td", { class: "cell-title" }, h("code", {}, check.command), h("span", { class: "dim" }, `${check.purpose}${check.repo ? `, ${check.repo}` : ""}`)),
          h("td", { "data-label": "Where" }, check.side, " ", h("span", { class: "mono dim", title: check.tree }, check.tree.slice(0, 10)), check.cached ? " (kept from an equal run)" : ""),
          h("td", { "data-label": "Exit", class: "mono" }, check.exit_code ?? check.ended),
          h("td", { "data-label": "Tests" }, check.collected ? `${check.passed} of ${check.collected} pass${check.failed ? `, ${check.failed} fail` : ""}${check.skipped ? `, ${check.skipped} skipped` : ""}` : "–"),
          h("td", { "data-label": "Time" }, took(check.duration_s)),
          h("td", {}, check.output && h("button", { type: "button", class: "quiet", onclick: () => openEvidence(check.output, `${check.purpose} output`) }, "output")))))))));
}

function gates(task) {
  if (task.reviews.length === 0) return null;
  return part("gates", "Gates", h("ul", { class: "plain gates" }, task.reviews.map((review) =>
    h("li", { "data-key": review.review_id, class: "gate-row", "data-verdict": review.verdict },
      h("b", {}, `Gate ${review.gate}`), ` ${GATE_NAMES[review.gate] ?? ""}${review.round > 1 ? `, round ${review.round}` : ""}: `,
      h("span", { class: "badge", "data-tone": { approve: "good", reject: "bad", error: "bad", abstain: "warn" }[review.verdict] ?? "" }, review.verdict || "asked"),
      review.consensus && h("span", { class: "dim" }, ` ${review.consensus}`),
      problems(review.findings),
      review.votes.length > 0 && h("details", {}, h("summary", {}, `${review.votes.length} votes`), h("ul", { class: "problems" }, review.votes.map((vote) => h("li", {}, h("b", {}, vote.voter), `: ${vote.verdict}${vote.score === null ? "" : ` (${vote.score} of 4)`}, ${vote.reason}`))))))));
}

function loops(task) {
  return task.loops.length > 0 && part("loops", "Loops", h("ol", { class: "plain" }, task.loops.map((loop) =>
    h("li", { class: "panel", "data-key": loop.loop },
      h("p", {}, h("b", {}, `Loop ${loop.loop}`), ` after ${loop.stage}: ${loop.label} (${loop.kind}) `, loop.outcome && h("span", { class: "badge", "data-tone": loop.outcome === "closed" ? "good" : "bad" }, loop.outcome)),
      loop.different && h("p", {}, `The next plan: ${loop.different}`)))));
}

function timeline(task) {
  const entries = task.timeline.slice().reverse();
  return part("timeline", "Timeline",
    h("ol", { class: "timeline" }, entries.map((entry) => h("li", { "data-key": entry.position, "data-tone": entry.tone ?? "" },
      moment(entry.at), h("span", {}, entry.text), h("span", { class: "mono dim", title: entry.stream }, `${entry.type} #${entry.position}`)))),
    task.events > entries.length && h("p", { class: "note" }, `The latest ${entries.length} of ${task.events} events. `, h("code", {}, `autopilot events --task ${task.id}`), " shows all."));
}

function facts(task) {
  const rows = [
    ["Engine", task.engine],
    ["Priority", task.priority],
    ["Queue", task.queue],
    ["Submitted", task.submitted_at && stamp(task.submitted_at)],
    ["Started", task.started_at && stamp(task.started_at)],
    ["Ended", task.ended_at && stamp(task.ended_at)],
    ["Depends on", task.depends_on.length > 0 && task.depends_on.map((id) => h("a", { href: `#/task/${id}` }, id, " "))],
    ["Budget", task.budget.tokens !== undefined && `${task.budget.tokens} tokens, ${task.budget.memory_mb} MB, ${duration(task.budget.wall_s)}`],
    ["Granted again", task.retries_by_people > 0 && `${task.retries_by_people} times by a person`],
    ["Worktrees", task.workspace_removed_at && `removed ${stamp(task.workspace_removed_at)}`],
  ];
  return part("facts", "Task",
    task.body && h("p", { class: "body" }, task.body),
    h("dl", { class: "facts" }, rows.filter(([, value]) => value).map(([name, value]) => h("div", {}, h("dt", {}, name), h("dd", {}, value))),
      task.repos.map((repo) => h("div", {}, h("dt", {}, `Repository ${repo.name}`), h("dd", { class: "mono" }, `${repo.url} @ ${repo.base}`)))));
}

function evidence(task) {
  return part("evidence", "Evidence",
    task.evidence.length === 0
      ? h("p", { class: "empty" }, "Nothing is stored yet. Stages leave logs, diffs and reports here.")
      : h("ul", { class: "plain" }, task.evidence.map((item) => h("li", { "data-key": `${item.run_id} ${item.digest} ${item.name}` },
          h("button", { type: "button", class: "quiet", onclick: () => openEvidence(item.digest, item.name) }, item.name),
          h("span", { class: "dim" }, ` ${item.stage}, attempt ${item.attempt}, ${size(item.size)}`)))));
}
