// What ran when, and what waited for what: a line for each node.

import { attribute, h, say, set } from "./dom.js";
import * as format from "./format.js";

export class Timeline {
  constructor(picture, onSelect) {
    this.picture = picture;
    this.before = new Map(picture.nodes.map((node) => [node.id, []]));
    for (const edge of picture.edges) this.before.get(edge.to).push(edge.from);
    this.labels = new Map(picture.nodes.map((node) => [node.id, node.label]));
    this.rows = new Map();
    this.axis = h("div", { class: "axis", "aria-hidden": "true" });
    const lines = picture.nodes.map((node) => {
      const wait = h("span", { class: "span span-wait" });
      const run = h("span", { class: "span" });
      const told = h("span", { class: "lane-time" });
      const row = h("tr", { onclick: () => onSelect(node.id) },
        h("th", { scope: "row" }, h("button", { type: "button", class: "plain" }, node.label)),
        h("td", { class: "lane" }, wait, run), h("td", { class: "lane-told" }, told));
      this.rows.set(node.id, { wait, run, told, row });
      return row;
    });
    this.element = h("div", { class: "timeline" }, h("table", {}, h("colgroup", {}, h("col", { class: "lane-names" }), h("col"), h("col", { class: "lane-times" })), h("thead", { class: "hidden" }, h("tr", {}, h("th", {}, "Node"), h("th", {}, "When"), h("th", {}, "How long"))),
      h("tbody", {}, lines)), this.axis);
  }

  update(state, now = format.now()) {
    const { status } = state;
    const from = format.seconds(status.started_at ?? status.created_at);
    const end = state.atRest ? state.lastSign : now;
    const whole = Math.max(end - from, 0.001);
    const at = (seconds) => `${Math.min(100, Math.max(0, (100 * (seconds - from)) / whole)).toFixed(2)}%`;
    const wide = (one, other) => `${Math.min(100, Math.max(0.4, (100 * (other - one)) / whole)).toFixed(2)}%`;
    for (const [id, { wait, run, told, row }] of this.rows) {
      const result = status.node_results[id];
      const started = format.seconds(result?.started_at);
      attribute(run, "class", `span state-${result?.status ?? "pending"}`);
      row.className = result?.status === "skipped" ? "dim" : "";
      if (started === null) {
        run.style.setProperty("width", "0");
        wait.style.setProperty("width", "0");
        say(told, result?.status === "skipped" ? "skipped" : "");
        continue;
      }
      const finished = format.seconds(result.finished_at) ?? end;
      const last = this.waitedFor(id, status);
      const ready = last ? last.at : from;
      run.style.setProperty("left", at(started));
      run.style.setProperty("width", wide(started, finished));
      wait.style.setProperty("left", at(ready));
      wait.style.setProperty("width", started - ready > 0.05 ? wide(ready, started) : "0");
      say(told, format.duration(finished - started));
      const words = `${format.clock(result.started_at)} to ${result.finished_at ? format.clock(result.finished_at) : "now"}${last ? `, after ${this.labels.get(last.id)}` : ""}`;
      attribute(row, "title", words);
    }
    set(this.axis, h("span", {}, format.clock(new Date(from * 1000))), h("span", {}, format.duration(whole)), h("span", {}, format.clock(new Date(end * 1000))));
  }

  waitedFor(id, status) {
    let last = null;
    for (const before of this.before.get(id)) {
      const at = format.seconds(status.node_results[before]?.finished_at);
      if (at !== null && (last === null || at > last.at)) last = { id: before, at };
    }
    return last;
  }
}
