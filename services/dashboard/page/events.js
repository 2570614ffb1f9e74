// A task's raw events, read from the record when somebody opens them.

import { get } from "./data.js";
import { h, island } from "./dom.js";
import { clipped } from "./visible.js";

// Characters of one event that are shown: patches travel in events. Events that are kept on the page.
const LONGEST = 20_000, MOST = 1_000;

export function rawEvents(id) {
  const open = (event) => {
    const box = event.currentTarget.querySelector("[data-own]");
    if (event.currentTarget.open && !box.hasChildNodes()) more(id, box, 0);
  };
  return h("section", { "data-key": "raw", class: "part", "aria-labelledby": "raw-name" },
    h("h2", { id: "raw-name", tabindex: "-1" }, "Events as recorded"),
    h("details", { class: "raw", ontoggle: open }, h("summary", {}, "Show them as JSON"), island("div", {}, id, {})));
}

async function more(id, box, since) {
  try {
    const page = await get(`tasks/${id}/events?limit=100&since=${since}`);
    box.querySelector("button.quiet")?.remove();
    box.append(...page.events.map((event) => h("details", {},
      h("summary", { class: "mono" }, `#${event.position} ${event.type} `, h("span", { class: "dim" }, `${event.stream} v${event.version}`)),
      h("pre", { tabindex: "0" }, clipped(JSON.stringify(event, null, 2), LONGEST)))));
    while (box.querySelectorAll(":scope > details").length > MOST) box.querySelector(":scope > details").remove();
    if (page.events.length === 0 && since === 0) box.append(h("p", { class: "empty" }, "No event is recorded."));
    else box.append(again(page.more ? "Show more" : "Look for newer ones", id, box, page.next));
  } catch (error) {
    box.replaceChildren(h("p", { class: "empty" }, `The events could not be read: ${error.message}`), again("Try again", id, box, 0));
  }
}

function again(text, id, box, since) {
  return h("button", { type: "button", class: "quiet", onclick: () => { if (since === 0) box.replaceChildren(); more(id, box, since); } }, text);
}
