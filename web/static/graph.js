// A workflow as a picture: nodes with their live state, edges, pan and zoom. Where things are is the server's answer.

import { attribute, h, s, say } from "./dom.js";
import { fitted } from "./fitted.js";
import { count } from "./format.js";
import { iconPath } from "./icons.js";
import { onPinch } from "./pinch.js";

const MARGIN = 16;
const MAX_SCALE = 2;
const STEP = 1.25;
/** What a wheel zooms for each pixel, and at most at once: a pinch of a touchpad comes as many small ones. */
const WHEEL = { pixel: 0.01, most: 0.2, line: 30 };
const HINT_FOR = 2500;
const KEY = /Mac|iP/.test(navigator.platform) ? "⌘" : "Ctrl";
/** What the buttons in the corner take. */
const TOOLS = { width: 124, height: 42 };
const LABEL_FONT = "600 13px";
const DETAIL_FONT = "11.5px";

export class Graph {
  /** `live`: the nodes have states, those of an execution. */
  constructor({ onSelect = () => {}, live = false } = {}) {
    this.onSelect = onSelect;
    this.live = live;
    this.nodes = new Map();
    this.edges = [];
    this.selected = null;
    this.view = { x: 0, y: 0, scale: 1 };
    this.touched = false;
    this.canvas = s("g");
    this.svg = s("svg", {
      class: "graph-canvas", tabindex: 0, role: "group", "aria-roledescription": "graph",
      "aria-label": "The workflow’s nodes. Arrow keys go from node to node, Enter selects, plus and minus zoom, zero fits.",
      onkeydown: (event) => this.onKey(event), onpointerdown: (event) => this.onDrag(event),
    }, arrows(), this.canvas);
    this.svg.addEventListener("wheel", (event) => this.onWheel(event), { passive: false });
    this.fingers = onPinch(this.svg, (before, after) => this.pinch(before, after));
    const button = (text, label, keys, action) => h("button", { type: "button", "aria-label": label, title: `${label} (${keys})`, onclick: action }, text);
    this.hint = h("p", { class: "graph-hint", hidden: true }, `${KEY} and the wheel zoom`);
    this.element = h("div", { class: "graph" }, this.svg, this.hint, h("div", { class: "graph-tools", role: "group", "aria-label": "Zoom" },
      button("+", "Zoom in", `+, or ${KEY} and the wheel`, () => this.zoom(STEP)), button("−", "Zoom out", `-, or ${KEY} and the wheel`, () => this.zoom(1 / STEP)),
      button("Fit", "Show the whole workflow", "0", () => this.fit())));
    this.sizes = new ResizeObserver(() => (this.touched ? this.place() : this.fit()));
    this.sizes.observe(this.svg);
  }

  stop() {
    this.sizes.disconnect();
    clearTimeout(this.hinted);
  }

  draw(picture) {
    this.picture = picture;
    this.nodes.clear();
    this.edges = [];
    this.canvas.replaceChildren();
    for (const edge of picture.edges) {
      const line = s("path", { class: `edge${edge.when ? " edge-if" : ""}`, d: curve(edge.points), "marker-end": "url(#arrow)" },
        edge.when ? s("title", {}, `if ${edge.when}`) : null);
      this.edges.push({ ...edge, line });
      this.canvas.append(line);
    }
    for (const node of picture.nodes) {
      const drawn = new Box(node, this.live, () => this.select(node.id));
      this.nodes.set(node.id, drawn);
      this.canvas.append(drawn.element);
    }
    this.order = [...picture.nodes].sort((one, other) => one.y - other.y || one.x - other.x).map((node) => node.id);
    this.fit();
  }

  /** Show nodes as they are now; all of them without a list. */
  update(state, changed) {
    const { node_results: results } = state.status;
    for (const id of changed ?? this.nodes.keys()) {
      const box = this.nodes.get(id);
      if (box !== undefined && results[id] !== undefined) box.show(results[id], state.running(id));
    }
    for (const edge of this.edges) {
      const off = results[edge.from]?.status === "skipped" || results[edge.to]?.status === "skipped";
      edge.line.classList.toggle("dim", off);
    }
  }

  select(id, { quiet = false } = {}) {
    if (this.selected !== null) this.nodes.get(this.selected)?.mark(false);
    this.selected = id === this.selected && !quiet ? null : id;
    if (this.selected !== null) this.nodes.get(this.selected)?.mark(true);
    if (!quiet) this.onSelect(this.selected);
  }

  // Pan and zoom

  fit() {
    if (!this.picture) return;
    const { width } = this.svg.getBoundingClientRect();
    // As high as the picture wants to be at this width, within what the style allows.
    const wanted = this.picture.height * Math.min(1, (width - 2 * MARGIN) / this.picture.width) + 2 * MARGIN;
    this.element.style.setProperty("--wanted", `${Math.ceil(wanted)}px`);
    const { height } = this.svg.getBoundingClientRect();
    if (!width || !height) return;
    this.view = this.fitInto(width, height);
    const { x, y, scale } = this.view;
    const covered = x + this.picture.width * scale > width - TOOLS.width && y + this.picture.height * scale > height - TOOLS.height;
    if (covered) this.view = this.fitInto(width, height - TOOLS.height + MARGIN);
    this.touched = false;
    this.place();
  }

