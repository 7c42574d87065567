// What nodes returned: read as Markdown or raw, copied, downloaded, edited for a fork.

import { get, persist } from "./api.js";
import { h, say, set } from "./dom.js";
import * as format from "./format.js";
import { prose } from "./prose.js";

export class Outputs {
  constructor(id, picture, signal, { onEdit }) {
    this.id = id;
    this.signal = signal;
    this.onEdit = onEdit;
    this.picture = picture;
    this.node = null;
    this.item = null;
    this.raw = false;
    this.nodes = h("select", { "aria-label": "Node", onchange: () => this.choose(this.nodes.value) });
    this.items = h("select", { "aria-label": "Item", hidden: true, onchange: () => this.choose(this.node, this.items.value === "" ? null : Number(this.items.value)) });
    this.mode = h("button", { type: "button", "aria-pressed": "false", onclick: () => {
      this.raw = !this.raw;
      this.mode.setAttribute("aria-pressed", String(this.raw));
      this.load();
    } }, "Raw");
    this.told = h("span", { class: "muted", role: "status" });
    this.tools = h("div", { class: "tools" }, this.nodes, this.items, this.mode,
      h("button", { type: "button", onclick: () => this.copy() }, "Copy"),
      h("button", { type: "button", onclick: () => this.download() }, "Download"),
      h("button", { type: "button", onclick: () => this.edit() }, "Edit and fork"), this.told);
    this.text = h("article", { class: "reading", tabindex: 0, "aria-label": "Output" });
    this.element = h("div", { class: "outputs" }, this.tools, this.text);
    this.names = "";
    this.choices = "";
    this.question = null;
    this.loaded = "";
    this.missing = false;
  }

  /** Offer the nodes that have an output now. */
  update(state) {
    this.state = state;
    const { node_results: results, last_output_node: last } = state.status;
    const found = this.picture.nodes.filter((node) => results[node.id] && ("output" in results[node.id] || "output_ref" in results[node.id] || results[node.id].items?.completed));
    const names = found.map((node) => node.id).join();
    if (names !== this.names) {
      this.names = names;
      set(this.nodes, found.map((node) => h("option", { value: node.id }, node.label)));
    }
    this.tools.hidden = found.length === 0;
    if (found.length === 0) {
      if (!this.text.hasChildNodes()) set(this.text, h("p", { class: "empty" }, "There is no output yet."));
      return;
    }
    const wanted = found.some((node) => node.id === this.node) ? this.node : this.best(found, last);
    this.nodes.value = wanted;
    if (wanted !== this.node || this.version() !== this.shown) this.choose(wanted, wanted === this.node ? this.item : null);
  }

  best(found, last) {
    const output = found.filter((node) => node.type === "output").pop();
    return output?.id ?? (found.some((node) => node.id === last) ? last : found[found.length - 1].id);
  }

  /** What distinguishes the output that is shown from a later one of the same node or item. */
  version() {
    const { status, items } = this.state;
    const result = status.node_results[this.node];
    const part = this.item === null ? result : items.get(this.node)?.get(this.item);
    // What nothing is known of, or was not there, may be there with each item that is done.
    const done = part === undefined || this.missing ? result.items?.completed : "";
    const whole = "output" in result || "output_ref" in result;
    return `${status.epoch}/${part?.attempt}/${part?.finished_at}/${done}/${result.items ? whole : ""}`;
  }

  choose(node, item = null) {
    const result = this.state.status.node_results[node];
    const many = result?.items;
    if (node !== this.node || item !== this.item) {
      set(this.text);
      say(this.told, "");
      this.missing = false;
    }
    this.items.hidden = !many;
    this.item = null;
    if (many) {
      const whole = "output" in result || "output_ref" in result;
      this.item = item ?? (whole ? null : 0);
    }
    this.node = node;
    this.nodes.value = node;
    this.shown = this.version();
    this.look();
  }

