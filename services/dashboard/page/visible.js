// Texts from tasks and repositories, made safe to read: what cannot be seen, or changes how the rest is seen, is shown.

// Control characters, marks that turn the direction of writing, invisible separators, tags.
const UNSEEN = /[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u00ad\u061c\u180e\u200b\u200e\u200f\u2028-\u202e\u2060-\u2069\ufeff\ufff9-\ufffb\u{e0000}-\u{e007f}]/gu;
// Colours of a terminal: the only escapes that say nothing.
const COLOURS = /\u001b\[[0-9;:]*m/g;

export function visible(text) {
  return text.replaceAll("\r\n", "\n").replace(UNSEEN, sign);
}

// The same for what a program has written to a terminal.
export function printed(text) {
  return visible(text.replace(COLOURS, ""));
}

function sign(character) {
  const code = character.codePointAt(0);
  return code < 0x20 ? String.fromCodePoint(0x2400 + code) : `⟨U+${code.toString(16).toUpperCase().padStart(4, "0")}⟩`;
}

// The beginning of a text, and how much was left out.
export function clipped(text, longest) {
  return text.length <= longest ? text : `${text.slice(0, longest)} … (${(text.length - longest).toLocaleString("en")} more characters)`;
}
