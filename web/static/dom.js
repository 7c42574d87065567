// Building elements. Text becomes text nodes, whoever wrote it; nothing here, or anywhere else, parses HTML.

const SVG = "http://www.w3.org/2000/svg";

/** Build an HTML element: h("p", {class: "x", onclick: f}, "text", child, [more]). */
export function h(tag, properties, ...children) {
  return fill(document.createElement(tag), properties, children);
}

/** Build an SVG element. */
export function s(tag, properties, ...children) {
  return fill(document.createElementNS(SVG, tag), properties, children);
}

function fill(element, properties, children) {
  for (const [name, value] of Object.entries(properties ?? {})) {
    if (value === undefined || value === null || value === false) continue;
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (name === "value" || name === "checked" || name === "indeterminate") element[name] = value;
    else if (name === "style") for (const [key, one] of Object.entries(value)) element.style.setProperty(key, one);
    else element.setAttribute(name, value === true ? "" : String(value));
  }
  add(element, children);
  return element;
}

export function add(element, children) {
  for (const child of [children].flat(Infinity)) {
    if (child === null || child === undefined || child === false) continue;
    element.append(child instanceof Node ? child : String(child));
  }
  return element;
}

/** Put these children in place of all that an element has. */
export function set(element, ...children) {
  element.replaceChildren();
  return add(element, children);
}

/** Change an element's text only if it differs, so that screen readers and selections are left alone. */
export function say(element, text) {
  const wanted = text ?? "";
  if (element.textContent !== wanted) element.textContent = wanted;
  return element;
}

export function attribute(element, name, value) {
  if (value === null || value === undefined || value === false) element.removeAttribute(name);
  else if (element.getAttribute(name) !== String(value)) element.setAttribute(name, value === true ? "" : String(value));
}

let lastId = 0;

/** An id that no other element of the document has. */
export function freshId(word) {
  lastId += 1;
  return `${word}-${lastId}`;
}
