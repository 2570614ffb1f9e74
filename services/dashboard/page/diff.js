// Reads a unified diff, as git writes it, into files and lines. Pure; whatever it does not understand stays a line.

// Returns [{path, before, notes, added, removed, lines: [{kind, old, new, text}]}]; kind: place, added, removed, same, note.
export function parse(text) {
  const files = [];
  let file = null, old = 0, fresh = 0, left = { old: 0, fresh: 0 };
  const begin = (path) => {
    file = { path, before: "", notes: [], added: 0, removed: 0, lines: [] };
    files.push(file);
  };
  const lines = text.split("\n");
  if (lines[lines.length - 1] === "") lines.pop();
  for (const line of lines) {
    const inside = left.old > 0 || left.fresh > 0;
    if (!inside && line.startsWith("diff --git ")) {
      begin(named(line.slice(11)));
    } else if (!inside && line.startsWith("--- ")) {
      if (!file || file.lines.length > 0) begin("");
      file.before = path(line.slice(4));
    } else if (!inside && line.startsWith("+++ ") && file) {
      file.path = path(line.slice(4)) || file.before || file.path;
    } else if (!inside && line.startsWith("@@")) {
      if (!file) begin("");
      const numbers = /^@@ -(\d+)(?:,(\d+))? \+(\d+)(?:,(\d+))? @@/.exec(line);
      old = Number(numbers?.[1] ?? 0);
      fresh = Number(numbers?.[3] ?? 0);
      left = numbers ? { old: Number(numbers[2] ?? 1), fresh: Number(numbers[4] ?? 1) } : { old: 0, fresh: 0 };
      file.lines.push({ kind: "place", text: line });
    } else if (file && (inside || /^[+\- \\]/.test(line)) && file.lines.length > 0) {
      file.lines.push(body(line));
    } else {
      if (!file) begin("");
      file.notes.push(line);
    }
  }
  return files;

  function body(line) {
    const kind = { "+": "added", "-": "removed", "\\": "note" }[line[0]] ?? "same";
    const shown = { kind, text: line.slice(1), old: null, new: null };
    if (kind === "removed" || kind === "same") [shown.old, left.old] = [old++, left.old - 1];
    if (kind === "added" || kind === "same") [shown.new, left.fresh] = [fresh++, left.fresh - 1];
    if (kind === "added") file.added += 1;
    if (kind === "removed") file.removed += 1;
    if (kind === "note") shown.text = line.slice(2);
    return shown;
  }
}

function path(name) {
  const bare = name.split("\t")[0];
  return bare === "/dev/null" ? "" : bare.replace(/^[ab]\//, "");
}

// `a/old b/new`: for a file without lines (a mode, a rename, a binary) the only place where it is named.
function named(both) {
  const half = (both.length - 1) / 2;
  const same = both.slice(2, half) === both.slice(half + 3);
  return same ? both.slice(half + 3) : both.replace(/^a\//, "").replace(/ b\//, " → ");
}
