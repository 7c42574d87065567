// What is to be known of the node that is selected. Built once for a node, changed in place: what is used stays.

import { h, say, set } from "./dom.js";
import { FactList } from "./facts.js";
import * as format from "./format.js";
import { pill, setPill } from "./icons.js";

export class NodePanel {
  constructor(picture, items, { onShowOutput, onEditPrompt, onClose }) {
    this.nodes = new Map(picture.nodes.map((node) => [node.id, node]));
    this.needs = new Map(picture.nodes.map((node) => [node.id, picture.edges.filter((edge) => edge.to === node.id)]));
    this.items = items;
    this.onShowOutput = onShowOutput;
    this.onEditPrompt = onEditPrompt;
    this.onClose = onClose;
    this.chosen = null;
    this.element = h("section", { class: "node-panel card", hidden: true, "aria-live": "off" });
  }

  choose(id) {
    this.chosen = id;
    this.items.node = null;
    this.element.hidden = id === null;
    if (id === null) return;
    this.build(this.nodes.get(id));
    if (this.state) this.update(this.state);
  }

  build(node) {
    this.pill = pill("pending");
    this.facts = new FactList();
    this.failure = h("p", { class: "error" });
    this.output = h("button", { type: "button", onclick: () => this.onShowOutput(node.id) }, "Show its output");
    this.element.setAttribute("aria-label", node.label);
    set(this.element,
      h("header", {}, h("h2", {}, node.label), this.pill, h("button", { type: "button", class: "quiet", "aria-label": "Close", onclick: this.onClose }, "×")),
      this.facts.element, this.failure,
      h("div", { class: "buttons" }, this.output,
        node.needs_prompt ? h("button", { type: "button", onclick: () => this.onEditPrompt(node.id) }, "Edit its prompt and fork") : null),
      this.items.element);
  }

  update(state) {
    this.state = state;
    if (this.chosen === null) return;
    const node = this.nodes.get(this.chosen);
    const result = state.node(this.chosen) ?? { status: "pending", attempt: 0 };
    const { usage, items, error } = result;
    const needs = this.needs.get(node.id).map((edge) => `${edge.from}${edge.when ? ` (if ${edge.when})` : ""}`);
    setPill(this.pill, result.status);
    this.facts.put("Node", node.id);
    this.facts.put("Type", node.foreach ? `${node.type}, for each item` : node.type);
    this.facts.put("Model", node.model);
    this.facts.put("After", needs.join(", "));
    this.facts.put("Only if", node.when);
    this.facts.put("Kept", result.reused ? "from the execution that this is a fork of" : null);
    this.facts.put("Attempt", result.attempt ? String(result.attempt) : null);
    this.facts.put("Took", this.took(result, state));
    this.facts.put("Items", items ? `${items.completed} of ${items.total} done${items.failed ? `, ${items.failed} failed` : ""}` : null);
    this.facts.put("Tokens", usage?.output_tokens ? `${format.whole(usage.input_tokens)} in, ${format.whole(usage.output_tokens)} out` : null);
    this.failure.hidden = !error;
    const over = result.status === "failed";
    this.failure.className = over ? "error" : "muted";
    say(this.failure, error ? `${over ? "" : "Before: "}${error.type}: ${error.message}` : "");
    this.output.hidden = !("output" in result || "output_ref" in result || items?.completed);
    this.items.show(this.chosen, state);
  }

  took(result, state) {
    const began = format.seconds(result.started_at);
    if (began === null) return "–";
    return format.duration((format.seconds(result.finished_at) ?? (state.atRest ? state.lastSign : format.now())) - began);
  }
}
