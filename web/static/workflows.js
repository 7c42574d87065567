// Workflows: what is registered, its versions and what changed between them, and a document on its way to be one.

import { ask, get, persist } from "./api.js";
import { problemText, Said } from "./dialog.js";
import { add, attribute, h, say, set } from "./dom.js";
import * as format from "./format.js";
import { Graph } from "./graph.js";
import { forget, keep, kept } from "./kept.js";
import { names, some } from "./registered.js";
import { session } from "./session.js";
import { Tabs } from "./tabs.js";

const CHECK_AFTER = 500;
const VERSIONS = 100;
const DRAFT = "draft of a workflow";

export async function show(root, { rest: [reference], signal }) {
  const pages = names(signal);
  const list = new Names();
  list.show((await pages.next()).value);
  const detail = h("div", { class: "stack" });
  set(root, h("section", { class: "view" }, h("header", { class: "view-head" }, h("h1", {}, "Workflows"), h("a", { class: "button", href: "#/workflows" }, "Paste a document")),
    h("div", { class: "split split-narrow" }, h("div", { class: "stack" }, list.element), detail)));
  if (reference) list.mark(await showOne(detail, reference, signal));
  else showDraft(detail, signal);
  for await (const known of pages) list.show(known);
}

/** What is registered, by name. It grows as pages come: what has the focus keeps it. */
class Names {
  constructor() {
    this.links = new Map();
    this.list = h("ul", { class: "names" });
    this.none = h("p", { class: "muted" }, "None is registered yet.");
    this.element = h("nav", { class: "card", "aria-label": "Registered workflows" }, this.none, this.list);
  }

  show(known) {
    this.none.hidden = known.length > 0;
    let next = this.list.firstElementChild;
    for (const { name, versions } of known) {
      let link = this.links.get(name);
      if (link === undefined) {
        link = h("a", { href: `#/workflows/${encodeURIComponent(name)}` }, h("span", {}, name), h("span", { class: "muted" }));
        this.links.set(name, link);
        this.list.insertBefore(h("li", {}, link), next);
      } else next = next.nextElementSibling;
      say(link.lastElementChild, format.count(versions, "version"));
    }
    this.mark(this.marked);
  }

  mark(name) {
    this.marked = name;
    const link = this.links.get(name);
    if (link) attribute(link, "aria-current", "true");
  }
}

/** Show a version, by its fingerprint or the newest by its name; return the name. */
async function showOne(root, reference, signal) {
  const path = `/workflows/${encodeURIComponent(reference)}`;
  const [workflow, picture, text] = await Promise.all([path, `${path}/layout`, `${path}/text`].map((each) => persist(() => get(each, { signal, headers: each.endsWith("/text") ? { Accept: "application/yaml" } : {} }), signal)));
  const { name, fingerprint } = workflow;
  const graph = new Graph();
  signal.addEventListener("abort", () => graph.stop());
  const versions = new Versions(name, fingerprint, signal);
  const tabs = new Tabs("About this workflow", [
    { title: "Document", element: h("pre", { class: "document card", tabindex: 0 }, text) },
    { title: "Versions", element: versions.element, onShow: () => versions.more() },
  ]);
  set(root, h("header", { class: "view-head" }, h("h2", {}, name), h("span", { class: "id" }, format.shortFingerprint(fingerprint)),
    h("span", { class: "muted" }, `registered ${format.dateTime(workflow.created_at)}`), h("a", { class: "button primary", href: `#/start/${fingerprint}` }, "Start it")),
  workflow.document.description ? h("p", {}, workflow.document.description) : null, graph.element, tabs.element);
  graph.draw(picture);
  return name;
}

/** The versions of a name, asked for when they are looked at, and what changed from each to the one that is shown. */
class Versions {
  constructor(name, shown, signal) {
    this.name = name;
    this.shown = shown;
    this.signal = signal;
    this.cursor = null;
    this.rows = h("tbody");
    this.older = h("div", { class: "buttons", hidden: true }, h("button", { type: "button", onclick: () => this.more(this.cursor) }, "Show older ones"));
    this.out = h("div", { "aria-live": "polite" });
    this.element = h("div", { class: "stack" }, h("table", { class: "tree card" }, h("thead", {}, h("tr", {}, ["Fingerprint", "Registered", ""].map((title) => h("th", { scope: "col" }, title)))), this.rows), this.older, this.out);
  }

  /** Load the page at a cursor, unless it is there. */
  async more(cursor = null) {
    if (this.asked || (cursor === null && this.rows.firstElementChild)) return;
    this.asked = true;
    try {
      const { workflows, next_cursor: next } = await some({ name: this.name, limit: VERSIONS, cursor }, this.signal);
      add(this.rows, workflows.map((each) => this.row(each)));
      this.cursor = next;
      this.older.hidden = next === null;
    } catch (error) {
      if (!this.signal.aborted) set(this.out, h("div", { class: "error" }, problemText(error)));
    } finally {
      this.asked = false;
    }
  }