  fitInto(width, height) {
    const scale = Math.min(1, (width - 2 * MARGIN) / this.picture.width, (height - 2 * MARGIN) / this.picture.height);
    return { scale, x: (width - this.picture.width * scale) / 2, y: Math.max(MARGIN, (height - this.picture.height * scale) / 2) };
  }

  zoom(factor, at) {
    const { width, height } = this.svg.getBoundingClientRect();
    const middle = at ?? { x: width / 2, y: height / 2 };
    const scale = Math.min(MAX_SCALE, Math.max(0.02, this.view.scale * factor));
    const moved = scale / this.view.scale;
    this.view = { scale, x: middle.x - (middle.x - this.view.x) * moved, y: middle.y - (middle.y - this.view.y) * moved };
    this.touched = true;
    this.place();
  }

  pan(x, y) {
    this.view.x += x;
    this.view.y += y;
    this.touched = true;
    this.place();
  }

  place() {
    const { x, y, scale } = this.view;
    this.canvas.setAttribute("transform", `translate(${x.toFixed(2)} ${y.toFixed(2)}) scale(${scale.toFixed(4)})`);
    this.svg.classList.toggle("far", scale < 0.45);
  }

  /** The wheel alone scrolls the page, as everywhere; a pinch comes as a wheel with Ctrl. */
  onWheel(event) {
    if (!event.ctrlKey && !event.metaKey) {
      this.tellKeys();
      return;
    }
    event.preventDefault();
    const { left, top } = this.svg.getBoundingClientRect();
    const pixels = event.deltaY * (event.deltaMode === WheelEvent.DOM_DELTA_PIXEL ? 1 : WHEEL.line);
    const by = Math.min(WHEEL.most, Math.max(-WHEEL.most, -pixels * WHEEL.pixel));
    this.zoom(Math.exp(by), { x: event.clientX - left, y: event.clientY - top });
  }

  /** Say once how to zoom, to whoever may have wanted to. */
  tellKeys() {
    if (this.hinted !== undefined) return;
    this.hint.hidden = false;
    this.hinted = setTimeout(() => {
      this.hint.hidden = true;
    }, HINT_FOR);
  }

  pinch(before, after) {
    const { left, top } = this.svg.getBoundingClientRect();
    this.svg.classList.add("dragged");
    this.pan(after.x - before.x, after.y - before.y);
    this.zoom(after.apart / before.apart, { x: after.x - left, y: after.y - top });
  }

  onDrag(event) {
    if (event.button !== 0) return;
    let { clientX: x, clientY: y } = event;
    const move = (to) => {
      if (to.pointerId !== event.pointerId) return;
      if (this.fingers.size > 1) {
        ({ clientX: x, clientY: y } = to);
        return;
      }
      const [right, down] = [Math.abs(to.clientX - event.clientX), Math.abs(to.clientY - event.clientY)];
      // Up and down a finger scrolls the page.
      const scrolls = event.pointerType === "touch" && down >= right;
      if (right + down > 4 && !scrolls && !this.svg.classList.contains("dragged")) {
        this.svg.classList.add("dragged");
        this.svg.setPointerCapture(event.pointerId);
      }
      if (!this.svg.classList.contains("dragged")) return;
      this.pan(to.clientX - x, to.clientY - y);
      ({ clientX: x, clientY: y } = to);
    };
    const end = () => {
      this.svg.removeEventListener("pointermove", move);
      setTimeout(() => this.svg.classList.remove("dragged"));
    };
    this.svg.addEventListener("pointermove", move);
    this.svg.addEventListener("pointerup", end, { once: true });
    this.svg.addEventListener("pointercancel", end, { once: true });
  }

  onKey(event) {
    const ways = { ArrowDown: [0, 1], ArrowUp: [0, -1], ArrowLeft: [-1, 0], ArrowRight: [1, 0] };
    const way = ways[event.key];
    if (way && event.shiftKey) this.pan(-60 * way[0], -60 * way[1]);
    else if (way) this.go(way[0] + way[1]);
    else if (event.key === "Enter" || event.key === " ") this.select(this.at ?? this.order[0]);
    else if (event.key === "Escape" && this.selected !== null) this.select(this.selected);
    else if (event.key === "+" || event.key === "=") this.zoom(STEP);
    else if (event.key === "-") this.zoom(1 / STEP);
    else if (event.key === "0") this.fit();
    else return;
    event.preventDefault();
  }

  go(step) {
    const now = this.order.indexOf(this.at ?? this.selected);
    const next = this.order[Math.min(this.order.length - 1, Math.max(0, now < 0 ? 0 : now + step))];
    this.nodes.get(this.at)?.element.classList.remove("at");
    this.at = next;
    const box = this.nodes.get(next);
    box.element.classList.add("at");
    this.svg.setAttribute("aria-activedescendant", box.element.id);
    this.reveal(box.node);
  }

