// Text that the server has read as Markdown, as elements. The server sends a tree; only these tags become elements.

import { h } from "./dom.js";

const TAGS = new Set("p h1 h2 h3 h4 h5 h6 blockquote ul ol li pre code em strong s a br hr table thead tbody tr th td".split(" "));
const SCHEMES = ["http:", "https:", "mailto:"];
/** Headings of a text are below those of the page. */
const LOWER = { h1: "h3", h2: "h4", h3: "h5", h4: "h6", h5: "h6", h6: "h6" };

export function prose(blocks) {
  return blocks.map(element);
}

function element(block) {
  if (typeof block === "string") return block;
  const [tag, children, attributes = {}] = block;
  if (!TAGS.has(tag)) return children.map(element);
  const properties = {};
  if (tag === "a" && safe(attributes.href)) Object.assign(properties, { href: attributes.href, rel: "noopener noreferrer", target: "_blank" });
  if (tag === "ol" && Number.isInteger(attributes.start)) properties.start = attributes.start;
  if (LOWER[tag]) properties.class = `was-${tag}`;
  return h(LOWER[tag] ?? tag, properties, children.map(element));
}

function safe(href) {
  try {
    return SCHEMES.includes(new URL(href).protocol);
  } catch {
    return false;
  }
}
