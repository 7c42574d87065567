// Start an execution: pick a workflow, fill in what it asks for, see what it would cost, go.

import { get, persist, post } from "./api.js";
import { budgetFields } from "./budget.js";
import { Said } from "./dialog.js";
import { h, set } from "./dom.js";
import { inputField, showErrors } from "./forms.js";
import { Graph } from "./graph.js";
import { keep, kept } from "./kept.js";
import { planText } from "./plan.js";
import { names } from "./registered.js";
import { session } from "./session.js";

export async function show(root, { rest: [reference], signal }) {
  const pages = names(signal);
  const { value: known } = await pages.next();
  const wanted = reference ?? known[0]?.name;
  if (wanted === undefined) {
    set(root, h("section", { class: "view" }, h("h1", {}, "Start"), h("div", { class: "empty" }, h("h2", {}, "No workflow is registered"),
      h("p", {}, h("a", { href: "#/workflows" }, "Paste a document"), " to validate and register it."))));
    return;
  }
  const [workflow, picture] = await Promise.all([
    persist(() => get(`/workflows/${encodeURIComponent(wanted)}`, { signal }), signal),
    persist(() => get(`/workflows/${encodeURIComponent(wanted)}/layout`, { signal }), signal),
  ]);
  const choose = h("select", { id: "workflow", onchange: () => {
    location.hash = `#/start/${encodeURIComponent(choose.value)}`;
  } });
  offer(choose, known, workflow.name);
  const graph = new Graph();
  signal.addEventListener("abort", () => graph.stop());
  set(root, h("section", { class: "view" }, h("header", { class: "view-head" }, h("h1", {}, "Start an execution")),
    h("div", { class: "split" }, startForm(workflow, choose, signal), h("div", { class: "stack" }, graph.element))));
  graph.draw(picture);
  for await (const more of pages) offer(choose, more, workflow.name);
}

/** Fill the choice of workflows, also with the one that is shown while it is not among those known. */
function offer(choose, known, shown) {
  const offered = known.map((each) => each.name);
  if (!offered.includes(shown)) offered.unshift(shown);
  set(choose, offered.map((name) => h("option", { value: name }, name)));
  choose.value = shown;
}

function startForm(workflow, choose, signal) {
  const { document: written } = workflow;
  const fields = Object.entries(written.inputs ?? {}).map(([name, spec]) => inputField(name, spec));
  const user = h("input", { type: "text", id: "user", autocomplete: "off", value: remembered() });
  const labels = h("input", { type: "text", id: "labels", autocomplete: "off", placeholder: "order=4711, team=books" });
  const durability = h("select", { id: "durability" }, [["", "as the workflow says"], ["async", "async: written behind, the default"], ["sync", "sync: each step on disk before the next"], ["exit", "exit: nothing until it ends"]]
    .map(([value, text]) => h("option", { value }, text)));
  const budget = budgetFields("At most");
  const left = h("div", { class: "error", role: "alert" });
  const said = new Said();
  const more = h("details", {}, h("summary", {}, "Labels, durability, budget"), h("div", { class: "fields-list" },
    h("div", { class: "field" }, h("label", { for: "labels" }, "Labels"), labels),
    h("div", { class: "field" }, h("label", { for: "durability" }, "Durability"), durability), budget.element));
  const body = () => ({
    workflow: workflow.fingerprint,
    inputs: Object.fromEntries(fields.map((field) => [field.name, field.read()]).filter(([, value]) => value !== undefined)),
    ...(session.user === null && user.value.trim() ? { user: { id: user.value.trim() } } : {}),
    ...(durability.value ? { durability: durability.value } : {}),
    ...(budget.read() ? { budget: budget.read() } : {}),
    ...(labels.value.trim() ? { labels: readLabels(labels.value) } : {}),
  });
  const refused = (action, error) => {
    const general = showErrors(fields, error, "inputs");
    const [only] = general.length === 1 ? general : [];
    set(left, only ? null : general.map((text) => h("p", {}, text)));
    said.refused(action, { name: error.name, message: only ?? (general.length ? "see what is listed." : "see the fields.") });
  };
  const attempt = async (button, action, send, done) => {
    button.disabled = true;
    set(left);
    for (const field of fields) field.fail("");
    try {
      done(await send());
    } catch (error) {
      if (!signal.aborted) refused(action, error);
    } finally {
      button.disabled = false;
    }
  };
  const plan = h("div", { class: "plan", "aria-live": "polite" });
  const look = h("button", { type: "button", onclick: () => {
    set(plan);
    return attempt(look, "The plan", () => post("/executions?plan=true", body(), { signal }), (found) => set(plan, planText(found, new Map(written.nodes.map((node) => [node.id, node.label ?? node.id])), { brief: true })));
  } }, "Plan it");
  const go = h("button", { type: "submit", class: "primary" }, "Start");
  // Whoever tries again because no answer came does not start it twice.
  let tried = { text: "", key: "" };
  const key = () => {
    const text = JSON.stringify(body());
    if (text !== tried.text) tried = { text, key: crypto.randomUUID?.() ?? String(Math.random()) };
    return tried.key;
  };
  const own = `start ${workflow.fingerprint}`;
  for (const field of fields) if (kept(own)?.has(field.name)) field.type(kept(own).get(field.name));
  const [hers, named, how, most] = kept("start") ?? [user.value, "", "", null];
  user.value = hers;
  labels.value = named;
  durability.value = how;
  if (most) budget.type(most);
  // Nothing that is sent along is out of sight.
  more.open = Boolean(named || how || most?.[0]);
  const remembers = () => {
    keep(own, new Map(fields.map((field) => [field.name, field.typed()])));
    keep("start", [user.value, labels.value, durability.value, budget.typed()]);
  };
  return h("form", { class: "card start-form", novalidate: true, "aria-label": "Start an execution", oninput: remembers, onchange: remembers, onsubmit: (event) => {
    event.preventDefault();
    remember(user.value.trim());
    attempt(go, "The start", () => post("/executions", body(), { headers: { "Idempotency-Key": key() } }),
      (started) => {
        location.hash = `#/executions/${started.execution_id}`;
      });
  } },
  h("div", { class: "field" }, h("label", { for: "workflow" }, "Workflow"), choose, written.description ? h("p", { class: "muted" }, written.description) : null),
  fields.length ? h("div", { class: "fields-list" }, fields.map((field) => field.element)) : h("p", { class: "muted" }, "It asks for nothing."),
  session.user !== null ? null : h("div", { class: "field" }, h("label", { for: "user" }, "For the user"), user, h("p", { class: "muted hint" }, "On whose behalf it runs, and with whose keys.")),
  more, plan, left, h("div", { class: "buttons" }, go, look), said.element);
}

function readLabels(text) {
  return Object.fromEntries(text.split(",").map((pair) => pair.trim()).filter(Boolean).map((pair) => {
    const [key, ...value] = pair.split("=");
    return [key.trim(), value.join("=").trim()];
  }));
}

function remembered() {
  try {
    return localStorage.getItem("offbook-user") ?? "";
  } catch {
    return "";
  }
}

function remember(user) {
  try {
    localStorage.setItem("offbook-user", user);
  } catch {
    // It is asked for again next time.
  }
}
