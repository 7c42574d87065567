// The list of executions: live, filtered, and as long as it may be: only the rows that are seen are elements.

import { get, persist, Problem } from "./api.js";
import { problemText } from "./dialog.js";
import { attribute, freshId, h, say, set } from "./dom.js";
import * as format from "./format.js";
import { followList } from "./list_news.js";
import { Line } from "./list_row.js";
import { entryHere, freshEntry, leave, placeOf } from "./places.js";
import { STATUSES } from "./state.js";

const FIRST_PAGE = 100;
const NEXT_PAGES = 500;
const OVERSCAN = 8;
const FIELDS = ["workflow", "user", "label"];

export async function show(root, { query, signal }) {
  const list = new List(query, signal);
  set(root, list.element);
  await list.live();
}

class List {
  constructor(query, signal) {
    this.signal = signal;
    this.query = query;
    this.rows = new Map();
    this.order = [];
    this.shown = [];
    this.cursor = null;
    this.loading = null;
    this.asking = new Set();
    this.lines = new Map();
    this.search = (query.get("search") ?? "").toLowerCase();
    this.listening = signal;
    this.entry = entryHere();
    this.place = placeOf(this.entry) ?? null;
    this.build();
    signal.addEventListener("abort", () => {
      this.sizes.disconnect();
      this.leave();
    });
  }

  // Elements

  build() {
    const id = freshId("list");
    this.count = h("p", { class: "muted", role: "status", id }, "Loading …");
    this.body = h("div", { class: "rows", role: "rowgroup" });
    this.head = h("div", { class: "row row-head", role: "row" },
      ["Status", "Workflow", "Progress", "User", "Age", "Tokens", "Cost"].map((name) =>
        h("span", { role: "columnheader", class: `col-${name.toLowerCase()}` }, name)));
    this.scroller = h("div", {
      class: "table", role: "table", tabindex: 0, "aria-label": "Executions", "aria-describedby": id,
      onscroll: () => this.draw(), onkeydown: (event) => this.onKey(event),
    }, this.head, this.body);
    this.empty = h("div", { class: "empty", hidden: true });
    this.element = h("section", { class: "view list" },
      h("header", { class: "view-head" }, h("h1", {}, "Executions"), this.count,
        h("a", { class: "button primary", href: "#/start" }, "Start one")),
      this.filters(), this.scroller, this.empty);
    this.sizes = new ResizeObserver(() => this.draw());
    this.sizes.observe(this.scroller);
  }

  filters() {
    const asked = new Set(this.query.getAll("status").flatMap((word) => word.split(",")).filter(Boolean));
    const chips = STATUSES.map((status) => h("button", {
      type: "button", class: `chip state-${status}`, "aria-pressed": String(asked.has(status)),
      onclick: (event) => {
        if (asked.has(status)) asked.delete(status);
        else asked.add(status);
        attribute(event.currentTarget, "aria-pressed", String(asked.has(status)));
        this.filter("status", [...asked].join(","));
      },
    }, status));
    const fields = FIELDS.map((name) => h("input", {
      type: "search", "aria-label": `Only with this ${name}`, value: this.query.get(name) ?? "",
      placeholder: name === "label" ? "label=value" : name,
      onchange: (event) => this.filter(name, event.target.value.trim()),
    }));
    const search = h("input", {
      type: "search", "aria-label": "Search what is listed, or enter an id", placeholder: "Search, or an id", value: this.query.get("search") ?? "",
      oninput: () => {
        const text = search.value.trim().toLowerCase();
        if (/^[0-9a-f]{32}$/.test(text)) {
          location.hash = `#/executions/${text}`;
          return;
        }
        this.search = text;
        // So that Back leads to what was found.
        this.ask("search", text);
        history.replaceState({ list: this.entry }, "", this.address());
        this.arrange();
      },
    });
    return h("div", { class: "filters", role: "search" }, h("div", { class: "chips", role: "group", "aria-label": "Only these states" }, chips),
      h("div", { class: "fields" }, fields, search));
  }

  /** List others, in this same view: what has the focus, and what is typed into the search, stays. */
  filter(name, value) {
    this.leave();
    this.ask(name, value);
    this.entry = freshEntry();
    history.pushState({ list: this.entry }, "", this.address());
    this.scroller.scrollTop = 0;
    this.rows.clear();
    this.order = [];
    this.cursor = null;
    this.asked.abort(new DOMException("others are asked for", "AbortError"));
  }

  ask(name, value) {
    this.query = new URLSearchParams(this.query);
    if (value) this.query.set(name, value);
    else this.query.delete(name);
  }

  address() {
    return `#/executions${this.query.size ? `?${this.query}` : ""}`;
  }

  // Rows

  path(cursor) {
    const query = new URLSearchParams({ limit: cursor || this.place?.first ? NEXT_PAGES : FIRST_PAGE });
    for (const name of ["status", ...FIELDS]) if (this.query.get(name)) query.set(name, this.query.get(name));
    if (cursor) query.set("cursor", cursor);
    return `/executions?${query}`;
  }

