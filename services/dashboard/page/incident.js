// What did not pass, and the incident that a task ended as.

import { command } from "./copy.js";
import { h, outside } from "./dom.js";
import { moment, size, stamp } from "./format.js";
import { part, problems } from "./part.js";
import { openIncidentFile } from "./viewer.js";

// What its script gave when it was tried, before it was filed.
const GAVE = {
  as_recorded: "The failure shows as recorded",
  does_not_show: "The failure did not show when it was tried",
  otherwise: "Something else than recorded showed when it was tried",
  not_tried: "It was not tried",
};
// Findings that are shown at once.
const FIRST = 5;

export function failure(task) {
  const last = task.last_failure;
  return last && part("failure", "Last failure",
    h("div", { class: "panel", "data-tone": "bad" },
      h("p", {}, h("b", {}, `${last.stage} `), h("code", {}, last.code), " ", last.at && moment(last.at)),
      h("p", {}, last.detail),
      problems(last.problems)));
}

export function incidentPart(incident) {
  return part("incident", "Incident",
    h("div", { class: "panel", "data-tone": "bad" },
      h("p", {}, h("b", {}, `Given up after ${incident.stage}`), " ", incident.label && h("code", {}, incident.label)),
      h("p", {}, reproduction(incident)),
      incident.reproducible && h("p", {}, command(`${incident.path}/reproduce`, "Copy the command that reproduces it")),
      incident.findings.length > 0 && [h("h3", {}, "Findings"), problems(incident.findings.slice(0, FIRST))],
      incident.findings.length > FIRST && h("details", {}, h("summary", {}, `${incident.findings.length - FIRST} more`), problems(incident.findings.slice(FIRST))),
      incident.commands.length > 0 && [h("h3", {}, "Commands that failed"), h("ul", { class: "plain" }, incident.commands.map(([repo, line]) => h("li", {}, `${repo}: `, command(line))))],
      h("dl", { class: "facts" },
        Object.entries(incident.bases).map(([repo, commit]) => fact(`base of ${repo}`, commit)),
        fact("branch", incident.branch),
        fact("commit", incident.commit),
        fact("in", incident.forge),
        fact("not published", incident.unpublished),
        incident.filed_at && fact("filed", stamp(incident.filed_at))),
      incident.files.length > 0 && [h("h3", {}, "Files"), h("ul", { class: "files" }, incident.files.map((file) =>
        h("li", { "data-key": file.name }, h("button", { type: "button", class: "quiet", onclick: () => openIncidentFile(incident.id, file) }, file.name), h("span", { class: "dim" }, ` ${size(file.size)}`))))]));
}

function reproduction(incident) {
  if (!incident.filed_at) return "The directory that reproduces it is being written and tried.";
  const tried = incident.reproduction;
  const gave = tried && [h("b", {}, GAVE[tried.gave] ?? tried.gave), tried.detail && `: ${tried.detail.replace(/\.$/, "")}`, ". "];
  return incident.reproducible
    ? [gave, "The path is below the data directory:"]
    : [gave, "Not reproducible by itself; what is known is in ", h("code", {}, incident.path), "."];
}

function fact(name, value) {
  return value && h("div", {}, h("dt", {}, name), h("dd", { class: "mono" }, outside(value, value)));
}
