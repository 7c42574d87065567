// The figures of an execution, in one line.

import { h, say, set } from "./dom.js";
import * as format from "./format.js";
import { limitText } from "./limits.js";

/** Facts that change in place, in the order in which they were first named. */
export class FactList {
  constructor() {
    this.values = new Map();
    this.element = h("dl", { class: "facts" });
  }

  /** Say a fact, as a text or an element; without a value it is hidden. */
  put(name, value) {
    let fact = this.values.get(name);
    if (fact === undefined) {
      const told = h("dd");
      fact = { told, element: h("div", { hidden: true }, h("dt", {}, name), told) };
      this.values.set(name, fact);
      this.element.append(fact.element);
    }
    fact.element.hidden = value === null || value === undefined || value === "";
    if (!(value instanceof Node)) say(fact.told, value);
    else if (!fact.told.firstChild?.isEqualNode(value)) set(fact.told, value);
  }
}

/** The facts of an execution. */
export class Facts extends FactList {
  update(state) {
    const { status } = state;
    const began = format.seconds(status.started_at ?? status.created_at);
    const ended = format.seconds(status.finished_at) ?? (state.atRest ? state.lastSign : format.now());
    this.put("Progress", `${format.percent(status.progress.percent)}, ${status.progress.completed} of ${format.count(status.progress.total, "node")}`);
    this.put("Time", format.duration(ended - began));
    this.put("Tokens", `${status.usage.estimated ? "≈ " : ""}${format.whole(status.usage.input_tokens)} in, ${format.whole(status.usage.output_tokens)} out`);
    this.put("Cost", status.cost ? format.money(status.cost) : null);
    this.put("User", status.user_id);
    this.put("Waits for", waits(status.waiting));
    this.put("Epoch", status.epoch > 1 ? String(status.epoch) : null);
    this.put("Kept", kept(status.receipt));
    this.put("Database", `${format.count(status.db_ops.reads, "read")}, ${format.count(status.db_ops.writes, "write")}`);
    this.put("Labels", Object.entries(status.labels ?? {}).map(([key, value]) => `${key}=${value}`).join(", ") || null);
    this.put("Fork of", status.parent ? h("a", { class: "id", href: `#/executions/${parentId(status.parent)}` }, format.shortId(parentId(status.parent))) : null);
    this.put("Source", status.source === "memory" ? null : "the database");
  }
}

function waits(waiting) {
  if (!waiting) return null;
  const { kind, name, limit } = waiting;
  const until = waiting.until ? `, until ${format.clock(waiting.until)}` : "";
  if (kind === "provider") return `${limitText(limit, name)}${until}`;
  return `${kind === "signal" ? "an answer" : kind} (${name})${until}`;
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
