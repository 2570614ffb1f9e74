// What the gates said, and the rubric that review measured for them.

import { h } from "./dom.js";
import { took } from "./format.js";
import { part, problems } from "./part.js";
import { GATE_NAMES, badge, gateIcon, verdictTone } from "./status.js";

export function gates(task) {
  return task.reviews.length > 0 && part("gates", "Gates", h("ul", { class: "plain gates" }, task.reviews.map((review) =>
    h("li", { "data-key": review.review_id, "data-verdict": review.verdict },
      h("p", {}, gateIcon(review.verdict || "asked"), " ", h("b", {}, `Gate ${review.gate}`), ` ${GATE_NAMES[review.gate] ?? ""}${review.round > 1 ? `, round ${review.round}` : ""} `,
        badge(review.verdict || "asked", verdictTone(review.verdict)),
        long(review) && h("span", { class: "dim" }, ` after ${long(review)}`),
        review.consensus && h("span", { class: "dim" }, ` ${review.consensus}`)),
      problems(review.findings),
      review.votes.length > 0 && h("details", {}, h("summary", {}, `${review.votes.length} votes`), h("ul", { class: "problems" }, review.votes.map((vote) =>
        h("li", {}, h("b", {}, vote.voter), `: ${vote.verdict}${vote.score === null ? "" : `, ${vote.score} of 4`}: ${vote.reason}`))))))));
}

// How long it took, where that is worth a word.
function long({ asked_at: asked, decided_at: decided }) {
  const seconds = asked && decided ? (Date.parse(decided) - Date.parse(asked)) / 1000 : 0;
  return seconds >= 1 ? took(seconds) : "";
}

export function rubric(task) {
  const run = task.runs.findLast((one) => one.scores.length > 0);
  return run && part("rubric", `Rubric, review attempt ${run.attempt}`, h("table", { class: "list rubric" },
    h("thead", {}, h("tr", {}, ["Axis", "Score", "Measured"].map((name) => h("th", { scope: "col" }, name)))),
    h("tbody", {}, run.scores.map((score) => h("tr", { "data-key": score.axis },
      h("td", { class: "cell-main" }, score.axis),
      h("td", { "data-label": "Score" }, score.score === null ? "not measured" : h("span", { class: "score", "data-tone": score.score >= 3 ? "good" : "bad" }, h("b", {}, score.score), " of 4", meter(score.score))),
      h("td", { "data-label": "Measured" }, score.fact))))));
}

function meter(score) {
  return h("span", { class: "meter", "aria-hidden": "true" }, [1, 2, 3, 4].map((step) => h("i", { "data-full": step <= score })));
}
