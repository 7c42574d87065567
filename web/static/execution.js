// One execution: its graph, its text as it streams, its outputs, what can be done to it. Live.

import { connection, get, persist } from "./api.js";
import { Actions } from "./actions.js";
import { Approvals } from "./approval.js";
import { BudgetForm } from "./budget.js";
import { attribute, h, set } from "./dom.js";
import { Facts } from "./facts.js";
import { Graph } from "./graph.js";
import { icon, pill, setPill } from "./icons.js";
import * as format from "./format.js";
import { Items } from "./items.js";
import { Follower } from "./live.js";
import { NodePanel } from "./node_panel.js";
import { Outputs } from "./outputs.js";
import { wayBack } from "./places.js";
import { Tabs } from "./tabs.js";
import { Thinking } from "./thinking.js";
import { Timeline } from "./timeline.js";

const SECOND = 1000;

export async function show(root, { rest: [id], signal }) {
  const page = new ExecutionPage(id, root, signal);
  await page.follow();
}

class ExecutionPage {
  constructor(id, root, signal) {
    this.id = id;
    this.root = root;
    this.signal = signal;
    this.fingerprint = null;
  }

  follow() {
    this.follower = new Follower(this.id, {
      signal: this.signal,
      onChange: (state, changed) => this.change(state, changed),
      onGone: (problem) => this.gone(problem),
    });
    const clock = setInterval(() => this.tick(), SECOND);
    this.signal.addEventListener("abort", () => {
      clearInterval(clock);
      this.graph?.stop();
    });
    return this.follower.run();
  }

  gone(problem) {
    const title = problem.status === 404 ? "No such execution" : problem.title || "This did not work";
    document.title = `${title} · Offbook`;
    set(this.root, h("div", { class: "empty", role: "alert" }, h("h1", {}, title), h("p", {}, problem.message),
      h("a", wayBack(), "Back to the list")));
  }

  async change(state, changed) {
    if (this.fingerprint === null) {
      this.fingerprint = state.status.workflow.fingerprint;
      let picture;
      try {
        picture = await persist(() => get(`/workflows/${this.fingerprint}/layout`, { signal: this.signal }), this.signal);
      } catch (error) {
        if (!this.signal.aborted) this.gone(error);
        return;
      }
      this.build(picture, state);
      this.update(state, null);
      return;
    }
    if (this.picture) this.update(state, changed);
  }

  build(picture, state) {
    this.picture = picture;
    const labels = new Map(picture.nodes.map((node) => [node.id, node.label]));
    this.graph = new Graph({ live: true, onSelect: (node) => this.select(node) });
    this.thinking = new Thinking(labels);
    this.actions = new Actions(this.id, labels, { signal: this.signal, look: () => this.follower.look() });
    this.outputs = new Outputs(this.id, picture, this.signal, { onEdit: (node, item, output) => this.actions.fork({ node, item, output }) });
    this.timeline = new Timeline(picture, (node) => this.graph.select(node, { quiet: false }));
    const items = new Items(this.id, this.signal, (node, item) => {
      this.right.show("Outputs");
      this.outputs.choose(node, item);
    });
    this.node = new NodePanel(picture, items, {
      onShowOutput: (node) => {
        this.right.show("Outputs");
        this.outputs.choose(node);
      },
      onEditPrompt: (node) => this.actions.fork({ node, prompt: true }),
      onClose: () => this.graph.select(this.graph.selected),
    });
    this.approvals = new Approvals(this.id, picture, this.signal, () => this.follower.look());
    this.budget = new BudgetForm(this.id, () => this.follower.look());
    this.facts = new Facts();
    this.inputs = new Lazy(`/executions/${this.id}/inputs`, this.signal);
    this.checkpoint = new Lazy(`/executions/${this.id}/checkpoint`, this.signal, "There is a checkpoint while an execution rests unfinished.");
    this.title = h("h1", {}, picture.name);
    this.pill = pill("queued");
    this.progress = h("div", { class: "progress-fill" });
    this.bar = h("div", { class: "progress", role: "progressbar", "aria-label": "Progress", "aria-valuemin": 0, "aria-valuemax": 100 }, this.progress);
    this.failure = h("div", { class: "failure", role: "alert", hidden: true });
    this.right = new Tabs("What it made", [
      { title: "Thinking", element: this.thinking.element, onShow: () => this.thinking.toEnd() },
      { title: "Outputs", element: this.outputs.element, onShow: () => this.outputs.look() },
      { title: "Inputs", element: this.inputs.element, onShow: () => this.inputs.load() },
      { title: "Checkpoint", element: this.checkpoint.element, onShow: () => this.checkpoint.load() },
    ]);
    set(this.root, h("section", { class: "view execution" },
      h("header", { class: "view-head" }, h("div", { class: "crumb" }, h("a", wayBack(), "Executions"), h("span", { class: "id" }, this.id)),
        h("div", { class: "title-line" }, this.title, this.pill, this.actions.element), this.bar, this.facts.element, this.failure, this.approvals.element, this.budget.element),
      h("div", { class: "columns" },
        h("div", { class: "column column-graph" }, this.graph.element, this.node.element, this.timeline.element),
        h("div", { class: "column column-made" }, this.right.element))));
    this.graph.draw(picture);
    if (state.atRest) this.right.show(state.status.status === "completed" ? "Outputs" : "Thinking");
  }

