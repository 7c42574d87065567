// The items of a foreach: a strip of what is done, and a table of those that something has happened to.

import { get, persist } from "./api.js";
import { attribute, h, say, set } from "./dom.js";
import * as format from "./format.js";
import { pill, setPill } from "./icons.js";

const SHOWN = 60;
/** Those that are of interest come first: what failed, what is under way, and then the latest. */
const ORDER = { failed: 0, running: 1, waiting: 2 };

export class Items {
  constructor(id, signal, onShow) {
    this.id = id;
    this.signal = signal;
    this.onShow = onShow;
    this.node = null;
    this.rows = new Map();
    this.drawn = "";
    this.strip = h("div", { class: "item-strip", "aria-hidden": "true" });
    this.body = h("tbody");
    this.note = h("p", { class: "muted" });
    this.table = h("div", { class: "item-table", tabindex: 0, role: "group", "aria-label": "Items" }, h("table", { class: "tree" },
      h("thead", {}, h("tr", {}, ["Item", "State", "Attempt", "Took", "Tokens"].map((name) => h("th", { scope: "col" }, name)))), this.body));
    this.element = h("div", { class: "items" }, this.strip, this.table, this.note);
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
      this.rows.clear();
      this.drawn = "";
      set(this.body);
      say(this.note, "");
      try {
        const detail = await persist(() => get(`/executions/${this.id}/nodes/${node}`, { signal: this.signal }), this.signal);
        for (const each of detail.item_results) if (!state.itemsOf(node).has(each.item)) state.itemsOf(node).set(each.item, each);
      } catch (error) {
        if (!this.signal.aborted) say(this.note, error.message);
        return;
      }
      if (this.node !== node) return;
    }
    this.draw(state.node(node)?.items?.total ?? items.total, state.itemsOf(node));
  }

  draw(total, known) {
    const version = JSON.stringify([total, [...known.values()].map((each) => [each.item, each.status, each.attempt, each.finished_at, each.usage?.output_tokens])]);
    if (version === this.drawn) return;
    this.drawn = version;
    const runs = [];
    for (let item = 0; item < total; item += 1) {
      const status = known.get(item)?.status ?? "pending";
      const last = runs[runs.length - 1];
      if (last?.status === status) last.length += 1;
      else runs.push({ status, length: 1 });
    }
    set(this.strip, runs.map(({ status, length }) => h("span", { class: `state-${status} item-${status}`, style: { "flex-grow": length } })));
    const listed = [...known.values()].sort((one, other) => (ORDER[one.status] ?? 3) - (ORDER[other.status] ?? 3) || other.item - one.item);
    this.arrange(listed.slice(0, SHOWN));
    say(this.note, total > listed.length || listed.length > SHOWN ? `${format.count(total, "item")} in all.` : "");
  }

  /** Put the rows in order; one that is in its place already is not touched. */
  arrange(listed) {
    const wanted = new Set(listed.map((each) => each.item));
    for (const [item, row] of this.rows) {
      if (wanted.has(item)) continue;
      row.remove();
      this.rows.delete(item);
    }
    let next = this.body.firstElementChild;
    for (const each of listed) {
      let row = this.rows.get(each.item);
      if (row === undefined) {
        row = new Row(each.item, () => this.onShow(this.node, each.item));
        this.rows.set(each.item, row);
      }
      row.show(each);
      for (const line of row.lines) {
        if (line === next) next = next.nextElementSibling;
        else this.body.insertBefore(line, next);
      }
    }
  }
}

/** A line for an item, and one for what was wrong with it. */
class Row {
  constructor(item, onShow) {
    this.name = h("button", { type: "button", class: "plain", onclick: onShow }, String(item + 1));
    this.pill = pill("pending");
    this.cells = [h("td"), h("td"), h("td")];
    this.failure = h("td", { colspan: 5, class: "error" });
    this.lines = [h("tr", {}, h("th", { scope: "row" }, this.name), h("td", {}, this.pill), this.cells), h("tr", { hidden: true }, this.failure)];
  }

  show(each) {
    const began = format.seconds(each.started_at);
    const ended = format.seconds(each.finished_at);
    setPill(this.pill, each.status, each.waiting ? `${each.status}, ${each.waiting.kind}` : each.status);
    attribute(this.name, "disabled", each.status !== "completed");
    const [attempt, took, tokens] = this.cells;
    say(attempt, String(each.attempt));
    say(took, began === null || ended === null ? "–" : format.duration(ended - began));
    say(tokens, format.tokens(each.usage));
    this.lines[1].hidden = !each.error;
    say(this.failure, each.error ? `${each.error.type}: ${each.error.message}` : "");
  }

  remove() {
    for (const line of this.lines) line.remove();
  }
}
