// Workflows: what is registered, its versions and what changed between them, and a document on its way to be one.

import { ask, get, persist } from "./api.js";
import { problemText, Said } from "./dialog.js";
import { h, set } from "./dom.js";
import * as format from "./format.js";
import { Graph } from "./graph.js";
import { forget, keep, kept } from "./kept.js";
import { session } from "./session.js";
import { Tabs } from "./tabs.js";

const CHECK_AFTER = 500;
const DRAFT = "draft of a workflow";

export async function show(root, { rest: [reference], signal }) {
  const { workflows } = await persist(() => get("/workflows", { signal }), signal);
  const byName = Map.groupBy ? Map.groupBy(workflows, (each) => each.name) : grouped(workflows);
  const chosen = workflows.find((each) => each.fingerprint === reference) ?? workflows.find((each) => each.name === reference);
  const names = [...byName.keys()].sort((one, other) => one.localeCompare(other));
  const list = h("nav", { class: "card", "aria-label": "Registered workflows" },
    names.length ? h("ul", { class: "names" }, names.map((name) => h("li", {}, h("a", { href: `#/workflows/${encodeURIComponent(name)}`, "aria-current": chosen?.name === name ? "true" : null },
      h("span", {}, name), h("span", { class: "muted" }, format.count(byName.get(name).length, "version"))))))
      : h("p", { class: "muted" }, "None is registered yet."));
  const detail = h("div", { class: "stack" });
  set(root, h("section", { class: "view" }, h("header", { class: "view-head" }, h("h1", {}, "Workflows"), h("a", { class: "button", href: "#/workflows" }, "Paste a document")),
    h("div", { class: "split split-narrow" }, h("div", { class: "stack" }, list), detail)));
  if (chosen || reference) await showOne(detail, chosen ?? { fingerprint: reference }, byName.get(chosen?.name) ?? [], signal);
  else showDraft(detail, signal);
}

function grouped(workflows) {
  const groups = new Map();
  for (const each of workflows) groups.set(each.name, [...(groups.get(each.name) ?? []), each]);
  return groups;
}

async function showOne(root, { fingerprint }, versions, signal) {
  const path = `/workflows/${fingerprint}`;
  const [workflow, picture, text] = await Promise.all([path, `${path}/layout`, `${path}/text`].map((each) => persist(() => get(each, { signal, headers: each.endsWith("/text") ? { Accept: "application/yaml" } : {} }), signal)));
  const graph = new Graph();
  signal.addEventListener("abort", () => graph.stop());
  const tabs = new Tabs("About this workflow", [
    { title: "Document", element: h("pre", { class: "document card", tabindex: 0 }, text) },
    { title: "Versions", element: versionList(versions, fingerprint, signal) },
  ]);
  set(root, h("header", { class: "view-head" }, h("h2", {}, workflow.name), h("span", { class: "id" }, format.shortFingerprint(fingerprint)),
    h("span", { class: "muted" }, `registered ${format.dateTime(workflow.created_at)}`), h("a", { class: "button primary", href: `#/start/${fingerprint}` }, "Start it")),
  workflow.document.description ? h("p", {}, workflow.document.description) : null, graph.element, tabs.element);
  graph.draw(picture);
}

function versionList(versions, shown, signal) {
  const out = h("div", { "aria-live": "polite" });
  let asked = null;
  const compare = async (other) => {
    asked = other;
    try {
      const found = await get(`/workflows/${other}/diff/${shown}`, { signal });
      if (asked !== other) return;
      const kinds = { "+": "added", "-": "removed", "@": "place" };
      set(out, h("p", { class: "muted" }, `From ${format.shortFingerprint(other)} to ${format.shortFingerprint(shown)}:`), found.lines.length ? h("ol", { class: "diff card" }, found.lines.map(([kind, line]) =>
        h("li", { class: kinds[kind] ?? "" }, kind === "@" ? line : `${kind} ${line}`))) : h("p", {}, "They say the same."));
    } catch (error) {
      if (!signal.aborted && asked === other) set(out, h("div", { class: "error" }, problemText(error)));
    }
  };
  const rows = versions.map((each) => h("tr", {}, h("th", { scope: "row" }, h("a", { href: `#/workflows/${each.fingerprint}`, class: "id" }, format.shortFingerprint(each.fingerprint))),
    h("td", {}, format.dateTime(each.created_at)),
    h("td", {}, each.fingerprint === shown ? "shown here" : h("button", { type: "button", onclick: () => compare(each.fingerprint) }, "Compare with this"))));
  return h("div", { class: "stack" }, h("table", { class: "tree card" }, h("thead", {}, h("tr", {}, ["Fingerprint", "Registered", ""].map((name) => h("th", { scope: "col" }, name)))), h("tbody", {}, rows)), out);
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
