// What an execution asks of a person, as a form.

import { post } from "./api.js";
import { Said } from "./dialog.js";
import { h, set } from "./dom.js";
import * as format from "./format.js";
import { schemaFields, showErrors } from "./forms.js";

export class ApprovalForm {
  constructor(id, signal, look) {
    this.id = id;
    this.signal = signal;
    this.look = look;
    this.said = new Said();
    this.form = h("div");
    this.element = h("div", { class: "approval", hidden: true }, this.form, this.said.element);
    this.shown = "";
  }

  update(status) {
    const { waiting } = status;
    const asked = status.status === "waiting" && waiting?.kind === "signal" ? waiting : null;
    const version = asked ? `${status.epoch}/${asked.node_id}/${asked.name}` : "";
    if (version === this.shown) return;
    this.shown = version;
    set(this.form);
    this.element.hidden = asked === null;
    if (asked !== null) this.build(asked);
  }

  build({ name, form, until, node_id: node }) {
    const { fields, read } = schemaFields(form);
    const go = h("button", { type: "submit", class: "primary" }, "Answer");
    set(this.form, h("form", { "aria-label": `Answer ${name}`, onsubmit: async (event) => {
      event.preventDefault();
      go.disabled = true;
      for (const field of fields) field.fail("");
      try {
        await post(`/executions/${this.id}/signals/${encodeURIComponent(name)}`, read());
        this.said.done(`Answered at ${format.clock(new Date())}.`);
        this.element.hidden = false;
        set(this.form);
        this.look();
      } catch (error) {
        const left = showErrors(fields, error, "payload");
        this.said.refused("The answer", { message: left.join(" ") || "see the fields." });
      } finally {
        go.disabled = false;
      }
    } },
    h("h2", {}, form?.title ?? "This waits for an answer"),
    h("p", { class: "muted" }, `${node} waits for the signal ${name}${until ? `, until ${format.dateTime(until)}` : ""}.`),
    form?.description ? h("p", {}, form.description) : null,
    fields.map((field) => field.element), go));
  }
}
