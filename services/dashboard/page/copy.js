// A command to be copied. Where the browser lends no clipboard, it is selected instead.

import { h } from "./dom.js";

export function command(text, label = "Copy the command") {
  const code = h("code", {}, text);
  const button = h("button", { type: "button", class: "small", "aria-label": label, onclick: (event) => copy(event.currentTarget, text) }, "Copy");
  return h("span", { class: "command" }, code, button);
}

async function copy(button, text) {
  try {
    await navigator.clipboard.writeText(text);
    tell(button, "Copied");
  } catch {
    getSelection().selectAllChildren(button.parentElement.querySelector("code"));
    tell(button, "Selected");
  }
}

function tell(button, word) {
  button.textContent = word;
  setTimeout(() => { button.textContent = "Copy"; }, 2_000);
}
