// Building and updating the page. Every text goes in as a text node: nothing here ever parses HTML.

import { visible } from "./visible.js";

const SVG = "http://www.w3.org/2000/svg";
const HANDLERS = ["onclick", "ontoggle", "onchange", "oninput", "onsubmit", "onkeydown", "onfocus", "onpointerenter"];

export function h(tag, attributes, ...children) {
  return fill(document.createElement(tag), attributes, children);
}

export function s(tag, attributes, ...children) {
  return fill(document.createElementNS(SVG, tag), attributes, children);
}

function fill(node, attributes, children) {
  for (const [name, value] of Object.entries(attributes ?? {})) {
    if (value === undefined || value === null || value === false) continue;
    if (name.startsWith("on")) node[name] = value;
    // `open` and the like are there or not; `aria-…` and `data-…` have values.
    else node.setAttribute(name, value === true && !name.includes("-") ? "" : visible(String(value)));
  }
  for (const child of children.flat(Infinity)) {
    if (child === undefined || child === null || child === false || child === "") continue;
    node.append(child instanceof Node ? child : document.createTextNode(visible(String(child))));
  }
  return node;
}

// A link only where following it is harmless: a URL from outside may be `javascript:`.
export function outside(url, text, attributes = {}) {
  const harmless = /^https?:\/\//i.test(url);
  return harmless
    ? h("a", { ...attributes, href: url, rel: "noreferrer noopener", target: "_blank" }, text)
    : h("span", { ...attributes, title: url }, text);
}

// A part that fills itself: updates leave its inside alone and hand it what it was given anew.
export function island(tag, attributes, given, { begin, receive }) {
  const node = h(tag, { ...attributes, "data-own": true });
  Object.assign(node, { given, begin, receive });
  return node;
}

// One of many equal parts: built only where its stamp, all that it is made from, has changed.
export function lazily(tag, key, stamp, build) {
  return Object.assign(h(tag, { "data-key": key, "data-later": true }), { stamp, build });
}

function built(node) {
  if (node.build) return Object.assign(node.build(), { stamp: node.stamp });
  for (const part of node.querySelectorAll?.("[data-later]") ?? []) part.replaceWith(built(part));
  return node;
}

// Makes `target` look like `source` and keeps the nodes that are there: focus, scroll and opened parts stay.
export function morph(target, source) {
  // Whether a part is open is the reader's choice from the moment it is there.
  const chosen = (name) => name === "open" && target.nodeName === "DETAILS";
  for (const { name } of [...target.attributes]) {
    if (!source.hasAttribute(name) && !chosen(name)) target.removeAttribute(name);
  }
  for (const { name, value } of source.attributes) {
    if (target.getAttribute(name) !== value && !chosen(name)) target.setAttribute(name, value);
  }
  for (const event of HANDLERS) {
    if (target[event] !== source[event]) target[event] = source[event];
  }
  if (target.hasAttribute("data-own")) {
    target.given = source.given;
    if (!target.begin) target.receive?.(target);
    return;
  }
  update(target, [...source.childNodes]);
}

export function update(parent, wanted) {
  const keyed = new Map();
  for (const child of parent.childNodes) {
    const key = child.dataset?.key;
    if (key) keyed.set(key, child);
  }
  let place = parent.firstChild;
  for (const next of wanted) {
    const key = next.dataset?.key;
    let match = key ? keyed.get(key) : place;
    if (!key && match && (match.dataset?.key || match.nodeName !== next.nodeName)) match = null;
    if (match && match.nodeName === next.nodeName) {
      if (match !== place) parent.insertBefore(match, place);
      else place = place.nextSibling;
      if (match.nodeType === Node.TEXT_NODE) {
        if (match.data !== next.data) match.data = next.data;
      } else if (next.stamp === undefined || next.stamp !== match.stamp) {
        morph(match, built(next));
        match.stamp = next.stamp;
      }
    } else {
      parent.insertBefore(built(next), place);
    }
  }
  while (place) {
    const gone = place;
    place = place.nextSibling;
    gone.remove();
  }
}

export function show(parent, ...children) {
  update(parent, children.flat(Infinity).filter((child) => child instanceof Node));
  for (const node of parent.querySelectorAll("[data-own]")) {
    const begin = node.begin;
    node.begin = null;
    begin?.(node);
  }
}
