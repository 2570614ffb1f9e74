// Shows one stored text. It is untrusted: it goes in as text, line by line.

import { getText } from "./data.js";
import { h } from "./dom.js";

// Characters that are shown; the whole is a link away.
const LIMIT = 256 * 1024;
const dialog = document.getElementById("viewer");

export function openEvidence(digest, name) {
  open(`evidence/${encodeURIComponent(digest)}`, name);
}

export function openIncidentFile(incident, file) {
  const name = file.name.split("/").map(encodeURIComponent).join("/");
  open(`incidents/${encodeURIComponent(incident)}/files/${name}`, file.name);
}

async function open(path, name) {
  const body = h("pre", { tabindex: "0" }, "Loading…");
  const note = h("p", { class: "note" });
  const close = h("button", { type: "button", onclick: () => dialog.close() }, "Close");
  dialog.replaceChildren(
    h("div", { class: "viewer-head" }, h("h2", { id: "viewer-name" }, name), h("a", { href: `/api/v1/${path}`, target: "_blank", rel: "noopener" }, "whole file"), close),
    note, body);
  if (!dialog.open) dialog.showModal();
  try {
    const { text, whole } = await getText(path, LIMIT);
    body.replaceChildren(...(/\.(diff|patch)$/.test(name) ? coloured(text) : [text || "(empty)"]));
    if (!whole) note.textContent = `The first ${LIMIT / 1024} KiB. The link above has all of it.`;
  } catch (error) {
    body.textContent = `It could not be read: ${error.message}`;
  }
}

function coloured(text) {
  return text.split("\n").map((line) => {
    const kind = /^(\+\+\+|---|diff |index )/.test(line) ? "file" : { "+": "added", "-": "removed", "@": "place" }[line[0]];
    return h("span", { class: "line", "data-kind": kind }, `${line}\n`);
  });
}
