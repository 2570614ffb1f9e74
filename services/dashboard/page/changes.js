// The change itself: what the engine wants to be known of it, and the diff file by file.

import { getText } from "./data.js";
import { parse } from "./diff.js";
import { h, island } from "./dom.js";
import { part } from "./part.js";
import { clipped } from "./visible.js";

// Characters that are read, lines that are drawn of one file and of all, characters of one line.
const READ = 1024 * 1024, OF_FILE = 1_500, OF_ALL = 3_000, OF_LINE = 2_000;

export function changes(task) {
  const run = task.runs.findLast((one) => one.changes.length > 0);
  if (!run) return null;
  const remarks = run.changes.flatMap((change) => change.remarks.map((remark) => (run.changes.length > 1 ? `${change.repo}: ${remark}` : remark)));
  return part("changes", "Change",
    remarks.length > 0 && h("div", { class: "panel", "data-tone": "warn" }, h("h3", {}, "The engine's remarks"), h("ul", { class: "problems" }, remarks.map((remark) => h("li", {}, remark)))),
    run.changes.map((change) => h("div", { "data-key": change.repo },
      h("p", { class: "note" }, `${change.repo}, ${run.stage} attempt ${run.attempt}: commit `, h("code", { title: change.commit }, change.commit.slice(0, 12)), ` with ${change.files} file${change.files === 1 ? "" : "s"}. `,
        change.diff && h("a", { href: `/api/v1/evidence/${change.diff}`, target: "_blank", rel: "noopener" }, "Whole diff as text")),
      change.diff && island("div", { class: "diff", "aria-live": "off" }, change.diff, { begin: load, receive: (box) => box.shown !== box.given && load(box) }))));
}

async function load(box) {
  const digest = (box.shown = box.given);
  try {
    const { text, whole } = await getText(`evidence/${digest}`, READ);
    if (box.shown === digest) box.replaceChildren(...drawn(parse(text), whole));
  } catch (error) {
    box.replaceChildren(h("p", { class: "empty" }, `The diff could not be read: ${error.message} `), h("button", { type: "button", onclick: () => load(box) }, "Try again"));
  }
}

function drawn(files, whole) {
  let room = OF_ALL;
  const parts = files.map((file) => {
    const open = file.lines.length <= Math.min(OF_FILE, room);
    if (open) room -= file.lines.length;
    return { file, open };
  });
  const list = files.length > 1 && h("ol", { class: "file-list", "aria-label": "Changed files" }, parts.map(({ file }, place) =>
    h("li", {}, h("button", { type: "button", class: "quiet", onclick: (event) => jump(event, place) }, file.path || "(no name)"), " ", counts(file))));
  return [
    list || "",
    !whole && h("p", { class: "note", "data-tone": "warn" }, `This diff is huge: only its first ${READ / 1024} KiB are shown. The link above has all of it.`),
    parts.some((one) => !one.open) && h("p", { class: "note" }, `Files with many changed lines are closed; open them one by one.`),
    files.length === 0 && h("p", { class: "empty" }, "The diff is empty."),
    ...parts.map(fileOf),
  ].filter(Boolean);
}

function jump(event, place) {
  const target = event.currentTarget.closest(".diff").querySelectorAll(":scope > details")[place];
  target.open = true;
  target.querySelector("summary").focus();
  target.scrollIntoView({ block: "start" });
}

function counts(file) {
  return h("span", { class: "counts" }, h("b", { "data-tone": "good" }, `+${file.added}`), " ", h("b", { "data-tone": "bad" }, `−${file.removed}`));
}

function fileOf({ file, open }) {
  const fill = (event) => {
    const box = event.currentTarget.querySelector(".lines");
    if (event.currentTarget.open && !box.hasChildNodes()) box.append(table(file));
  };
  const moved = file.before && file.path && file.before !== file.path ? `${file.before} → ` : "";
  return h("details", { open, ontoggle: fill },
    h("summary", {}, h("span", { class: "mono" }, moved, file.path || "(no name)"), " ", counts(file)),
    h("div", { class: "lines", tabindex: "0", role: "group", "aria-label": `Lines of ${file.path}` }, open && table(file)));
}

function table(file) {
  const lines = file.lines.slice(0, OF_FILE);
  return h("table", { class: "code" },
    h("tbody", {}, file.notes.filter((note) => !note.startsWith("index ")).map((note) => h("tr", { "data-kind": "note" }, h("td", { colspan: 2 }), h("td", {}), h("td", {}, clipped(note, OF_LINE)))),
      lines.map((line) => h("tr", { "data-kind": line.kind },
        line.kind === "place" ? h("td", { colspan: 2 }) : [h("td", { class: "no" }, line.old ?? ""), h("td", { class: "no" }, line.new ?? "")],
        h("td", { class: "sign" }, { added: "+", removed: "−" }[line.kind] ?? ""),
        h("td", {}, clipped(line.text, OF_LINE)))),
      file.lines.length > OF_FILE && h("tr", { "data-kind": "note" }, h("td", { colspan: 2 }), h("td", {}), h("td", {}, `${file.lines.length - OF_FILE} more lines of this file are not shown. The link above has all of them.`))));
}
