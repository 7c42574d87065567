// What lives in the worker: its supervision tree, its figures, and why an execution does not move.

import { get } from "./api.js";
import { attribute, h, s, say, set } from "./dom.js";
import * as format from "./format.js";
import { pill, setPill } from "./icons.js";
import { poll } from "./live.js";
import { explain } from "./stuck.js";

const EVERY = 2000;
const SHOWN = 200;
const LAGS = 60;
const READY_EVERY = 15_000;
const COLUMNS = [["Actor"], ["State"], ["Mailbox", 1], ["Highest", 1], ["Handled", 1], ["Restarts", 1], ["Database", 1], ["Age", 1], ["Now, or last reason"]];

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
    this.rows = new Map();
    this.figures = h("dl", { class: "figures" });
    this.body = h("tbody");
    this.more = h("p", { class: "muted more", hidden: true });
    this.tree = h("div", { class: "card wrap", tabindex: 0, role: "group", "aria-label": "Supervision tree" }, h("table", { class: "tree" },
      h("thead", {}, h("tr", {}, COLUMNS.map(([name, right]) => h("th", { scope: "col", class: right ? "right" : "" }, name)))), this.body), this.more);
    this.letters = h("div", { class: "stack" });
    this.filter = h("input", { type: "search", "aria-label": "Only executions with", placeholder: "Execution or workflow", oninput: () => this.search() });
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
    // Only the answer to the latest question is shown.
    const question = (this.question = {});
    const asked = new URLSearchParams({ limit: SHOWN, search: this.filter.value.trim() });
    const found = await get(`/actors?${asked}`, { signal: this.signal });
    if (!this.ready || Date.now() - this.readyAt > READY_EVERY) {
      this.readyAt = Date.now();
      this.ready = await get("/readyz", { signal: this.signal }).catch((error) => (error.body?.status ? error.body : Promise.reject(error)));
    }
    if (question !== this.question) return;
    this.lags.push(found.loop_lag_ms ?? 0);
    if (this.lags.length > LAGS) this.lags.shift();
    this.drawFigures(found);
    this.drawTree(found);
    this.drawLetters(found);
  }

  /** Look at once for what is typed; if that does not work, the next look says so. */
  async search() {
    try {
      await this.load();
    } catch (error) {
      if (!this.signal.aborted) say(this.more, error.message);
    }
  }

  drawFigures({ counts }) {
    const live = Object.entries(counts.executions).filter(([, number]) => number);
    const finished = counts.executions.completed + counts.executions.failed + counts.executions.cancelled;
    const figure = (name, value, more) => h("div", { class: "figure" }, h("dt", {}, name), h("dd", {}, value), more ? h("dd", { class: "muted" }, more) : null);
    set(this.figures,
      figure("Executions in memory", format.whole(live.reduce((sum, [, number]) => sum + number, 0)), live.map(([state, number]) => `${format.whole(number)} ${state}`).join(", ") || "none"),
      figure("Calls under way", format.whole(counts.live_calls), `${counts.queued_calls} queued, ${counts.abandoned} abandoned`),
      h("div", { class: "figure" }, h("dt", {}, "Control loop lag"), h("dd", {}, `${this.lags[this.lags.length - 1].toFixed(1)} ms`), h("dd", {}, spark(this.lags))),
      figure("Dead letters", format.whole(counts.dead_letters)),
      figure("Database", this.ready.database === "ok" ? "ok" : "away", this.ready.database === "ok" ? `${format.count(counts.transactions.writes, "write")}, ${format.count(counts.transactions.reads, "read")}` : this.ready.database),
      figure("Journal", this.ready.journal ?? "–", this.ready.journal_fault ?? (this.ready.recovering ? `${this.ready.recovering} to recover` : "")),
      figure("Worker", this.ready.status, finished ? `${format.whole(finished)} ended lately` : ""));
  }

  /** Change the rows in place: what has the focus, or is about to be clicked, stays. */
  drawTree({ actors, left_out: more }) {
    const wanted = new Map(actors.map((actor) => [actor.execution_id ?? actor.name, actor]));
    for (const [key, row] of this.rows) {
      if (wanted.has(key)) continue;
      row.element.remove();
      this.rows.delete(key);
    }
    let next = this.body.firstElementChild;
    for (const [key, actor] of wanted) {
      let row = this.rows.get(key);
      if (row === undefined) {
        row = new Row(actor, (id) => this.explain(id));
        this.rows.set(key, row);
      }
      row.show(actor);
      if (row.element === next) next = next.nextElementSibling;
      else this.body.insertBefore(row.element, next);
    }
    const searched = this.filter.value.trim();
    const members = actors.some((actor) => actor.parent && actor.execution_id);
    const words = more ? `${format.whole(more)} more ${more === 1 ? "is" : "are"} not shown.` : searched && !members ? "No execution fits." : "";
    this.more.hidden = !words;
    say(this.more, words);
  }

  drawLetters({ dead_letters: letters }) {
    const version = JSON.stringify(letters);
    if (version === this.lettersShown) return;
    this.lettersShown = version;
    set(this.letters, letters.count ? [h("h2", {}, "Dead letters"), h("ul", { class: "faults" }, letters.latest.map((letter) =>
      h("li", {}, h("strong", {}, letter.reason), h("span", { class: "muted" }, ` ${format.dateTime(letter.at)} `), letter.execution_id ? h("a", { href: `#/executions/${letter.execution_id}`, class: "id" }, format.shortId(letter.execution_id)) : null, h("p", {}, letter.detail))))] : null);
  }

  async explain(id) {
    this.asked.value = id;
    if (!id) return;
    const asked = (this.explained = {});
    set(this.why, h("p", { class: "muted" }, "Looking …"));
    try {
      const findings = await explain(id, this.signal);
      if (asked === this.explained) set(this.why, findings);
    } catch (error) {
      if (!this.signal.aborted && asked === this.explained) set(this.why, h("p", { class: "error" }, error.message));
    }
  }
}

