// The items of a foreach: a strip of what is done, and a table of those that something has happened to.

import { get } from "./api.js";
import { h, set } from "./dom.js";
import * as format from "./format.js";
import { icon } from "./icons.js";

const SHOWN = 60;

export class Items {
  constructor(id, signal, onShow) {
    this.id = id;
    this.signal = signal;
    this.onShow = onShow;
    this.node = null;
    this.strip = h("div", { class: "item-strip", "aria-hidden": "true" });
    this.table = h("div", { class: "item-table" });
    this.element = h("div", { class: "items" }, this.strip, this.table);
  }

  /** Show the items of a node; what is not known of them is asked for, once. */
  async show(node, state) {
    const { items } = state.node(node) ?? {};
    this.element.hidden = !items;
    if (!items) {
      this.node = null;
      return;
    }
    if (this.node !== node) {
      this.node = node;
      try {
        const detail = await get(`/executions/${this.id}/nodes/${node}`, { signal: this.signal });
        for (const each of detail.item_results) if (!state.itemsOf(node).has(each.item)) state.itemsOf(node).set(each.item, each);
      } catch (error) {
        if (!this.signal.aborted) set(this.table, h("p", { class: "error" }, error.message));
        return;
      }
      if (this.node !== node) return;
    }
    this.draw(items.total, state.itemsOf(node));
  }

  draw(total, known) {
    const runs = [];
    for (let item = 0; item < total; item += 1) {
      const status = known.get(item)?.status ?? "pending";
      const last = runs[runs.length - 1];
      if (last?.status === status) last.length += 1;
      else runs.push({ status, length: 1 });
    }
    set(this.strip, runs.map(({ status, length }) => h("span", { class: `state-${status} item-${status}`, style: { "flex-grow": length } })));
    // Those that are of interest first: what failed, what is under way, and then the latest.
    const order = { failed: 0, running: 1, waiting: 2 };
    const listed = [...known.values()].sort((one, other) => (order[one.status] ?? 3) - (order[other.status] ?? 3) || other.item - one.item);
    set(this.table, h("table", { class: "tree" }, h("thead", {}, h("tr", {}, ["Item", "State", "Attempt", "Took", "Tokens"].map((name) => h("th", { scope: "col" }, name)))),
      h("tbody", {}, listed.slice(0, SHOWN).map((each) => this.row(each)))),
    total > listed.length || listed.length > SHOWN ? h("p", { class: "muted" }, `${format.count(total, "item")} in all.`) : null);
  }

  row(each) {
    const began = format.seconds(each.started_at);
    const ended = format.seconds(each.finished_at);
    const name = h("button", { type: "button", class: "plain", onclick: () => this.onShow(this.node, each.item) }, String(each.item + 1));
    const waits = each.waiting ? `, ${each.waiting.kind}` : "";
    return [h("tr", {}, h("th", { scope: "row" }, each.status === "completed" ? name : String(each.item + 1)),
      h("td", {}, h("span", { class: `pill state-${each.status}` }, icon(each.status, 14), each.status + waits)), h("td", {}, String(each.attempt)),
      h("td", {}, began === null || ended === null ? "–" : format.duration(ended - began)), h("td", {}, format.tokens(each.usage))),
    each.error ? h("tr", {}, h("td", { colspan: 5, class: "error" }, `${each.error.type}: ${each.error.message}`)) : null];
  }
}
