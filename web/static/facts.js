// The figures of an execution, in one line.

import { h, say } from "./dom.js";
import * as format from "./format.js";

export class Facts {
  constructor() {
    this.values = new Map();
    this.element = h("dl", { class: "facts" });
  }

  update(state) {
    const { status } = state;
    const began = format.seconds(status.started_at ?? status.created_at);
    const ended = format.seconds(status.finished_at) ?? Date.now() / 1000;
    this.put("Progress", `${format.percent(status.progress.percent)}, ${status.progress.completed} of ${status.progress.total} nodes`);
    this.put("Time", format.duration(ended - began));
    this.put("Tokens", `${status.usage.estimated ? "≈ " : ""}${format.whole(status.usage.input_tokens)} in, ${format.whole(status.usage.output_tokens)} out`);
    this.put("Cost", status.cost ? format.money(status.cost) : null);
    this.put("User", status.user_id);
    this.put("Waits for", waits(status.waiting));
    this.put("Epoch", status.epoch > 1 ? String(status.epoch) : null);
    this.put("Kept", kept(status.receipt));
    this.put("Database", `${format.count(status.db_ops.reads, "read")}, ${format.count(status.db_ops.writes, "write")}`);
    this.put("Labels", Object.entries(status.labels ?? {}).map(([key, value]) => `${key}=${value}`).join(", ") || null);
    this.put("Fork of", status.parent ? format.shortId(parentId(status.parent)) : null);
    this.put("Source", status.source === "memory" ? null : "the database");
  }

  put(name, value) {
    let fact = this.values.get(name);
    if (value === null || value === undefined || value === "") {
      if (fact) fact.element.hidden = true;
      return;
    }
    if (fact === undefined) {
      const told = h("dd");
      fact = { told, element: h("div", {}, h("dt", {}, name), told) };
      this.values.set(name, fact);
      this.element.append(fact.element);
    }
    fact.element.hidden = false;
    say(fact.told, value);
  }
}

function waits(waiting) {
  if (!waiting) return null;
  const until = waiting.until ? `, until ${format.clock(waiting.until)}` : "";
  return `${waiting.kind === "signal" ? "an answer" : waiting.kind} (${waiting.name})${until}`;
}

function kept(receipt) {
  if (!receipt) return null;
  const { saved } = receipt;
  const parts = [
    receipt.kept_nodes ? format.count(receipt.kept_nodes, "node") : null,
    receipt.kept_items ? format.count(receipt.kept_items, "item") : null,
    saved?.tokens ? format.count(saved.tokens, "token") : null,
    saved?.cost && typeof saved.cost === "object" ? format.money(saved.cost) : null,
  ].filter(Boolean);
  return parts.join(", ") || null;
}

/** The execution that a fork comes from, as an id or as an object with one. */
export function parentId(parent) {
  return typeof parent === "string" ? parent : parent.execution_id;
}
