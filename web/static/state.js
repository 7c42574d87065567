// One execution as the page knows it: what the server told, put together. Invents nothing.

import { now } from "./format.js";

const STEPS_KEPT = 4000;

export class ExecutionState {
  constructor() {
    this.status = null;
    this.steps = [];
    this.bySeq = new Map();
    this.items = new Map();
    this.stepsTaken = 0;
  }

  get loaded() {
    return this.status !== null;
  }

  /** Take a status payload in: whole, or with changed entries only. Returns the ids of the nodes that changed. */
  take(payload) {
    const before = this.status;
    if (!payload.partial || before === null) {
      // Steps that the server no longer keeps were told all the same.
      if (before !== null && payload.epoch === before.epoch && payload.revision < before.revision) return [];
      this.status = payload;
      for (const step of payload.processing_steps) this.takeStep(step);
      return Object.keys(payload.node_results);
    }
    if (payload.revision < before.revision) return [];
    const nodes = { ...before.node_results, ...payload.node_results };
    this.status = { ...payload, partial: false, node_results: nodes };
    for (const step of payload.processing_steps) this.takeStep(step);
    return Object.keys(payload.node_results);
  }

  /** Take an event in; returns the ids of the nodes that changed. */
  hear(name, data, id) {
    const { status } = this;
    if (name === "snapshot") return this.take(data);
    if (status === null) return [];
    const revision = Number(id.split(".")[0]) || status.revision;
    switch (name) {
      case "status":
        this.status = { ...status, ...data, revision };
        return [];
      case "node": {
        const { node_id: node, ...entry } = data;
        this.status = { ...status, revision, node_results: { ...status.node_results, [node]: entry } };
        return [node];
      }
      case "item":
        this.itemsOf(data.node_id).set(data.item, data);
        return [data.node_id];
      case "progress":
        this.status = { ...status, progress: data };
        return [];
      case "usage":
        this.status = { ...status, ...data };
        return [];
      case "step":
        this.takeStep(data);
        return [];
      case "text": {
        const known = this.bySeq.get(data.seq);
        if (known === undefined) this.takeStep({ at: new Date(1000 * now()).toISOString(), ...data });
        else known.text += data.text;
        return [];
      }
      default:
        return [];
    }
  }

  itemsOf(node) {
    if (!this.items.has(node)) this.items.set(node, new Map());
    return this.items.get(node);
  }

  /** How many items of a node are under way, as far as it was told. */
  running(node) {
    let count = 0;
    for (const item of this.items.get(node)?.values() ?? []) if (item.status === "running") count += 1;
    return count;
  }

  /** Take a step in: a new one, or a streamed one that has grown. */
  takeStep(step) {
    const known = this.bySeq.get(step.seq);
    if (known !== undefined) {
      Object.assign(known, step);
      return known;
    }
    const kept = { ...step };
    this.stepsTaken += 1;
    this.bySeq.set(step.seq, kept);
    let place = this.steps.length;
    while (place > 0 && this.steps[place - 1].seq > step.seq) place -= 1;
    this.steps.splice(place, 0, kept);
    while (this.steps.length > STEPS_KEPT) this.bySeq.delete(this.steps.shift().seq);
    return kept;
  }

  node(id) {
    return this.status?.node_results[id];
  }

  get atRest() {
    return RESTING.has(this.status?.status);
  }

  /** When the last thing happened that is known of, in seconds. */
  get lastSign() {
    const { status, steps } = this;
    const times = [status.created_at, status.started_at, status.finished_at, steps[steps.length - 1]?.at,
      ...Object.values(status.node_results).map((result) => result.finished_at)];
    return Math.max(...times.filter(Boolean).map((time) => Date.parse(time) / 1000));
  }
}

export const RESTING = new Set(["completed", "failed", "cancelled", "paused", "interrupted"]);
export const ENDED = new Set(["completed", "failed", "cancelled"]);
export const RESUMABLE = new Set(["failed", "cancelled", "paused", "interrupted"]);
export const STATUSES = [
  "queued", "running", "waiting", "paused", "interrupted", "recovering", "completed", "failed", "cancelled",
];