  /** Offer the items of a fan-out; a list that somebody may have opened is not made anew for nothing. */
  offerItems() {
    const result = this.state.status.node_results[this.node];
    if (!result.items) return;
    const { total } = result.items;
    const whole = "output" in result || "output_ref" in result;
    const choices = `${total}/${whole}`;
    if (choices !== this.choices) {
      this.choices = choices;
      const first = whole ? [h("option", { value: "" }, "All items")] : [];
      set(this.items, first, Array.from({ length: total }, (_, place) => h("option", { value: place }, `Item ${place + 1}`)));
    }
    this.items.value = this.item ?? "";
  }

  /** Load what is chosen if it is looked at and is not there already. */
  look() {
    if (this.element.offsetParent === null || this.node === null) return;
    this.offerItems();
    if (this.loaded !== this.wanted) this.load();
  }

  get wanted() {
    return `${this.node}/${this.item}/${this.shown}/${this.raw}`;
  }

  /** Show this node's output if it has one. */
  prefer(node) {
    if ([...this.nodes.options].some((option) => option.value === node)) this.choose(node);
  }

  path(query) {
    const asked = new URLSearchParams(query);
    if (this.item !== null) asked.set("item", this.item);
    return `/executions/${this.id}/nodes/${this.node}/output${asked.size ? `?${asked}` : ""}`;
  }

  async load() {
    if (this.node === null) return;
    // Only the answer to the latest question is shown.
    const question = (this.question = {});
    this.loaded = this.wanted;
    try {
      if (this.raw) {
        const value = await persist(() => this.value(), this.signal);
        if (question === this.question) set(this.text, h("pre", { class: "raw" }, asText(value)));
      } else {
        await this.part(0, question);
      }
      if (question === this.question) this.missing = false;
    } catch (error) {
      if (this.signal.aborted || question !== this.question) return;
      this.missing = error.status === 404;
      set(this.text, h("p", { class: "empty" }, this.missing ? "This has no output yet." : error.message));
    }
  }

  async part(start, question) {
    const part = await persist(() => get(this.path({ as: "markdown", start }), { signal: this.signal }), this.signal);
    if (question !== this.question) return;
    if (start === 0) set(this.text);
    this.text.append(...prose(part.blocks).flat(Infinity));
    if (part.end < part.characters) {
      const more = h("button", { type: "button", onclick: async () => {
        more.disabled = true;
        try {
          await this.part(part.end, question);
          more.remove();
        } catch (error) {
          more.disabled = false;
          this.refused("The rest", error);
        }
      } }, `Show more (${format.percent((100 * part.end) / part.characters)} of ${format.bytes(part.characters)} shown)`);
      this.text.append(more);
    }
  }

  value() {
    return get(this.path({}), { signal: this.signal });
  }

  refused(what, error) {
    if (!this.signal.aborted) say(this.told, `${what} did not come: ${error.message}`);
  }

  async copy() {
    if (!navigator.clipboard) {
      say(this.told, "Not copied: browsers let pages copy over https only. Raw can be selected.");
      return;
    }
    try {
      await navigator.clipboard.writeText(asText(await this.value()));
      say(this.told, "Copied.");
    } catch (error) {
      if (!this.signal.aborted) say(this.told, `Not copied: ${error.message}`);
    }
  }

  async download() {
    let value;
    try {
      value = await this.value();
    } catch (error) {
      this.refused("The output", error);
      return;
    }
    const text = typeof value === "string" || (Array.isArray(value) && value.every((each) => typeof each === "string"));
    const file = new Blob([text ? [value].flat().join("\n\n") : JSON.stringify(value, null, 2)], { type: text ? "text/markdown" : "application/json" });
    const address = URL.createObjectURL(file);
    const item = this.item === null ? "" : `-${this.item + 1}`;
    h("a", { href: address, download: `${this.node}${item}.${text ? "md" : "json"}` }).click();
    setTimeout(() => URL.revokeObjectURL(address), 1000);
    say(this.told, "Downloaded.");
  }

  async edit() {
    const { node, item } = this;
    try {
      this.onEdit(node, item, await this.value());
    } catch (error) {
      this.refused("The output", error);
    }
  }
}

export function asText(value) {
  if (typeof value === "string") return value;
  if (Array.isArray(value) && value.length && value.every((each) => typeof each === "string")) return value.join("\n\n");
  return JSON.stringify(value, null, 2);
}
