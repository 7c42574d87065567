// What lives in the worker: its supervision tree, its figures, and why an execution does not move.

import { get } from "./api.js";
import { h, s, set } from "./dom.js";
import * as format from "./format.js";
import { pill } from "./icons.js";
import { poll } from "./live.js";
import { findings } from "./stuck.js";

const EVERY = 2000;
const SHOWN = 200;
const LAGS = 60;

export async function show(root, { rest: [id], signal }) {
  const page = new ActorsPage(root, signal);
  if (id) page.explain(id);
  await poll(() => page.load(), EVERY, signal).catch((error) => {
    if (!signal.aborted) throw error;
  });
}

class ActorsPage {
  constructor(root, signal) {
    this.signal = signal;
    this.lags = [];
    this.figures = h("dl", { class: "figures" });
    this.tree = h("div", { class: "card wrap" });
    this.letters = h("div", { class: "stack" });
    this.filter = h("input", { type: "search", "aria-label": "Only executions with", placeholder: "Execution or workflow", oninput: () => this.drawTree() });
    this.asked = h("input", { type: "text", id: "stuck", class: "code", placeholder: "Execution id", autocomplete: "off" });
    this.why = h("div", { "aria-live": "polite" });
    set(root, h("section", { class: "view" }, h("header", { class: "view-head" }, h("h1", {}, "Actors")), this.figures,
      h("form", { class: "card stack", onsubmit: (event) => {
        event.preventDefault();
        this.explain(this.asked.value.trim());
      } }, h("label", { for: "stuck" }, "Why does an execution not move?"), h("div", { class: "buttons" }, this.asked, h("button", { type: "submit", class: "primary" }, "Look")), this.why),
      h("header", { class: "view-head" }, h("h2", {}, "Supervision tree"), this.filter), this.tree, this.letters));
  }

  async load() {
    this.found = await get("/actors", { signal: this.signal });
    if (!this.ready || Date.now() - this.readyAt > 15_000) {
      this.readyAt = Date.now();
      this.ready = await get("/readyz", { signal: this.signal }).catch((error) => (error.body?.status ? error.body : Promise.reject(error)));
    }
    this.lags.push(this.found.loop_lag_ms ?? 0);
    if (this.lags.length > LAGS) this.lags.shift();
    this.drawFigures();
    this.drawTree();
    this.drawLetters();
  }

  drawFigures() {
    const { counts } = this.found;
    const live = Object.entries(counts.executions).filter(([, number]) => number);
    const finished = counts.executions.completed + counts.executions.failed + counts.executions.cancelled;
    const figure = (name, value, more) => h("div", { class: "figure" }, h("dt", {}, name), h("dd", {}, value), more ? h("dd", { class: "muted" }, more) : null);
    set(this.figures,
      figure("Executions in memory", format.whole(live.reduce((sum, [, number]) => sum + number, 0)), live.map(([state, number]) => `${number} ${state}`).join(", ") || "none"),
      figure("Calls under way", format.whole(counts.live_calls), `${counts.queued_calls} queued, ${counts.abandoned} abandoned`),
      h("div", { class: "figure" }, h("dt", {}, "Control loop lag"), h("dd", {}, `${this.lags[this.lags.length - 1].toFixed(1)} ms`), h("dd", {}, spark(this.lags))),
      figure("Dead letters", format.whole(counts.dead_letters)),
      figure("Database", this.ready.database === "ok" ? "ok" : "away", this.ready.database === "ok" ? `${format.whole(counts.transactions.writes)} writes, ${format.whole(counts.transactions.reads)} reads` : this.ready.database),
      figure("Journal", this.ready.journal ?? "–", this.ready.journal_fault ?? (this.ready.recovering ? `${this.ready.recovering} to recover` : "")),
      figure("Worker", this.ready.status, finished ? `${format.whole(finished)} ended lately` : ""));
  }