  reveal(node) {
    const { width, height } = this.svg.getBoundingClientRect();
    const { x, y, scale } = this.view;
    const left = node.x * scale + x;
    const top = node.y * scale + y;
    const right = left + node.width * scale;
    const bottom = top + node.height * scale;
    const by = (low, high, size) => (low < MARGIN ? MARGIN - low : high > size - MARGIN ? size - MARGIN - high : 0);
    this.pan(by(left, right, width), by(top, bottom, height));
  }
}

/** One node: a box with its label, what it does, its state, and a strip for the items of a foreach. */
class Box {
  constructor(node, live, onClick) {
    this.node = node;
    this.live = live;
    const { x, y, width, height } = node;
    this.sign = s("path", { d: iconPath("pending") });
    const left = live ? 36 : 16;
    this.room = width - left - 10;
    this.detail = s("text", { class: "node-detail", x: left, y: 39 });
    this.title = s("title");
    this.strip = node.foreach ? strip(width) : null;
    this.element = s("g", {
      class: "node state-pending", id: `node-${node.id}`, role: "button", transform: `translate(${x} ${y})`, onclick: (event) => {
        if (!event.currentTarget.ownerSVGElement.classList.contains("dragged")) onClick();
      },
    }, this.title, s("rect", { class: "node-box", width, height, rx: 9 }), live ? s("circle", { class: "node-ring", cx: 19, cy: 24, r: 10 }) : null,
    live ? s("g", { class: "node-sign", transform: "translate(11 16)" }, this.sign) : null,
    s("text", { class: "node-label", x: left, y: 24 }, fitted(node.label, this.room, LABEL_FONT)), this.detail, this.strip?.element);
    this.show({ status: "pending", attempt: 0 });
  }

  show(result, running = 0) {
    const { node } = this;
    this.element.setAttribute("class", `node state-${result.status}${this.marked ? " selected" : ""}${this.element.classList.contains("at") ? " at" : ""}`);
    attribute(this.sign, "d", iconPath(result.status));
    const items = result.items;
    const attempt = result.reused ? ", kept" : result.attempt > 1 ? `, attempt ${result.attempt}` : "";
    const what = node.model && !node.model.includes("{{") ? node.model.split("/").pop() : node.type;
    const told = items ? `${items.completed} of ${items.total}${items.failed ? `, ${items.failed} failed` : ""}` : result.status === "pending" ? what : `${result.status}${attempt}`;
    if (told !== this.told) say(this.detail, fitted(told, this.room, DETAIL_FONT));
    this.told = told;
    const name = `${node.label}, ${node.foreach ? `${node.type} for each item` : node.type}${this.live ? `: ${result.status}` : ""}${attempt}${items ? `, ${count(items.completed, "item")} of ${items.total} done` : ""}`;
    say(this.title, name + (node.when ? `\nif ${node.when}` : ""));
    attribute(this.element, "aria-label", name);
    if (items) this.strip?.fill(items, running);
  }

  mark(selected) {
    this.marked = selected;
    this.element.classList.toggle("selected", selected);
    attribute(this.element, "aria-pressed", String(selected));
  }
}

/** A bar that fills: four rectangles, however many items there are. */
function strip(width) {
  const inner = width - 24;
  const done = s("rect", { class: "strip-done", x: 12, y: 48, height: 3, width: 0, rx: 1.5 });
  const failed = s("rect", { class: "strip-failed", x: 12, y: 48, height: 3, width: 0, rx: 1.5 });
  const now = s("rect", { class: "strip-now", x: 12, y: 48, height: 3, width: 0, rx: 1.5 });
  const element = s("g", { class: "strip" }, s("rect", { class: "strip-all", x: 12, y: 48, height: 3, width: inner, rx: 1.5 }), done, failed, now);
  return {
    element,
    fill({ completed, failed: lost, total }, running) {
      const one = total ? inner / total : 0;
      attribute(done, "width", (completed * one).toFixed(1));
      attribute(failed, "width", (lost * one).toFixed(1));
      attribute(failed, "x", (12 + completed * one).toFixed(1));
      attribute(now, "width", (Math.min(running, total - completed - lost) * one).toFixed(1));
      attribute(now, "x", (12 + (completed + lost) * one).toFixed(1));
    },
  };
}

function curve(points) {
  let path = `M${points[0].join(" ")}`;
  for (let place = 1; place < points.length; place += 1) {
    const [x0, y0] = points[place - 1];
    const [x, y] = points[place];
    const middle = (y0 + y) / 2;
    path += x0 === x ? `L${x} ${y}` : `C${x0} ${middle} ${x} ${middle} ${x} ${y}`;
  }
  return path;
}

function arrows() {
  return s("defs", {}, s("marker", { id: "arrow", viewBox: "0 0 8 8", refX: 7, refY: 4, markerWidth: 7, markerHeight: 7, orient: "auto" },
    s("path", { d: "M0 .5L8 4L0 7.5z", class: "arrow" })));
}