  /** Where news of what is listed comes from. */
  newsPath() {
    const query = new URLSearchParams();
    for (const name of FIELDS) if (this.query.get(name)) query.set(name, this.query.get(name));
    return `/events${query.size ? `?${query}` : ""}`;
  }

  /** Ask for a page; what is heard meanwhile comes with it, since the page may be older than that. */
  async page(cursor, signal) {
    const news = [];
    this.asking.add(news);
    try {
      const page = await persist(() => get(this.path(cursor), { signal }), signal);
      signal.throwIfAborted();
      return { page, news };
    } finally {
      this.asking.delete(news);
    }
  }

  /** Load the newest anew; what was loaded further down stays if it follows on. */
  async load() {
    const question = (this.question = {});
    const { page, news } = await this.page(null, this.listening);
    // Only the answer to the latest question is shown.
    if (question !== this.question) return;
    const oldest = page.executions[page.executions.length - 1];
    const before = this.order;
    this.rows.clear();
    const follows = oldest !== undefined && page.next_cursor !== null && before.some((row) => row.execution_id === oldest.execution_id);
    if (follows) this.take(before.slice(before.findIndex((row) => row.execution_id === oldest.execution_id)));
    else this.cursor = page.next_cursor;
    this.take(page.executions);
    for (const tell of news) tell();
    this.arrange();
    await this.goBack(this.listening);
  }

  /** Load a page further down, unless one is on its way or there is none; done when it is shown. */
  async more() {
    if (this.cursor === null) return;
    this.loading ??= this.next().finally(() => {
      this.loading = null;
    });
    if (await this.loading) this.arrange();
  }

  /** Take the next page; return whether it came. */
  async next() {
    const { cursor, listening: signal } = this;
    try {
      const { page, news } = await this.page(cursor, signal);
      // The list may have been loaded anew, and go on elsewhere.
      if (cursor !== this.cursor) return false;
      this.take(page.executions);
      this.cursor = page.next_cursor;
      for (const tell of news) tell();
      return true;
    } catch (error) {
      if (signal.aborted) return false;
      if (!(error instanceof Problem)) throw error;
      say(this.count, error.message);
      return false;
    }
  }

  reaches(row) {
    return this.order.length > 0 && inOrder(this.order[this.order.length - 1], row) >= 0;
  }

