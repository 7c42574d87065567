// Following what changes: the events of an execution, told by its actor. Reconnects by itself, and says while it cannot.

import { connection, get, pause, persist, Problem } from "./api.js";
import { ENDED, ExecutionState } from "./state.js";

const WAIT_SECONDS = 20;
const FRAME = 60;
const EVENTS = ["snapshot", "status", "node", "item", "progress", "step", "text", "usage"];
const RESUMED = "offbook-resumed";

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
    this.others = new BroadcastChannel(RESUMED);
    this.others.addEventListener("message", ({ data }) => data === id && this.wake());
    signal.addEventListener("abort", () => {
      clearTimeout(this.drawing);
      this.others.close();
    });
  }

  async run() {
    try {
      for (;;) {
        if (this.lastId === "") await this.begin();
        const over = ENDED.has(this.state.status.status) || (await this.listen());
        if (over) await this.whileItRests();
        else await this.shown();
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

  /** Hear events until the end (true), or until this page is not looked at (false). */
  listen() {
    return new Promise((resolve, reject) => {
      const after = this.lastId ? `?after=${this.lastId}` : "";
      const source = new EventSource(`/executions/${this.id}/events${after}`);
      const done = (how, result) => {
        source.close();
        document.removeEventListener("visibilitychange", hidden);
        this.signal.removeEventListener("abort", aborted);
        how(result);
      };
      // Browsers open few connections to a server: a page that nobody sees takes none.
      const hidden = () => document.hidden && done(resolve, false);
      const aborted = () => done(reject, this.signal.reason);
      document.addEventListener("visibilitychange", hidden);
      this.signal.addEventListener("abort", aborted);
      source.onopen = () => connection.back();
      source.onerror = () => {
        if (source.readyState === EventSource.CONNECTING) connection.lost("the stream of events broke off");
        else done((refused) => this.explain().then(() => resolve(refused), reject), false);
      };
      for (const name of EVENTS) source.addEventListener(name, (event) => this.hear(name, event));
      source.addEventListener("end", (event) => {
        this.hear("end", event);
        done(resolve, true);
      });
    });
  }

  /** A stream was refused, which says nothing of why: ask for what does. Returns when it may be tried again. */
  async explain() {
    await persist(() => get(`/status/${this.id}`, { signal: this.signal }), this.signal);
    await pause(FRAME, this.signal);
  }

  /** An ended execution tells nothing more; if somebody resumes it, that is news, as long as it is in memory. */
  async whileItRests() {
    this.lastId = "";
    const woken = new Promise((resolve) => {
      this.wake = () => resolve(null);
    });
    while (this.state.status.source === "memory") {
      const { revision, epoch } = this.state.status;
      const asked = persist(() => get(`/status/${this.id}?since=${revision}&wait=${WAIT_SECONDS}`, { signal: this.signal }), this.signal);
      const payload = await Promise.race([asked, woken]);
      asked.catch(() => {});
      if (payload === null || payload.epoch !== epoch) return;
      this.take(payload);
    }
    await Promise.race([woken, this.aborted()]);
  }

  /** Look again now: after a command, or when the page is looked at again. */
  look() {
    this.wake();
    this.others.postMessage(this.id);
  }

  shown() {
    if (!document.hidden) return Promise.resolve();
    const seen = new Promise((resolve) => {
      document.addEventListener("visibilitychange", resolve, { once: true });
    });
    return Promise.race([seen, this.aborted()]);
  }

  aborted() {
    return new Promise((_, reject) => {
      this.signal.addEventListener("abort", () => reject(this.signal.reason));
    });
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
