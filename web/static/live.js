// Following what changes: the events of an execution, told by its actor. Reconnects by itself, and says while it cannot.

import { get, pause, persist, Problem } from "./api.js";
import { ENDED, ExecutionState } from "./state.js";
import { hear, shown } from "./stream.js";

const FRAME = 60;
const AFTER_REFUSAL = 1000;
const EVENTS = ["snapshot", "status", "node", "item", "progress", "step", "text", "usage"];

/**
 * Keep an ExecutionState up to date. `onChange(state, changedNodes)` is called at most once a frame; `onGone(problem)`
 * once if there is no such execution (any more).
 */
export class Follower {
  constructor(id, { onChange, onGone, signal }) {
    this.id = id;
    this.state = new ExecutionState();
    this.onChange = onChange;
    this.onGone = onGone;
    this.signal = signal;
    this.changed = new Set();
    this.drawing = null;
    this.lastId = "";
    this.wake = () => {};
    signal.addEventListener("abort", () => clearTimeout(this.drawing));
  }

  async run() {
    try {
      for (;;) {
        await shown(this.signal);
        if (this.lastId === "") await this.begin();
        const why = ENDED.has(this.state.status.status) ? "end" : await this.listen();
        if (why === "end") await this.whileItRests();
        else if (why === "refused") await this.explain();
      }
    } catch (error) {
      if (this.signal.aborted) return;
      if (error instanceof Problem) this.onGone(error);
      else throw error;
    }
  }

  /** Ask how it stands: all that anything has happened to. */
  async begin() {
    const payload = await persist(() => get(`/status/${this.id}?since=0`, { signal: this.signal }), this.signal);
    this.lastId = String(payload.revision);
    this.take({ ...payload, partial: false });
  }

  /** Hear events: until the "end", until the page is "hidden", or until they are "refused". */
  listen() {
    const after = this.lastId ? `?after=${this.lastId}` : "";
    const handlers = Object.fromEntries(EVENTS.map((name) => [name, (event) => this.hear(name, event)]));
    handlers.end = (event, done) => {
      this.hear("end", event);
      done("end");
    };
    return hear(`/executions/${this.id}/events${after}`, this.signal, handlers);
  }

  /** A stream was refused, which says nothing of why: ask for what does. Returns when it may be tried again. */
  async explain() {
    await persist(() => get(`/status/${this.id}`, { signal: this.signal }), this.signal);
    await pause(AFTER_REFUSAL, this.signal);
  }

  /**
   * An ended execution tells nothing more. That somebody resumes or deletes it is told to those who follow the list,
   * also when it is no longer in memory. Returns when it is to be asked for again.
   */
  async whileItRests() {
    this.lastId = "";
    const { workflow, user_id: user, epoch } = this.state.status;
    const where = new URLSearchParams({ workflow: workflow.fingerprint, ...(user ? { user } : {}) });
    const why = await hear(`/events?${where}`, this.signal, {
      ready: (_, done) => {
        this.wake = () => done("woken");
        // What came before the stream was open is not told.
        this.askWhileItRests(epoch, done);
      },
      execution: (event, done) => {
        const row = JSON.parse(event.data);
        if (row.execution_id === this.id && row.epoch !== epoch) done("resumed");
      },
      deleted: (event, done) => JSON.parse(event.data).execution_id === this.id && done("deleted"),
      gap: (_, done) => done("gap"),
    });
    this.wake = () => {};
    if (why === "refused") await this.explain();
  }

  async askWhileItRests(epoch, done) {
    try {
      const payload = await get(`/status/${this.id}?since=${this.state.status.revision}`, { signal: this.signal });
      if (payload.epoch !== epoch) done("resumed");
    } catch (error) {
      if (!this.signal.aborted) done(error.name);
    }
  }

  /** Look again now: after a command. */
  look() {
    this.wake();
  }

  hear(name, event) {
    this.lastId = event.lastEventId;
    for (const node of this.state.hear(name, JSON.parse(event.data), event.lastEventId)) this.changed.add(node);
    this.draw();
  }

  take(payload) {
    for (const node of this.state.take(payload)) this.changed.add(node);
    this.draw();
  }

  draw() {
    if (this.drawing !== null) return;
    this.drawing = setTimeout(() => {
      this.drawing = null;
      const changed = this.changed;
      this.changed = new Set();
      this.onChange(this.state, changed);
    }, this.state.drawn ? FRAME : 0);
    this.state.drawn = true;
  }
}

/** Ask again and again, each time a while after the answer; slower if answers take long. */
export async function poll(action, milliseconds, signal) {
  while (!signal.aborted) {
    const began = performance.now();
    if (!document.hidden) await persist(action, signal);
    await pause(Math.max(milliseconds, 10 * (performance.now() - began)), signal);
  }
}
