// A part of a task's page: a section with its name, which the keys j and k stop at.

import { h } from "./dom.js";

export function part(key, name, ...children) {
  return h("section", { "data-key": key, class: `part part-${key}`, "aria-labelledby": `${key}-name` }, h("h2", { id: `${key}-name`, tabindex: "-1" }, name), ...children);
}

export function problems(list) {
  return list?.length > 0 && h("ul", { class: "problems" }, list.map((problem) => h("li", {}, h("code", {}, problem.code), " ", problem.detail)));
}
