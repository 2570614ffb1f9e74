// A task's raw events, read from the record when somebody opens them.

import { get } from "./data.js";
import { h, show } from "./dom.js";

// Characters of one event that are shown; patches travel in events.
const LONGEST = 20_000;

export function rawEvents(id) {
  const box = h("div", { "data-own": true });
  const part = h("details", {
    "data-key": "raw",
    class: "raw",
    ontoggle: (event) => {
      const own = event.currentTarget.querySelector("[data-own]");
      if (event.currentTarget.open && !own.hasChildNodes()) more(id, own, 0);
    },
  }, h("summary", {}, h("h2", {}, "Events as recorded")), box);
  return part;
}

async function more(id, box, since) {
  try {
    const page = await get(`tasks/${id}/events?limit=100&since=${since}`);
    box.querySelector("button")?.remove();
    box.append(...page.events.map((event) => h("details", {},
      h("summary", { class: "mono" }, `#${event.position} ${event.type} `, h("span", { class: "dim" }, `${event.stream} v${event.version}`)),
      h("pre", {}, clip(JSON.stringify(event, null, 2))))));
    if (page.events.length === 0 && since === 0) show(box, h("p", { class: "empty" }, "No event is recorded."));
    else box.append(h("button", { type: "button", class: "quiet", onclick: () => more(id, box, page.next) }, page.more ? "Show more" : "Look for newer ones"));
  } catch (error) {
    show(box, h("p", { class: "empty" }, `The events could not be read: ${error.message}`), h("button", { type: "button", class: "quiet", onclick: () => { box.replaceChildren(); more(id, box, since); } }, "Try again"));
  }
}

function clip(text) {
  return text.length <= LONGEST ? text : `${text.slice(0, LONGEST)}\n… (${text.length - LONGEST} more characters)`;
}
