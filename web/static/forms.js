// Fields of forms: from the inputs that a workflow declares, and from the JSON Schema of an approval.
// Values go to the server as they were typed; what they must be is the server's to say, and is shown at the field.

import { attribute, freshId, h, say } from "./dom.js";

/**
 * A labelled field: `read()` gives its value (undefined: not given), `fail(message)` shows what is wrong with it.
 * `typed()` is what stands in it, and `type(that)` puts it back.
 */
export class Field {
  constructor(name, { label = name, description = "", required = false, control, read, inline = false, typed, type }) {
    this.name = name;
    this.read = read;
    this.control = control;
    this.typed = typed ?? (() => control.value);
    this.type = type ?? ((text) => {
      control.value = text;
    });
    const id = freshId("field");
    control.id = id;
    this.message = h("p", { class: "error", id: `${id}-error`, hidden: true });
    const hint = description ? h("p", { class: "muted hint", id: `${id}-hint` }, description) : null;
    attribute(control, "aria-describedby", [hint && hint.id, this.message.id].filter(Boolean).join(" "));
    if (required) attribute(control, "aria-required", "true");
    const text = h("label", { for: id }, label, required ? h("span", { class: "needed" }, " needed") : null);
    this.element = h("div", { class: inline ? "field field-inline" : "field" }, inline ? [control, text] : [text, control], hint, this.message);
  }

  fail(message) {
    say(this.message, message);
    this.message.hidden = !message;
    attribute(this.control, "aria-invalid", message ? "true" : null);
  }
}

/** A field for an input of a workflow's document. */
export function inputField(name, spec) {
  const about = { label: spec.label || name, description: spec.description, required: spec.required };
  const given = spec.default;
  switch (spec.type ?? "text") {
    case "boolean":
      return checkbox(name, about, given === true);
    case "select":
      return spec.multiple ? choices(name, about, spec.options, given ?? []) : select(name, about, spec.options ?? [], given);
    case "integer":
    case "number":
      return typed(name, about, h("input", { type: "text", inputmode: spec.type === "integer" ? "numeric" : "decimal", value: given ?? "", autocomplete: "off" }));
    case "list":
    case "object":
      return json(name, about, given, spec.type === "list" ? "[]" : "{}");
    case "file":
      return file(name, about);
    default:
      return typed(name, about, h("textarea", { rows: String(given ?? "").length > 80 ? 6 : 2, value: given ?? "" }));
  }
}

/** Fields for a JSON Schema: one for each property of an object, else one for the whole value. */
export function schemaFields(schema) {
  if (schema?.type === "object" || schema?.properties) {
    const required = new Set(schema.required ?? []);
    const fields = Object.entries(schema.properties ?? {}).map(([name, part]) => schemaField(name, part, required.has(name)));
    return { fields, read: () => Object.fromEntries(fields.map((field) => [field.name, field.read()]).filter(([, value]) => value !== undefined)) };
  }
  const field = schemaField("payload", schema ?? {}, false, "Answer");
  return { fields: [field], read: () => field.read() ?? (schema ? null : {}) };
}

function schemaField(name, part, required, label = part.title ?? name) {
  const about = { label, description: part.description, required };
  if (Array.isArray(part.enum)) return select(name, about, part.enum, part.default);
  switch (part.type) {
    case "boolean":
      return checkbox(name, about, part.default === true);
    case "integer":
    case "number": {
      const control = h("input", { type: "text", inputmode: "decimal", value: part.default ?? "", autocomplete: "off" });
      return new Field(name, { ...about, control, read: () => (control.value.trim() === "" ? undefined : asNumber(control.value)) });
    }
    case "string":
      return typed(name, about, h("textarea", { rows: part.maxLength && part.maxLength <= 120 ? 1 : 3, value: part.default ?? "" }));
    default:
      return json(name, about, part.default, "");
  }
}

function asNumber(text) {
  const number = Number(text);
  return Number.isFinite(number) ? number : text;
}

function typed(name, about, control) {
  return new Field(name, { ...about, control, read: () => (control.value === "" ? undefined : control.value) });
}

function checkbox(name, about, checked) {
  const control = h("input", { type: "checkbox", checked });
  const type = (on) => {
    control.checked = on;
  };
  return new Field(name, { ...about, control, inline: true, read: () => control.checked, typed: () => control.checked, type });
}

function select(name, about, options, given) {
  const empty = given === undefined || given === null ? [h("option", { value: "" }, "–")] : [];
  const control = h("select", {}, empty, options.map((option, place) => h("option", { value: place }, shown(option))));
  const place = options.findIndex((option) => JSON.stringify(option) === JSON.stringify(given));
  control.value = place >= 0 ? place : empty.length ? "" : 0;
  return new Field(name, { ...about, control, read: () => (control.value === "" ? undefined : options[Number(control.value)]) });
}

function choices(name, about, options, given) {
  const boxes = options.map((option) => {
    const id = freshId("choice");
    const box = h("input", { type: "checkbox", id, checked: given.some((each) => JSON.stringify(each) === JSON.stringify(option)) });
    return { box, option, element: h("div", { class: "field-inline" }, box, h("label", { for: id }, shown(option))) };
  });
  const control = h("div", { role: "group", "aria-label": about.label }, boxes.map((each) => each.element));
  const read = () => boxes.filter((each) => each.box.checked).map((each) => each.option);
  const type = (on) => {
    for (const [place, { box }] of boxes.entries()) box.checked = on[place];
  };
  return new Field(name, { ...about, control, read, typed: () => boxes.map(({ box }) => box.checked), type });
}

function json(name, about, given, empty) {
  const control = h("textarea", { rows: 4, class: "code", spellcheck: "false", placeholder: empty, value: given === undefined || given === null ? "" : JSON.stringify(given, null, 2) });
  return new Field(name, { ...about, description: [about.description, "As JSON."].filter(Boolean).join(" "), control, read: () => {
    const text = control.value.trim();
    if (text === "") return undefined;
    try {
      return JSON.parse(text);
    } catch {
      return control.value;
    }
  } });
}

function file(name, about) {
  const control = h("textarea", { rows: 4, placeholder: "The file’s text" });
  const field = typed(name, about, control);
  field.element.append(h("input", { type: "file", "aria-label": `Take the text of a file for ${about.label}`, onchange: async (event) => {
    const [chosen] = event.target.files;
    if (chosen) control.value = await chosen.text();
  } }));
  return field;
}

function shown(option) {
  return typeof option === "string" ? option : JSON.stringify(option);
}

/** Show a problem's errors at the fields they are about; return the messages that are about none. */
export function showErrors(fields, problem, prefix) {
  for (const field of fields) field.fail("");
  const left = [];
  for (const error of problem.errors ?? []) {
    const path = (error.path ?? "").replace(/^\$\.?/, "");
    const field = fields.find((each) => path === `${prefix}.${each.name}` || path.startsWith(`${prefix}.${each.name}.`) || path.startsWith(`${prefix}.${each.name}[`) || path === `${prefix}["${each.name}"]` || (path === prefix && fields.length === 1));
    const message = [error.message, error.hint].filter(Boolean).join(" – ");
    if (field) field.fail(message);
    else left.push(message);
  }
  if (!problem.errors?.length) left.push(problem.message);
  fields.find((field) => field.control.getAttribute("aria-invalid"))?.control.focus();
  return left;
}
