// What is to be known of the node that is selected.

import { h, say, set } from "./dom.js";
import * as format from "./format.js";
import { pill } from "./icons.js";

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
    this.shown = "";
    this.items.node = null;
    this.element.hidden = id === null;
    if (id !== null && this.state) this.update(this.state);
  }

  update(state) {
    this.state = state;
    if (this.chosen === null) return;
    const result = state.node(this.chosen) ?? { status: "pending", attempt: 0 };
    const version = JSON.stringify([this.chosen, result.status, result.attempt, result.usage, result.items, result.error, result.finished_at]);
    if (version !== this.shown) {
      this.shown = version;
      this.draw(result);
      this.items.show(this.chosen, state);
    }
    const began = format.seconds(result.started_at);
    say(this.took, began === null ? "–" : format.duration((format.seconds(result.finished_at) ?? Date.now() / 1000) - began));
  }

  draw(result) {
    const node = this.nodes.get(this.chosen);
    const needs = this.needs.get(node.id).map((edge) => `${edge.from}${edge.when ? ` (if ${edge.when})` : ""}`);
    const fact = (name, value) => (value ? h("div", {}, h("dt", {}, name), h("dd", {}, value)) : null);
    this.took = h("dd");
    const has = "output" in result || "output_ref" in result || result.items?.completed;
    set(this.element,
      h("header", {}, h("h2", {}, node.label), pill(result.status), h("button", { type: "button", class: "quiet", "aria-label": "Close", onclick: this.onClose }, "×")),
      h("dl", { class: "facts" }, fact("Node", node.id), fact("Type", node.foreach ? `${node.type}, for each item` : node.type), fact("Model", node.model),
        fact("After", needs.join(", ")), fact("Only if", node.when), fact("Kept", result.reused ? "from the execution that this is a fork of" : null), fact("Attempt", result.attempt ? String(result.attempt) : null),
        h("div", {}, h("dt", {}, "Took"), this.took),
        fact("Items", result.items ? `${result.items.completed} of ${result.items.total} done${result.items.failed ? `, ${result.items.failed} failed` : ""}` : null),
        fact("Tokens", result.usage && result.usage.output_tokens ? `${format.whole(result.usage.input_tokens)} in, ${format.whole(result.usage.output_tokens)} out` : null)),
      result.error ? h("p", { class: "error" }, `${result.error.type}: ${result.error.message}`) : null,
      h("div", { class: "buttons" }, has ? h("button", { type: "button", onclick: () => this.onShowOutput(node.id) }, "Show its output") : null,
        node.needs_prompt ? h("button", { type: "button", onclick: () => this.onEditPrompt(node.id) }, "Edit its prompt and fork") : null), this.items.element);
  }
}
