// Following what changes, over the server's own news: reconnects by itself, and says while it cannot.

import { connection, get, pause, persist, Problem } from "./api.js";
import { ExecutionState } from "./state.js";

const WAIT_SECONDS = 20;
const FRAME = 60;

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
    this.wake = null;
    signal.addEventListener("abort", () => clearTimeout(this.drawing));
  }

  async run() {
    try {
      for (;;) {
        const payload = await persist(() => this.ask(), this.signal);
        this.take(payload);
        // What has left the server's memory changes only if somebody resumes it: nobody is asked in vain.
        if (payload.source === "database") await this.woken();
      }
    } catch (error) {
      if (this.signal.aborted) return;
      if (error instanceof Problem) this.onGone(error);
      else throw error;
    }
  }

  ask() {
    const known = this.state.status;
    const asked = known && known.source !== "database" && connection.lostAt === null;
    const query = asked ? `?since=${known.revision}&wait=${WAIT_SECONDS}` : "";
    return get(`/status/${this.id}${query}`, { signal: this.signal });
  }

  /** Look again now: after a command, or when the page is looked at again. */
  look() {
    this.wake?.();
  }

  woken() {
    return new Promise((resolve, reject) => {
      this.wake = resolve;
      this.signal.addEventListener("abort", () => reject(this.signal.reason));
    });
  }

  take(payload) {
    for (const node of this.state.take(payload)) this.changed.add(node);
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
