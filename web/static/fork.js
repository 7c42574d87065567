// A fork: the same execution again with something changed. Only what the change reaches is run.

import { get, post } from "./api.js";
import { askFirst, problemText } from "./dialog.js";
import { h, set } from "./dom.js";
import * as format from "./format.js";
import { inputField, showErrors } from "./forms.js";
import { planText } from "./plan.js";

/** `changes`: {node, item, output} for an edited output, {node, prompt} for an edited prompt, or nothing. */
export async function askFork(id, status, changes, labels, signal) {
  const draft = await makeDraft(id, status, changes, labels, signal);
  const plan = h("div", { class: "plan", "aria-live": "polite" });
  const look = h("button", { type: "button", onclick: async () => {
    set(plan, h("p", { class: "muted" }, "Looking at what would be done …"));
    try {
      set(plan, planText(await post(`/executions/${id}/fork?plan=true`, draft.body(), { signal }), labels));
    } catch (error) {
      set(plan, h("div", { class: "error" }, problemText(error)));
    }
  } }, "Plan it");
  return askFirst({
    title: draft.title, confirm: "Fork", signal, wide: true,
    body: [h("p", { class: "muted" }, "A new execution with everything of this one that the change does not reach. This one stays as it is."), draft.element, h("div", { class: "buttons" }, look), plan],
    act: async () => {
      try {
        return await post(`/executions/${id}/fork`, draft.body());
      } catch (error) {
        if (draft.fields) showErrors(draft.fields, error, "inputs");
        throw error;
      }
    },
  });
}

async function makeDraft(id, status, changes, labels, signal) {
  if ("output" in changes) return outputDraft(changes, labels.get(changes.node));
  const workflow = await get(`/workflows/${status.workflow.fingerprint}`, { signal });
  if ("prompt" in changes) return promptDraft(workflow.document, changes.node, labels.get(changes.node));
  const inputs = await get(`/executions/${id}/inputs`, { signal });
  return inputsDraft(workflow.document, inputs);
}

function outputDraft({ node, item, output }, label) {
  const plain = typeof output === "string";
  const area = h("textarea", { rows: 16, class: plain ? "reading-edit" : "code", "aria-label": "The output", value: plain ? output : JSON.stringify(output, null, 2) });
  const key = item === null || item === undefined ? node : `${node}[${item}]`;
  return {
    title: `Edit the output of ${format.place(label, item)} and fork`,
    element: area,
    body: () => ({ outputs: { [key]: plain ? area.value : JSON.parse(area.value) } }),
  };
}

function promptDraft(document, id, label) {
  const found = document.nodes.find((node) => node.id === id);
  const config = found.type === "foreach" ? found.config.do.config : found.config;
  const area = h("textarea", { rows: 12, class: "code", "aria-label": "The prompt", value: config.prompt });
  return {
    title: `Edit the prompt of ${label} and fork`,
    element: area,
    body: () => {
      const changed = structuredClone(document);
      const node = changed.nodes.find((each) => each.id === id);
      (node.type === "foreach" ? node.config.do.config : node.config).prompt = area.value;
      return { workflow: changed };
    },
  };
}

function inputsDraft(document, inputs) {
  const fields = Object.entries(document.inputs ?? {}).map(([name, spec]) => inputField(name, { ...spec, default: inputs[name] ?? undefined }));
  const before = new Map(fields.map((field) => [field.name, JSON.stringify(field.read())]));
  return {
    title: "Fork with changed inputs",
    fields,
    element: fields.length ? h("div", { class: "fields-list" }, fields.map((field) => field.element)) : h("p", {}, "This workflow has no inputs. Edit an output or a prompt to fork from there."),
    body: () => ({ inputs: Object.fromEntries(fields.filter((field) => JSON.stringify(field.read()) !== before.get(field.name)).map((field) => [field.name, field.read() ?? null])) }),
  };
}
