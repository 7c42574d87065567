// What an execution does, as it does it: a block for each attempt at a node or item, its text as it streams.

import { h, say, set } from "./dom.js";
import * as format from "./format.js";
import { icon } from "./icons.js";

const NEAR = 48;
const BLOCKS_SHOWN = 400;
const NEWEST = 20;
const ENDS = { finished: "completed", failed: "failed", cancelled: "cancelled", skipped: "skipped" };
const NOTES = {
  started: "started",
  retry: "tries again",
  waiting: "waits",
  finished: "finished",
  failed: "failed",
  skipped: "skipped",
  cancelled: "cancelled",
  paused: "paused",
  resumed: "resumed",
};

export class Thinking {
  constructor(labels) {
    this.labels = labels;
    this.blocks = [];
    this.open = new Map();
    this.seen = new Map();
    this.only = null;
    this.follows = true;
    this.dropped = false;
    this.stream = h("div", { class: "stream", tabindex: 0, role: "log", "aria-label": "Steps and text", "aria-live": "off", onscroll: () => this.onScroll() });
    this.note = h("p", { class: "empty" }, "Nothing has been said yet.");
    this.jump = h("button", { type: "button", class: "jump", hidden: true, onclick: () => this.toEnd() }, "Follow the text");
    this.missing = h("p", { class: "muted missing", hidden: true });
    this.element = h("div", { class: "thinking" }, this.missing, this.note, this.stream, this.jump);
  }

  update(state) {
    let fresh = false;
    for (const step of state.steps) {
      const before = this.seen.get(step.seq);
      if (before === step.text.length) continue;
      this.seen.set(step.seq, step.text.length);
      this.takeStep(step, before ?? -1);
      fresh = true;
    }
    // The steps that the state has let go do not come again.
    if (this.seen.size > 2 * state.steps.length) this.seen = new Map(state.steps.map((step) => [step.seq, step.text.length]));
    this.tellUsage(state);
    this.tellRest(state);
    this.tellMissing(state);
    if (!fresh) return;
    this.tellNothing();
    if (this.follows) this.toEnd();
  }

  tellMissing(state) {
    const unseen = (state.steps[state.steps.length - 1]?.seq ?? 0) - state.stepsTaken;
    const words = [
      unseen > 0 ? `${format.count(unseen, "step")} happened while this page was not looking.` : null,
      this.dropped ? "What ended first is no longer shown here." : null,
    ].filter(Boolean);
    this.missing.hidden = words.length === 0;
    say(this.missing, words.length ? [...words, "Outputs have the whole text."].join(" ") : "");
  }

  tellNothing() {
    this.note.hidden = this.blocks.some((block) => !block.element.hidden);
    say(this.note, this.only === null ? "Nothing has been said yet." : `Nothing has been said by ${this.labels.get(this.only) ?? this.only} yet.`);
  }

  /** Only so many blocks are shown: of those that have ended, the first goes. */
  drop() {
    const place = Math.max(0, this.blocks.findIndex((block) => block.ended));
    const [block] = this.blocks.splice(place, 1);
    block.element.remove();
    const key = `${block.nodeId}/${block.item}`;
    if (this.open.get(key) === block) this.open.delete(key);
    this.dropped = true;
  }

  takeStep(step, before) {
    const key = `${step.node_id}/${step.item}`;
    let block = this.open.get(key);
    if (block === undefined || (block.ended && before < 0)) {
      block = new Block(step, this.labels.get(step.node_id) ?? step.node_id);
      this.open.set(key, block);
      this.blocks.push(block);
      this.stream.append(block.element);
      block.filter(this.only);
      while (this.blocks.length > BLOCKS_SHOWN) this.drop();
    }
    block.take(step);
  }

  /** Say at the end of a block what its attempt used: that is known a moment after the step. */
  tellUsage(state) {
    for (const block of this.blocks.slice(-NEWEST)) {
      if (!block.ended || block.told) continue;
      const entry = block.item === null ? state.node(block.nodeId) : state.items.get(block.nodeId)?.get(block.item);
      if (entry?.usage && !entry.items && entry.finished_at) block.tellUsage(entry);
    }
  }

  /** What waits has a step for it, but none for going on; and a fan-out comes to rest with its items, without a step. */
  tellRest(state) {
    for (const block of this.blocks) {
      if (block.ended || block.nodeId === null) continue;
      const status = (block.item === null ? state.node(block.nodeId) : state.items.get(block.nodeId)?.get(block.item))?.status;
      if (status) block.show(status);
    }
  }

  filter(only) {
    this.only = only;
    for (const block of this.blocks) block.filter(only);
    this.tellNothing();
    if (this.follows) this.toEnd();
  }

  onScroll() {
    const { scrollTop, clientHeight, scrollHeight } = this.stream;
    this.follows = scrollHeight - scrollTop - clientHeight < NEAR;
    this.jump.hidden = this.follows;
  }

  toEnd() {
    this.follows = true;
    this.jump.hidden = true;
    this.stream.scrollTop = this.stream.scrollHeight;
  }
}

class Block {
  constructor(step, label) {
    this.nodeId = step.node_id;
    this.item = step.item;
    this.began = step.at;
    this.ended = false;
    this.told = false;
    this.shown = "running";
    this.texts = new Map();
    this.state = h("span", { class: "block-state" }, icon("running", 14));
    this.time = h("time", { datetime: step.at }, format.clock(step.at));
    const name = step.node_id === null ? "Execution" : format.place(label, step.item);
    this.head = h("header", {}, this.state, h("h3", {}, name), this.time);
    this.body = h("div", { class: "block-body" });
    this.element = h("section", { class: "block", "aria-label": name }, this.head, this.body);
  }

  take(step) {
    if (step.kind === "text" || step.kind === "thinking") {
      this.takeText(step);
      return;
    }
    const end = ENDS[step.kind];
    if (step.kind !== "started" && step.kind !== "finished" || step.text) {
      const words = [NOTES[step.kind] ?? step.kind, step.text].filter(Boolean).join(": ");
      this.body.append(h("p", { class: `note note-${step.kind}` }, h("span", {}, words)));
    }
    if (end !== undefined || step.node_id === null) {
      this.ended = true;
      this.show(end ?? step.kind);
      const took = format.seconds(step.at) - format.seconds(this.began);
      if (took >= 0.05) say(this.time, `${format.clock(step.at)}, ${format.duration(took)}`);
    }
  }

  show(status) {
    if (status === this.shown) return;
    this.shown = status;
    set(this.state, icon(status, 14));
    this.element.className = `block state-${status}`;
  }

  tellUsage({ usage, attempt }) {
    this.told = true;
    const words = [attempt > 1 ? `attempt ${attempt}` : null, usage.output_tokens ? `${format.tokens(usage)} tokens` : null].filter(Boolean).join(", ");
    if (words) this.time.before(h("span", { class: "block-usage" }, words));
  }

  takeText(step) {
    let text = this.texts.get(step.seq);
    if (text === undefined) {
      let paragraph = this.body.lastElementChild;
      if (!paragraph?.classList.contains(step.kind)) {
        paragraph = h("div", { class: `prose ${step.kind}` });
        this.body.append(paragraph);
      }
      text = document.createTextNode("");
      paragraph.append(text);
      this.texts.set(step.seq, text);
    }
    if (step.text.startsWith(text.data)) text.appendData(step.text.slice(text.data.length));
    else text.data = step.text;
  }

  filter(only) {
    this.element.hidden = only !== null && this.nodeId !== only && this.nodeId !== null;
  }
}
