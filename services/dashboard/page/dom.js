// Building and updating the page. Every text goes in as a text node: nothing here ever parses HTML.

export function h(tag, attributes, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes ?? {})) {
    if (value === undefined || value === null || value === false) continue;
    if (name.startsWith("on")) node[name] = value;
    else node.setAttribute(name, value === true ? "" : String(value));
  }
  for (const child of children.flat(Infinity)) {
    if (child === undefined || child === null || child === false || child === "") continue;
    node.append(child instanceof Node ? child : document.createTextNode(String(child)));
  }
  return node;
}

// A link only where following it is harmless: a URL from outside may be `javascript:`.
export function outside(url, text) {
  const harmless = /^https?:\/\//i.test(url);
  return harmless ? h("a", { href: url, rel: "noreferrer noopener", target: "_blank" }, text) : h("span", { title: url }, text);
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
  for (const event of ["onclick", "ontoggle", "onchange"]) {
    if (target[event] !== source[event]) target[event] = source[event];
  }
  if (target.nodeName === "SELECT") return;
  // What the page has filled in by itself stays.
  if (target.hasAttribute("data-own")) return;
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
      } else morph(match, next);
    } else {
      parent.insertBefore(next, place);
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
}
