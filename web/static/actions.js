// What can be done to an execution in the state it is in. Each button says what happened, also when it was refused.

import { ask, get, post } from "./api.js";
import { h, set } from "./dom.js";
import { askFirst, Said } from "./dialog.js";
import * as format from "./format.js";
import { askFork } from "./fork.js";
import { goBack } from "./places.js";
import { planText } from "./plan.js";
import { RESUMABLE, RESTING } from "./state.js";

export class Actions {
  constructor(id, labels, { signal, look }) {
    this.id = id;
    this.labels = labels;
    this.signal = signal;
    this.look = look;
    this.said = new Said();
    this.buttons = h("div", { class: "buttons", role: "group", "aria-label": "What can be done" });
    this.element = h("div", { class: "actions" }, this.buttons, this.said.element);
    this.shown = "";
  }

  update(state) {
    this.state = state;
    const { status } = state.status;
    if (status === this.shown) return;
    const focused = this.buttons.contains(document.activeElement);
    this.shown = status;
    const resting = RESTING.has(status);
    // What it says in green is not how it ended.
    if (resting && status !== "completed" && this.resumed) this.said.clear();
    if (resting) this.resumed = false;
    set(this.buttons,
      resting ? null : h("button", { type: "button", onclick: () => this.pause() }, "Pause"),
      RESUMABLE.has(status) ? h("button", { type: "button", class: "primary", onclick: () => this.resume() }, "Resume …") : null,
      resting && status !== "paused" ? null : h("button", { type: "button", class: "danger", onclick: () => this.cancel() }, "Cancel …"),
      resting ? h("button", { type: "button", onclick: () => this.fork() }, "Fork …") : null,
      resting ? h("button", { type: "button", class: "danger", onclick: () => this.remove() }, "Delete …") : null);
    if (focused) this.buttons.querySelector("button")?.focus();
  }

  async send(name, action, done) {
    try {
      const answer = await action();
      this.said.done(done(answer));
      this.look();
    } catch (error) {
      if (!this.signal.aborted) this.said.refused(name, error);
      this.look();
    }
  }

  pause() {
    return this.send("Pause", () => post(`/executions/${this.id}/pause`), () => `Pause was accepted at ${format.clock(new Date())}: calls in flight finish and are kept, nothing new starts.`);
  }

  async cancel() {
    const answer = await askFirst({
      title: "Cancel this execution?", danger: true, confirm: "Cancel it", signal: this.signal,
      body: h("p", {}, "Calls in flight are hung up on. What they had written so far is kept, and the execution can be resumed later."),
      act: () => post(`/executions/${this.id}/cancel`),
    });
    if (answer === undefined) return;
    this.said.done(`Cancel was accepted at ${format.clock(new Date())}.`);
    this.look();
  }

  async resume() {
    const guidance = h("textarea", { id: "guidance", rows: 3, placeholder: "For example: shorter, and in the past tense" });
    const plan = h("div", { class: "plan", "aria-live": "polite" }, h("p", { class: "muted" }, "Looking at what would be done …"));
    get(`/executions/${this.id}/resume`, { signal: this.signal }).then(
      (found) => set(plan, planText(found, this.labels)),
      (error) => set(plan, h("p", { class: "error" }, error.message)));
    const answer = await askFirst({
      title: "Resume from what did not finish", confirm: "Resume", signal: this.signal,
      body: [plan, h("label", { for: "guidance" }, "Guidance for what failed ", h("span", { class: "muted" }, "(optional, reaches its prompt)")), guidance],
      act: () => post(`/executions/${this.id}/resume`, guidance.value.trim() ? { guidance: guidance.value.trim() } : {}),
    });
    if (answer === undefined) return;
    this.resumed = true;
    this.said.done(`Resumed at ${format.clock(new Date())} as epoch ${answer.epoch}.`);
    this.look();
  }

  async fork(changes = {}) {
    let answer;
    try {
      answer = await askFork(this.id, this.state.status, changes, this.labels, this.signal);
    } catch (error) {
      if (!this.signal.aborted) this.said.refused("The fork", error);
      return;
    }
    if (answer !== undefined) location.hash = `#/executions/${answer.execution_id}`;
  }

  async remove() {
    const answer = await askFirst({
      title: "Delete this execution?", danger: true, confirm: "Delete it", signal: this.signal,
      body: h("p", {}, "Its outputs and its checkpoint are deleted with it. This cannot be undone."),
      act: async () => {
        await ask("DELETE", `/executions/${this.id}`);
        return true;
      },
    });
    if (answer) goBack();
  }
}
