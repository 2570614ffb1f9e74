// The beginning of a task's page: what it is, where it stands, its pull request; and its facts.

import { command } from "./copy.js";
import { h, outside } from "./dom.js";
import { age, duration, stamp } from "./format.js";
import { part } from "./part.js";
import { badge, phase, simulated } from "./status.js";

export function head(task) {
  return h("section", { "data-key": "head", class: "head", "aria-labelledby": "head-name" },
    h("p", {}, h("a", { href: "#/", class: "back" }, "← All tasks")),
    h("h2", { class: "title", id: "head-name", tabindex: "-1" }, task.title || task.id),
    h("p", { class: "subtitle" }, phase(task.phase),
      task.priority && badge(`${task.priority} priority`, task.priority === "urgent" ? "warn" : ""),
      task.engine && badge(`engine ${task.engine}`),
      task.repos.map((repo) => h("span", { class: "dim", title: repo.url }, `${repo.name} @ ${repo.base}`)),
      simulated(task),
      h("span", { class: "mono dim" }, task.id)),
    h("p", { class: "lead" }, standing(task)));
}

function standing(task) {
  switch (task.phase) {
    case "unknown": return "Its submission has not been read yet; this follows in a moment.";
    case "queued": return `Waits in queue ${task.queue}.`;
    case "running": return [`Stage ${task.stage}, attempt ${task.attempts[task.stage] ?? 1}, `, age(task.stage_since, "for "), "."];
    case "gating": return [`The gates after ${task.stage} judge it, `, age(task.phase_since, "for "), "."];
    case "resolving": return [`${task.stage} did not pass. It is being decided how it goes on. `, task.reason];
    case "waiting": return ["The pull request is open and is being watched. ", task.next_probe && `Next probe ${stamp(task.next_probe)}.`];
    case "parked": return [`Parked: ${task.parked.reason}. `, `${task.parked.owner} ends it: `, h("code", {}, task.parked.wake_up), " ", age(task.parked.since, "(for ", ")")];
    case "done": return `The change is in a pull request, ${approved(task.approvals)}.`;
    case "cancelled": return task.reason;
    case "incident": return [`Given up: ${task.reason}. `, "To let it be tried again: ", command(`autopilot retry ${task.id}`)];
    default: return task.reason;
  }
}

function approved(approvals) {
  const gates = approvals.map((said) => /^gate (\d): approve$/.exec(said)?.[1]);
  return gates.length > 0 && gates.every(Boolean) ? `approved by gates ${gates.join(", ")}` : approvals.join(", ");
}

function links(ids) {
  return ids.map((id, place) => [place ? ", " : "", h("a", { href: `#/task/${id}` }, id)]);
}

export function pulls(task) {
  return task.pull_requests.length > 0 && part("pulls", "Pull request",
    h("ul", { class: "plain" }, task.pull_requests.map((pull) =>
      h("li", { class: "panel", "data-key": `${pull.repo} ${pull.number}` },
        h("p", {}, h("b", {}, outside(pull.url, `${pull.repo} #${pull.number}`)), " ", pull.draft && badge("draft, not reviewed", "warn"), h("span", { class: "dim" }, ` ${pull.branch} → ${pull.base}`)),
        gitCommand(pull),
        h("dl", { class: "facts" }, ["commit", "tree"].map((name) => h("div", {}, h("dt", {}, name), h("dd", { class: "mono" }, pull[name]))))))));
}

// A pull request of the local forge is refs of a bare repository: git itself shows it.
function gitCommand(pull) {
  const place = pull.url.split("#")[0];
  if (/^https?:/i.test(place)) return null;
  const forge = decodeURIComponent(place.replace(/^file:\/\//, ""));
  return h("p", {}, command(`git -C ${quoted(forge)} log -p -1 refs/pull/${pull.number}/head`));
}

function quoted(text) {
  return /^[\w@%+=:,./-]+$/.test(text) ? text : `'${text.replaceAll("'", "'\\''")}'`;
}

export function facts(task) {
  const rows = [
    ["Submitted", task.submitted_at && stamp(task.submitted_at)],
    ["Started", task.started_at && stamp(task.started_at)],
    ["Ended", task.ended_at && stamp(task.ended_at)],
    ["Queue", task.queue],
    ["Depends on", task.depends_on.length > 0 && links(task.depends_on)],
    ["Budget", task.budget.tokens !== undefined && `${task.budget.tokens.toLocaleString("en")} tokens, ${task.budget.memory_mb} MB, ${duration(task.budget.wall_s)}`],
    ["Granted again", task.retries_by_people > 0 && `${task.retries_by_people} times by a person`],
    ["Worktrees", task.workspace_removed_at && `removed ${stamp(task.workspace_removed_at)}`],
  ];
  return part("facts", "Task",
    task.body && h("p", { class: "body", tabindex: "0", role: "group", "aria-label": "Description" }, task.body),
    h("dl", { class: "facts" }, rows.filter(([, value]) => value).map(([name, value]) => h("div", {}, h("dt", {}, name), h("dd", {}, value))),
      task.repos.map((repo) => h("div", {}, h("dt", {}, `Repository ${repo.name}`), h("dd", { class: "mono" }, `${repo.url} @ ${repo.base}`)))));
}