  row({ fingerprint, created_at: registered }) {
    return h("tr", {}, h("th", { scope: "row" }, h("a", { href: `#/workflows/${fingerprint}`, class: "id" }, format.shortFingerprint(fingerprint))),
      h("td", {}, format.dateTime(registered)),
      h("td", {}, fingerprint === this.shown ? "shown here" : h("button", { type: "button", onclick: () => this.compare(fingerprint) }, "Compare with this")));
  }

  async compare(other) {
    this.compared = other;
    try {
      const found = await get(`/workflows/${other}/diff/${this.shown}`, { signal: this.signal });
      if (this.compared !== other) return;
      const kinds = { "+": "added", "-": "removed", "@": "place" };
      set(this.out, h("p", { class: "muted" }, `From ${format.shortFingerprint(other)} to ${format.shortFingerprint(this.shown)}:`), found.lines.length ? h("ol", { class: "diff card" }, found.lines.map(([kind, line]) =>
        h("li", { class: kinds[kind] ?? "" }, kind === "@" ? line : `${kind} ${line}`))) : h("p", {}, "They say the same."));
    } catch (error) {
      if (!this.signal.aborted && this.compared === other) set(this.out, h("div", { class: "error" }, problemText(error)));
    }
  }
}

/** A document that is pasted: validated while it is written, drawn, registered. */
function showDraft(root, signal) {
  const area = h("textarea", { class: "code", id: "document", rows: 20, spellcheck: "false", wrap: "off", placeholder: "format: 1\nname: story\nnodes:\n  - id: outline\n    type: llm\n    config: {model: scripted/writer, prompt: \"An outline\"}" });
  const faults = h("div", { role: "status", "aria-live": "polite" });
  const graph = new Graph();
  graph.element.hidden = true;
  signal.addEventListener("abort", () => graph.stop());
  const said = new Said();
  const operates = session.user === null;
  const register = h("button", { type: "button", class: "primary", disabled: true, onclick: async () => {
    try {
      const { fingerprint } = await send("/workflows");
      forget(DRAFT);
      location.hash = `#/workflows/${fingerprint}`;
    } catch (error) {
      if (signal.aborted) return;
      said.refused("The document", error);
      set(faults, problemText(error));
    }
  } }, "Register");
  const send = (path) => {
    const text = area.value.trim();
    return ask("POST", path, { ...(text.startsWith("{") ? { text: area.value, headers: { "Content-Type": "application/json" } } : { text: area.value }), signal });
  };
  let question = null;
  const check = async () => {
    // Only the answer about what is written now counts.
    const asked = (question = {});
    register.disabled = true;
    if (!area.value.trim()) {
      set(faults);
      graph.element.hidden = true;
      return;
    }
    try {
      const { valid, errors } = await send("/workflows/validate");
      if (asked !== question) return;
      register.disabled = !valid;
      graph.element.hidden = !valid;
      set(faults, valid ? h("p", { class: "said-done" }, "Valid.") : [h("p", {}, format.count(errors.length, "error")), h("ul", { class: "faults" }, errors.map((error) => fault(error, area)))]);
      if (!valid) return;
      const picture = await send("/workflows/layout");
      if (asked === question) graph.draw(picture);
    } catch (error) {
      if (!signal.aborted && asked === question) set(faults, h("div", { class: "error" }, problemText(error)));
    }
  };
  let timer = null;
  area.addEventListener("input", () => {
    keep(DRAFT, area.value);
    register.disabled = true;
    clearTimeout(timer);
    timer = setTimeout(check, CHECK_AFTER);
  });
  set(root, h("div", { class: "card stack" }, h("label", { for: "document" }, "A workflow document, as YAML or JSON"), area, h("div", { class: "buttons" }, h("button", { type: "button", onclick: check }, "Validate"), operates ? register : null),
    operates ? said.element : h("p", { class: "muted" }, "Registering is for operators: a name means the same for everybody."), faults), graph.element);
  area.value = kept(DRAFT) ?? "";
  if (area.value) check();
}

function fault(error, area) {
  const place = [error.line ? `line ${error.line}` : null, error.path].filter(Boolean).join(", ");
  return h("li", {}, error.line ? h("button", { type: "button", class: "plain", onclick: () => goTo(area, error.line) }, place) : h("span", { class: "muted" }, place),
    h("p", {}, error.message), error.hint ? h("p", { class: "muted" }, error.hint) : null);
}

function goTo(area, line) {
  const lines = area.value.split("\n");
  const start = lines.slice(0, line - 1).reduce((sum, each) => sum + each.length + 1, 0);
  area.focus();
  area.setSelectionRange(start, start + (lines[line - 1] ?? "").length);
  area.scrollTop = Math.max(0, (line - 4) * parseFloat(getComputedStyle(area).lineHeight));
}
