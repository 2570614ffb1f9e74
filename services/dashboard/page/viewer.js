// Shows a stored text in place, a page at a time, and looks for words in all of it. It is untrusted: it goes in as text.

import { get } from "./data.js";
import { h } from "./dom.js";
import { size } from "./format.js";
import { printed } from "./visible.js";

const dialog = document.getElementById("viewer");
dialog.addEventListener("close", () => { shown = null; dialog.replaceChildren(); });

// What is open: {name, text, raw, page}. An answer that comes after something else was opened is dropped.
let shown = null;

export function openEvidence(digest, name) {
  open({ name, text: `texts/evidence/${digest}`, raw: `/api/v1/evidence/${digest}` });
}

export function openIncidentFile(incident, file) {
  const path = `incidents/${encodeURIComponent(incident)}`, name = file.name.split("/").map(encodeURIComponent).join("/");
  open({ name: file.name, text: `texts/${path}/${name}`, raw: `/api/v1/${path}/files/${name}` });
}

function open(text) {
  shown = text;
  const finder = h("form", { class: "find", role: "search", onsubmit: (event) => { event.preventDefault(); find(text, event.currentTarget.elements[0].value); } },
    h("label", {}, h("span", { class: "sr" }, "Find in this text"), h("input", { type: "search", placeholder: "Find", maxlength: 200, autocomplete: "off", spellcheck: "false" })), h("button", {}, "Find"));
  dialog.replaceChildren(
    h("div", { class: "dialog-head" }, h("h2", { id: "viewer-name" }, text.name), h("span", { class: "dim viewer-size" }), finder,
      h("a", { href: text.raw, download: text.name.replaceAll("/", "-") }, "Download"), h("button", { type: "button", onclick: () => dialog.close() }, "Close")),
    h("div", { class: "found", "aria-live": "polite" }),
    h("div", { class: "text-body", tabindex: "0", role: "group", "aria-label": "The text" }, h("p", { class: "empty" }, "Loading…")),
    h("div", { class: "pages" }));
  if (!dialog.open) dialog.showModal();
  turn(text, 0);
}

async function turn(text, number, line = null) {
  const body = dialog.querySelector(".text-body");
  try {
    const page = await get(`${text.text}?page=${number}`);
    if (shown !== text) return;
    dialog.querySelector(".viewer-size").textContent = size(page.size);
    body.replaceChildren(...inside(text, page));
    dialog.querySelector(".pages").replaceChildren(...pages(text, page));
    body.scrollTo(0, 0);
    const found = line && body.querySelector(`[data-line="${line}"]`);
    found?.setAttribute("data-found", "");
    found?.scrollIntoView({ block: "center" });
  } catch (error) {
    if (shown === text) body.replaceChildren(h("p", { class: "empty" }, `It could not be read: ${error.message}`));
  }
}

function inside(text, page) {
  if (page.size === 0) return [h("p", { class: "empty" }, "It is empty.")];
  if (page.lines.length === 0) return [h("p", { class: "empty" }, "No line begins in this page: it is in the middle of a very long one.")];
  if (page.lines.some((line) => line.includes("\0"))) return [h("p", { class: "empty" }, "It is not a text. Download it to look at it.")];
  const pretty = page.pages === 1 && Object.keys(page.cut).length === 0 ? prettied(page.lines.join("\n")) : null;
  if (!pretty) return [table(text, page.lines, page.first, page.cut)];
  const box = h("div", {}, table(text, pretty, 1, {}));
  const swap = (event) => {
    const stored = event.currentTarget.getAttribute("aria-pressed") !== "true";
    event.currentTarget.setAttribute("aria-pressed", stored);
    box.replaceChildren(stored ? table(text, page.lines, page.first, page.cut) : table(text, pretty, 1, {}));
  };
  return [h("button", { type: "button", class: "small", "aria-pressed": "false", onclick: swap }, "As stored"), box];
}

function prettied(text) {
  if (!/^\s*[[{]/.test(text)) return null;
  try {
    return JSON.stringify(JSON.parse(text), null, 2).split("\n");
  } catch {
    return null;
  }
}

function table(text, lines, first, cut) {
  const patch = /\.(diff|patch)$/.test(text.name);
  return h("table", { class: "code" }, h("tbody", {}, lines.map((line, place) => {
    const left = cut[first + place];
    return h("tr", { "data-line": first + place, "data-kind": patch ? { "+": "added", "-": "removed", "@": "place" }[line[0]] : null },
      h("td", { class: "no" }, first + place), h("td", {}, printed(line), left > 0 && h("span", { class: "left-out" }, ` … ${size(left)} more of this line`)));
  })));
}

function pages(text, { page, pages: all, first, lines }) {
  if (all === 1) return [h("span", { class: "dim" }, `${lines.length} line${lines.length === 1 ? "" : "s"}`)];
  const to = (number, name) => h("button", { type: "button", disabled: number < 0 || number >= all || number === page, onclick: () => turn(text, number) }, name);
  return [to(0, "First"), to(page - 1, "Before"), h("span", { class: "dim" }, `page ${page + 1} of ${all}${first ? `, lines ${first}–${first + lines.length - 1}` : ""}`), to(page + 1, "Next"), to(all - 1, "Last")];
}

async function find(text, words) {
  const box = dialog.querySelector(".found");
  if (!words) {
    box.replaceChildren();
    return;
  }
  try {
    const { matches, more } = await get(`${text.text}?find=${encodeURIComponent(words)}`);
    if (shown !== text) return;
    box.replaceChildren(
      h("p", { class: "note" }, matches.length === 0 ? "It is nowhere in this text." : `${more ? "The first " : ""}${matches.length} line${matches.length === 1 ? "" : "s"}:`),
      h("ul", { class: "plain" }, matches.map((match) => h("li", {}, h("button", { type: "button", class: "quiet mono", onclick: () => turn(text, match.page, match.line) }, `${match.line}: ${printed(match.text)}`)))));
    if (matches.length > 0) turn(text, matches[0].page, matches[0].line);
  } catch (error) {
    box.replaceChildren(h("p", { class: "empty" }, `It could not be searched: ${error.message}`));
  }
}