  update(state, changed) {
    this.state = state;
    const { status } = state;
    document.title = `${status.status === "running" ? format.percent(status.progress.percent) : status.status} · ${status.workflow.name} · Offbook`;
    setPill(this.pill, status.status);
    this.progress.style.setProperty("width", `${status.progress.percent}%`);
    attribute(this.progress, "class", `progress-fill state-${status.status}`);
    attribute(this.bar, "aria-valuenow", Math.floor(status.progress.percent));
    this.graph.update(state, changed);
    this.facts.update(state);
    this.thinking.update(state);
    this.outputs.update(state);
    this.timeline.update(state);
    this.node.update(state);
    this.actions.update(state);
    this.approvals.update(state);
    this.budget.update(status);
    this.showFailure(status);
    this.checkpoint.outdate(`${status.epoch}/${status.status}/${status.checkpoint.saved}`);
  }

  showFailure({ error, status }) {
    const shown = error !== null && status !== "running" && status !== "completed";
    this.failure.hidden = !shown;
    const version = shown ? JSON.stringify(error) : "";
    if (!shown || version === this.told) return;
    this.told = version;
    const where = error.node_id ? format.place(this.picture.nodes.find((node) => node.id === error.node_id)?.label ?? error.node_id, error.item) : "The execution";
    set(this.failure, icon("failed"), h("div", {}, h("p", {}, h("strong", {}, `${where}: ${error.type}`), " ", error.message), error.hint && !error.hint.startsWith("resume with POST") ? h("p", { class: "muted" }, error.hint) : null));
  }

  select(node) {
    this.thinking.filter(node);
    this.node.choose(node);
    if (node !== null) this.outputs.prefer(node);
  }

  tick() {
    // While the server is away nobody knows whether it still runs.
    if (!this.state || this.state.atRest || !this.picture || connection.lostAt !== null) return;
    this.facts.update(this.state);
    this.timeline.update(this.state);
    this.node.update(this.state);
    this.approvals.update(this.state);
  }
}

/** JSON that is asked for when it is looked at. */
class Lazy {
  constructor(path, signal, missing = "There is none.") {
    this.path = path;
    this.signal = signal;
    this.missing = missing;
    this.version = "";
    this.loaded = null;
    this.element = h("div", { class: "reading", tabindex: 0 });
  }

  /** What was loaded is another version's than this: load it anew, now if it is looked at. */
  outdate(version) {
    if (version === this.version) return;
    this.version = version;
    if (this.element.offsetParent !== null) this.load();
  }

  async load() {
    const { version } = this;
    if (version === this.loaded) return;
    try {
      const value = await persist(() => get(this.path, { signal: this.signal }), this.signal);
      if (version !== this.version) return;
      this.loaded = version;
      const empty = value && typeof value === "object" && Object.keys(value).length === 0;
      set(this.element, empty ? h("p", { class: "empty" }, "There are none.") : entries(value));
    } catch (error) {
      if (this.signal.aborted || version !== this.version) return;
      set(this.element, h("p", { class: "empty" }, error.status === 404 ? this.missing : error.message));
    }
  }
}

function entries(value) {
  return h("dl", { class: "entries" }, Object.entries(value).map(([name, each]) => [
    h("dt", {}, name),
    h("dd", {}, each === null || typeof each !== "object" ? h("div", { class: "prose" }, String(each)) : h("pre", { class: "raw" }, JSON.stringify(each, null, 2))),
  ]));
}

