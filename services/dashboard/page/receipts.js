// What the verifier measured itself. Nothing that an engine says appears here.

import { h } from "./dom.js";
import { took } from "./format.js";
import { part, problems } from "./part.js";
import { badge } from "./status.js";
import { openEvidence } from "./viewer.js";

const COLUMNS = ["Side", "Purpose and command", "Exit", "Tests", "Time", "Memory", "Tree", ""];

export function receipts(task) {
  const runs = task.runs.filter((run) => run.checks.length > 0);
  const foremost = runs.findLast((run) => run.stage === "verify") ?? runs[runs.length - 1];
  return runs.length > 0 && part("receipts", "Receipts",
    h("p", { class: "note" }, "Commands that the verifier ran itself, on trees that it checked out itself."),
    runs.slice().reverse().map((run) => h("details", { open: run === foremost, "data-key": run.run_id },
      h("summary", {}, `${run.stage}, attempt ${run.attempt} `, verdict(run)),
      problems(run.problems),
      h("div", { class: "wide", tabindex: "0", role: "group", "aria-label": `Receipts of ${run.stage}, attempt ${run.attempt}` },
        h("table", { class: "list" },
          h("thead", {}, h("tr", {}, COLUMNS.map((name) => h("th", { scope: "col" }, name || h("span", { class: "sr" }, "Output"))))),
          h("tbody", {}, run.checks.map(receipt)))))));
}

function verdict(run) {
  if (run.status !== "completed") return badge(run.status, run.status === "failed" ? "bad" : "");
  if (run.stage !== "verify") return badge(run.status, "good");
  return run.problems.length > 0 ? badge("not accepted", "bad") : badge("accepted", "good");
}

function receipt(check) {
  return h("tr", {},
    h("td", { "data-label": "Side" }, check.side),
    h("td", { class: "cell-main" }, h("span", { class: "dim" }, `${check.purpose}${check.repo ? `, ${check.repo}` : ""}`), h("code", {}, check.command)),
    h("td", { "data-label": "Exit", class: "mono" }, check.exit_code ?? check.ended),
    h("td", { "data-label": "Tests" }, tests(check)),
    h("td", { "data-label": "Time", class: "number" }, took(check.duration_s), check.cached && h("span", { class: "dim", title: "Kept from an equal run on the same tree." }, " cached")),
    h("td", { "data-label": "Memory", class: "number" }, check.memory_mb ? `${Math.round(check.memory_mb)} MB` : "–"),
    h("td", { "data-label": "Tree", class: "mono dim", title: check.tree }, check.tree.slice(0, 10)),
    h("td", {}, check.output && h("button", { type: "button", class: "quiet", "aria-label": `Output of ${check.purpose} on the ${check.side}`, onclick: () => openEvidence(check.output, `${check.purpose} output on the ${check.side}`) }, "output"),
      check.report && [" ", h("button", { type: "button", class: "quiet", "aria-label": `Test report of ${check.purpose} on the ${check.side}`, onclick: () => openEvidence(check.report, `${check.purpose} report on the ${check.side}.json`) }, "report")]));
}

function tests(check) {
  if (!check.collected) return "–";
  return [`${check.passed} of ${check.collected} pass`, check.failed > 0 && h("b", { "data-tone": "bad" }, `, ${check.failed} fail`), check.skipped > 0 && `, ${check.skipped} skipped`];
}