  drawTree() {
    if (!this.found) return;
    const wanted = this.filter.value.trim().toLowerCase();
    const services = this.found.actors.filter((actor) => !actor.execution_id);
    const all = this.found.actors.filter((actor) => actor.execution_id && (!wanted || actor.name.toLowerCase().includes(wanted) || actor.execution_id.includes(wanted)));
    const urgent = (actor) => actor.restarts * 1000 + actor.mailbox.depth * 10 + (RUNNING.has(actor.state) ? 5 : 0);
    all.sort((one, other) => urgent(other) - urgent(one));
    const shown = all.slice(0, SHOWN);
    set(this.tree, h("table", { class: "tree" },
      h("thead", {}, h("tr", {}, [["Actor"], ["State"], ["Mailbox", 1], ["Highest", 1], ["Handled", 1], ["Restarts", 1], ["Database", 1], ["Age", 1], ["Now, or last reason"]].map(([name, right]) => h("th", { scope: "col", class: right ? "right" : "" }, name)))),
      h("tbody", {}, services.map((actor) => row(actor)), shown.map((actor) => row(actor, (id) => this.explain(id))))),
    all.length > SHOWN ? h("p", { class: "muted", style: { padding: "8px 12px" } }, `${format.whole(all.length - SHOWN)} more executions are not shown.`) : null);
  }

  drawLetters() {
    const { dead_letters: letters } = this.found;
    set(this.letters, letters.count ? [h("h2", {}, "Dead letters"), h("ul", { class: "faults" }, letters.latest.map((letter) =>
      h("li", {}, h("strong", {}, letter.reason), h("span", { class: "muted" }, ` ${format.dateTime(letter.at)} `), letter.execution_id ? h("a", { href: `#/executions/${letter.execution_id}`, class: "id" }, format.shortId(letter.execution_id)) : null, h("p", {}, letter.detail))))] : null);
  }

  async explain(id) {
    this.asked.value = id;
    if (!id) return;
    set(this.why, h("p", { class: "muted" }, "Looking …"));
    try {
      const [status, actors] = await Promise.all([get(`/status/${encodeURIComponent(id)}`, { signal: this.signal }), get("/actors", { signal: this.signal })]);
      set(this.why, findings(status, actors));
    } catch (error) {
      if (!this.signal.aborted) set(this.why, h("p", { class: "error" }, error.message));
    }
  }
}

const RUNNING = new Set(["running", "waiting", "recovering", "queued"]);

function row(actor, onWhy) {
  const name = actor.execution_id ? h("a", { href: `#/executions/${actor.execution_id}` }, actor.name) : actor.class;
  return h("tr", { class: actor.parent ? "child" : "" }, h("th", { scope: "row" }, name), h("td", {}, pill(actor.state)),
    h("td", { class: "right" }, format.whole(actor.mailbox.depth)), h("td", { class: "right" }, format.whole(actor.mailbox.high_water)),
    h("td", { class: "right" }, format.whole(actor.messages_handled)), h("td", { class: "right" }, format.whole(actor.restarts)),
    h("td", { class: "right" }, actor.db_ops ? `${actor.db_ops.reads} r, ${actor.db_ops.writes} w` : ""),
    h("td", { class: "right" }, actor.age_seconds === null ? "–" : format.age(actor.age_seconds)),
    h("td", {}, actor.last_reason || actor.current_nodes.join(", "), onWhy && RUNNING.has(actor.state) ? [" ", h("button", { type: "button", class: "plain", onclick: () => onWhy(actor.execution_id) }, "Why?")] : null));
}

function spark(values) {
  const top = Math.max(10, ...values);
  const points = values.map((value, place) => `${(100 - (100 * (values.length - 1 - place)) / (LAGS - 1)).toFixed(1)},${(21 - (20 * value) / top).toFixed(1)}`).join(" ");
  return s("svg", { class: "spark", viewBox: "0 0 100 22", preserveAspectRatio: "none", "aria-hidden": "true" }, s("polyline", { points }));
}
