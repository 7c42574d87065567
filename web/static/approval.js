// What an execution asks of people, as forms: for each node and item that waits for an answer, whatever runs beside it.

import { get, persist, post } from "./api.js";
import { Said } from "./dialog.js";
import { h } from "./dom.js";
import * as format from "./format.js";
import { schemaFields, showErrors } from "./forms.js";

/** Milliseconds between two questions about a node: its items may come and go quickly. */
const EVERY = 1000;

/** Types of nodes that never wait for an answer. */
const ASK_NOTHING = new Set(["llm", "refine", "template", "output", "wait"]);

export class Approvals {
  constructor(id, picture, signal, look) {
    this.id = id;
    this.signal = signal;
    this.look = look;
    this.nodes = picture.nodes.filter((node) => !ASK_NOTHING.has(node.type));
    this.versions = new Map();
    this.asked = new Map();
    this.forms = new Map();
    this.said = new Said();
    this.said.element.tabIndex = -1;
    this.element = h("div", { class: "approval", hidden: true }, this.said.element);
  }

  update(state) {
    for (const node of this.nodes) {
      const version = this.version(node, state);
      if (version === (this.versions.get(node.id) ?? "")) continue;
      if (version && performance.now() - (this.asked.get(node.id) ?? -EVERY) < EVERY) continue;
      this.asked.set(node.id, performance.now());
      this.versions.set(node.id, version);
      this.ask(node, version, state);
    }
  }

  /** What of a node is to be known before it is asked what it waits for; nothing if it does not wait. */
  version(node, state) {
    const result = state.node(node.id);
    if (state.atRest || result === undefined) return "";
    const since = `${state.status.epoch}/${result.attempt}/${result.started_at}`;
    if (!result.items) return result.status === "waiting" ? since : "";
    if (result.status !== "running" && result.status !== "waiting") return "";
    const waiting = [...(state.items.get(node.id)?.values() ?? [])].filter((item) => item.status === "waiting");
    return `${since}/${waiting.map((item) => item.item).join()}`;
  }

  async ask(node, version, state) {
    let asked = [];
    if (version) {
      try {
        const detail = await persist(() => get(`/executions/${this.id}/nodes/${node.id}`, { signal: this.signal }), this.signal);
        for (const item of detail.item_results) if (!state.itemsOf(node.id).has(item.item)) state.itemsOf(node.id).set(item.item, item);
        const entries = [detail, ...detail.item_results].filter((entry) => entry.waiting?.kind === "signal");
        // Who answers a signal answers the first that waits for it.
        asked = [...new Map(entries.reverse().map((entry) => [entry.waiting.name, entry])).values()].reverse();
      } catch (error) {
        if (!this.signal.aborted) this.said.refused("The question", error);
      }
      if (version !== this.versions.get(node.id) || this.signal.aborted) return;
    }
    this.show(node, asked);
  }

  /** Show these forms of a node; those that are there already stay as they are, with what is typed into them. */
  show(node, asked) {
    const keys = new Map(asked.map((entry) => [`${node.id}/${entry.item ?? ""}/${entry.started_at}/${entry.waiting.name}`, entry.waiting]));
    for (const [key, form] of this.forms) {
      if (key.startsWith(`${node.id}/`) && !keys.has(key)) this.drop(key, form);
    }
    for (const [key, waiting] of keys) {
      if (this.forms.has(key)) continue;
      const form = this.build(key, node, waiting);
      this.forms.set(key, form);
      this.said.element.before(form);
    }
    this.element.hidden = this.forms.size === 0 && !this.said.element.textContent;
  }

  drop(key, form) {
    const focused = form.contains(document.activeElement);
    form.remove();
    this.forms.delete(key);
    if (focused) this.said.element.focus();
  }

  build(key, node, { name, form: schema, until, item }) {
    const { fields, read } = schemaFields(schema);
    const go = h("button", { type: "submit", class: "primary" }, "Answer");
    const form = h("form", { "aria-label": `Answer ${name}`, onsubmit: async (event) => {
      event.preventDefault();
      go.disabled = true;
      for (const field of fields) field.fail("");
      try {
        await post(`/executions/${this.id}/signals/${encodeURIComponent(name)}`, read());
        this.said.done(`Answered at ${format.clock(new Date())}.`);
        this.drop(key, form);
        this.look();
      } catch (error) {
        const left = showErrors(fields, error, "payload");
        this.said.refused("The answer", left.length ? { ...error, message: left.join(" ") } : { message: "see the fields." });
      } finally {
        go.disabled = false;
      }
    } },
    h("h2", {}, schema?.title ?? "This waits for an answer"),
    h("p", { class: "muted" }, `${format.place(node.label, item)} waits for the signal ${name}${until ? `, until ${format.dateTime(until)}` : ""}.`),
    schema?.description ? h("p", {}, schema.description) : null,
    fields.map((field) => field.element), go);
    return form;
  }
}
