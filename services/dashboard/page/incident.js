// What did not pass, and the incident that a task ended as.

import { command } from "./copy.js";
import { h, outside } from "./dom.js";
import { moment, size, stamp } from "./format.js";
import { part, problems } from "./part.js";
import { openIncidentFile } from "./viewer.js";

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
        Object.entries(incident.filed).map(([name, value]) => fact(name.replaceAll("_", " "), value)),
        incident.filed_at && fact("filed", stamp(incident.filed_at))),
      incident.files.length > 0 && [h("h3", {}, "Files"), h("ul", { class: "files" }, incident.files.map((file) =>
        h("li", { "data-key": file.name }, h("button", { type: "button", class: "quiet", onclick: () => openIncidentFile(incident.id, file) }, file.name), h("span", { class: "dim" }, ` ${size(file.size)}`))))]));
}

function reproduction(incident) {
  if (!incident.filed_at) return "The directory that reproduces it is being written.";
  return incident.reproducible ? "This reproduces it; the path is below the data directory:" : ["Not reproducible by itself; what is known is in ", h("code", {}, incident.path), "."];
}

// Whatever else was said when it was filed, without knowing it by name.
function fact(name, value) {
  if (value === null || value === "" || value === undefined || (Array.isArray(value) && value.length === 0)) return null;
  const shown = typeof value === "string" ? outside(value, value) : typeof value === "boolean" ? (value ? "yes" : "no") : typeof value === "object" ? JSON.stringify(value) : value;
  return h("div", {}, h("dt", {}, name), h("dd", { class: "mono" }, shown));
}