  /** Keep what is in sight, for whoever comes back, and which execution they went to. */
  leave() {
    const { scrollTop: top } = this.scroller;
    const number = Math.floor(top / this.height());
    const [, opened] = location.hash.match(/^#\/executions\/(\w+)/) ?? [];
    leave(this.entry, this.address(), { first: top > 0 ? this.shown[number] ?? null : null, hidden: top - number * this.height(), opened });
  }

  /** Show what was in sight when this list was left, however far down, unless somebody scrolls meanwhile. */
  async goBack(signal) {
    const { place } = this;
    this.place = null;
    if (place === null) return;
    const { first, hidden, opened } = place;
    while (first && this.cursor !== null && !this.reaches(first)) {
      const { cursor } = this;
      await this.more();
      if (signal.aborted || this.cursor === cursor) return;
    }
    if (this.scroller.scrollTop > 0) return;
    const number = first ? this.shown.findIndex((row) => inOrder(row, first) >= 0) : -1;
    if (number >= 0) this.scroller.scrollTop = number * this.height() + hidden;
    this.draw();
    const { activeElement } = document;
    if (activeElement === document.body || activeElement.id === "main") this.lines.get(opened)?.link.focus({ preventScroll: true });
  }

  take(rows) {
    for (const row of rows) this.rows.set(row.execution_id, row);
  }

  async live() {
    const clock = setInterval(() => this.drawAges(), 5000);
    this.signal.addEventListener("abort", () => clearInterval(clock));
    while (!this.signal.aborted) {
      this.asked = new AbortController();
      this.listening = AbortSignal.any([this.signal, this.asked.signal]);
      try {
        await followList(this, this.listening);
      } catch (error) {
        if (this.listening.aborted) continue;
        if (!(error instanceof Problem)) throw error;
        this.refused(error);
        await new Promise((resolve) => this.listening.addEventListener("abort", resolve, { once: true }));
      }
    }
  }

  /** Whether a row that has changed is one of those asked for. */
  wanted(row) {
    const statuses = this.query.get("status")?.split(",").filter(Boolean) ?? [];
    const workflow = this.query.get("workflow");
    const user = this.query.get("user");
    const label = this.query.get("label");
    return (statuses.length === 0 || statuses.includes(row.status))
      && (!workflow || workflow === row.workflow.name || workflow === row.workflow.fingerprint)
      && (!user || user === row.user_id)
      && (!label || row.labels?.[label.split("=")[0]] === label.slice(label.indexOf("=") + 1));
  }

  change(row) {
    this.tell(() => {
      if (this.wanted(row)) this.rows.set(row.execution_id, { ...this.rows.get(row.execution_id), ...row });
      else this.rows.delete(row.execution_id);
    });
  }

  remove(id) {
    this.tell(() => this.rows.delete(id));
  }

  tell(news) {
    for (const heard of this.asking) heard.push(news);
    news();
    this.arrangeSoon();
  }

  arrangeSoon() {
    this.scheduled ??= requestAnimationFrame(() => {
      this.scheduled = null;
      this.arrange();
    });
  }

  arrange() {
    this.order = [...this.rows.values()].sort(inOrder);
    this.shown = this.search ? this.order.filter((row) => this.matches(row)) : this.order;
    const more = this.cursor === null ? "" : " or more";
    say(this.count, this.search ? `${this.shown.length} of ${this.order.length}${more} listed` : `${format.count(this.order.length, "execution")}${more}`);
    const nothing = this.shown.length === 0;
    this.scroller.hidden = nothing;
    this.sayEmpty(!nothing ? "" : this.cursor !== null ? "searching" : this.order.length || this.query.size ? "no fit" : "none");
    this.draw();
  }

  /** Say why no row is shown; what is said already is left alone, for whoever is about to use it. */
  sayEmpty(why) {
    this.empty.hidden = !why;
    if (why === this.saidEmpty) return;
    this.saidEmpty = why;
    const texts = {
      searching: () => h("p", {}, "Nothing fits so far. Older ones are being looked through …"),
      "no fit": () => h("p", {}, "Nothing fits. ", h("a", { href: "#/executions" }, "Show all executions")),
      none: () => [h("h2", {}, "Nothing has run here yet"), h("p", {}, h("a", { href: "#/start" }, "Start an execution"), ", or send one to ", h("code", {}, "POST /executions"), ".")],
    };
    set(this.empty, texts[why]?.());
  }

  /** What is asked for is refused: say why, until something else is asked for. */
  refused(error) {
    this.scroller.hidden = true;
    say(this.count, "");
    this.empty.hidden = false;
    this.saidEmpty = null;
    set(this.empty, h("div", { class: "error", role: "alert" }, problemText(error)));
  }

  matches(row) {
    const labels = Object.entries(row.labels ?? {}).map(([key, value]) => `${key}=${value}`);
    return [row.execution_id, row.workflow.name, row.user_id ?? "", row.status, ...labels]
      .some((text) => text.toLowerCase().includes(this.search));
  }

  /** Of a row, in pixels. */
  height() {
    return parseFloat(getComputedStyle(this.scroller).getPropertyValue("--row")) || 44;
  }

  draw() {
    const height = this.height();
    const top = Math.max(0, Math.floor(this.scroller.scrollTop / height) - OVERSCAN);
    const end = Math.min(this.shown.length, Math.ceil((this.scroller.scrollTop + this.scroller.clientHeight) / height) + OVERSCAN);
    this.body.style.setProperty("height", `${this.shown.length * height}px`);
    attribute(this.scroller, "aria-rowcount", this.cursor === null ? this.shown.length + 1 : -1);
    const seen = this.shown.slice(top, end);
    const ids = new Set(seen.map((row) => row.execution_id));
    for (const [id, line] of this.lines) {
      if (ids.has(id)) continue;
      line.element.remove();
      this.lines.delete(id);
    }
    // In the order in which they are seen, for Tab and screen readers; what is in its place is not touched.
    let next = this.body.firstElementChild;
    for (const [place, row] of seen.entries()) {
      let line = this.lines.get(row.execution_id);
      if (line === undefined) {
        line = new Line(row);
        this.lines.set(row.execution_id, line);
      }
      line.show(row, top + place, height);
      if (line.element === next) next = next.nextElementSibling;
      else this.body.insertBefore(line.element, next);
    }
    if (end + 2 * OVERSCAN >= this.shown.length) this.more();
  }

  drawAges() {
    for (const line of this.lines.values()) line.showAge();
  }

  onKey(event) {
    if (event.key !== "ArrowDown" && event.key !== "ArrowUp") return;
    const places = [...this.lines.values()].sort((one, other) => one.place - other.place);
    const now = places.findIndex((line) => line.element.contains(document.activeElement));
    const next = places[now < 0 ? 0 : now + (event.key === "ArrowDown" ? 1 : -1)];
    if (next === undefined) return;
    event.preventDefault();
    next.link.focus();
    next.element.scrollIntoView({ block: "nearest" });
  }
}

/** Newest first. */
function inOrder(one, other) {
  if (one.created_at !== other.created_at) return one.created_at > other.created_at ? -1 : 1;
  if (one.execution_id === other.execution_id) return 0;
  return one.execution_id > other.execution_id ? -1 : 1;
}
