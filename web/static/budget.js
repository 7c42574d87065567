// An execution that waits because a budget is used up, and what an operator can do about it.

import { ask } from "./api.js";
import { Said } from "./dialog.js";
import { freshId, h, say } from "./dom.js";
import * as format from "./format.js";
import { session } from "./session.js";

/** The two fields of a budget: how much, of what. `read()` is what the server takes; undefined: no budget. */
export function budgetFields(label) {
  const id = freshId("budget");
  const amount = h("input", { type: "text", inputmode: "decimal", id, autocomplete: "off", placeholder: "no limit" });
  const unit = h("select", { "aria-label": "Of what" }, h("option", { value: "money" }, "money"), h("option", { value: "tokens" }, "tokens"));
  const read = () => {
    const text = amount.value.trim();
    if (text === "") return undefined;
    return unit.value === "money" ? { money: text } : { tokens: /^\d+$/.test(text) ? Number(text) : text };
  };
  const typed = () => [amount.value, unit.value];
  const type = ([much, of]) => {
    amount.value = much;
    unit.value = of;
  };
  return { typed, type, element: h("div", { class: "field" }, h("label", { for: id }, label), h("div", { class: "buttons" }, amount, unit)), read };
}

export class BudgetForm {
  constructor(id, look) {
    this.id = id;
    this.look = look;
    this.why = h("p");
    this.said = new Said();
    this.fields = budgetFields("Let this execution spend, all in all");
    this.form = h("form", { "aria-label": "Raise the budget", onsubmit: (event) => {
      event.preventDefault();
      this.raise();
    } }, this.fields.element, h("button", { type: "submit", class: "primary" }, "Set this budget"));
    this.box = h("div", { class: "stack" }, h("h2", {}, "The budget is used up"), this.why, this.form);
    this.element = h("div", { class: "held", hidden: true }, this.box, this.said.element);
  }

  update({ status, waiting }) {
    const waits = status === "waiting" && waiting?.kind === "budget";
    this.box.hidden = !waits;
    // What was done stays readable when there is nothing left to do.
    this.element.hidden = !waits && !this.said.element.textContent;
    if (!waits) return;
    say(this.why, `The next call would exceed the budget “${waiting.name}”.${waiting.until ? ` It goes on at ${format.dateTime(waiting.until)}, or when the budget is raised.` : " It goes on when the budget is raised."}`);
    this.form.hidden = session.user !== null;
  }

  async raise() {
    try {
      await ask("PUT", `/executions/${this.id}/budget`, { body: this.fields.read() ?? {} });
      this.said.done("The budget is set.");
      this.look();
    } catch (error) {
      this.said.refused("The budget", error);
    }
  }
}