const RUNNING = new Set(["running", "waiting", "recovering", "queued"]);

/** A line for an actor. */
class Row {
  constructor(actor, onWhy) {
    this.name = actor.execution_id ? h("a", { href: `#/executions/${actor.execution_id}` }) : h("span");
    this.pill = pill(actor.state);
    this.cells = Array.from({ length: 6 }, () => h("td", { class: "right" }));
    this.now = h("span");
    this.why = actor.execution_id ? h("button", { type: "button", class: "plain", onclick: () => onWhy(actor.execution_id) }, "Why?") : null;
    this.element = h("tr", { class: actor.parent ? "child" : "" }, h("th", { scope: "row" }, this.name), h("td", {}, this.pill), this.cells,
      h("td", {}, this.now, " ", this.why));
  }

  show(actor) {
    const { mailbox, db_ops: operations } = actor;
    say(this.name, actor.execution_id || actor.class === "AccountActor" ? actor.name : actor.class);
    setPill(this.pill, actor.state);
    const told = [
      format.whole(mailbox.depth), format.whole(mailbox.high_water), format.whole(actor.messages_handled), format.whole(actor.restarts),
      operations ? `${operations.reads} r, ${operations.writes} w` : "", actor.age_seconds === null ? "–" : format.age(actor.age_seconds),
    ];
    for (const [place, cell] of this.cells.entries()) say(cell, told[place]);
    say(this.now, actor.last_reason || actor.current_nodes.join(", "));
    if (this.why) attribute(this.why, "hidden", !RUNNING.has(actor.state));
  }
}

function spark(values) {
  const top = Math.max(10, ...values);
  const points = values.map((value, place) => `${(100 - (100 * (values.length - 1 - place)) / (LAGS - 1)).toFixed(1)},${(21 - (20 * value) / top).toFixed(1)}`).join(" ");
  return s("svg", { class: "spark", viewBox: "0 0 100 22", preserveAspectRatio: "none", "aria-hidden": "true" }, s("polyline", { points }));
}
