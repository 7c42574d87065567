// One row of the list of executions. Its elements are changed, never rebuilt: what has the focus keeps it.

import { attribute, h, say } from "./dom.js";
import * as format from "./format.js";
import { pill, setPill } from "./icons.js";

export class Line {
  constructor(row) {
    this.pill = pill(row.status);
    this.link = h("a", { href: `#/executions/${row.execution_id}` });
    this.id = h("span", { class: "id" }, format.shortId(row.execution_id));
    this.bar = h("span", { class: "bar-fill" });
    this.percent = h("span", { class: "number" });
    this.user = h("span");
    this.age = h("span");
    this.tokens = h("span");
    this.cost = h("span");
    const cell = (name, ...children) => h("span", { role: "cell", class: `col-${name}` }, children);
    this.element = h("div", { class: "row", role: "row" },
      cell("status", this.pill), cell("workflow", this.link, this.id),
      cell("progress", h("span", { class: "bar", "aria-hidden": "true" }, this.bar), this.percent),
      cell("user", this.user), cell("age", this.age), cell("tokens", this.tokens), cell("cost", this.cost));
  }

  show(row, place, height) {
    this.place = place;
    this.element.style.setProperty("top", `${place * height}px`);
    attribute(this.element, "aria-rowindex", place + 2);
    if (this.row === row) return;
    this.row = row;
    setPill(this.pill, row.status);
    say(this.link, row.workflow.name);
    this.bar.style.setProperty("width", `${row.percent}%`);
    attribute(this.bar, "class", `bar-fill state-${row.status}`);
    say(this.percent, format.percent(row.percent));
    say(this.user, row.user_id ?? "–");
    attribute(this.user, "title", row.user_id);
    say(this.tokens, format.tokens(row.usage));
    say(this.cost, format.money(row.cost));
    this.showAge();
  }

  showAge() {
    say(this.age, format.age(format.now() - format.seconds(this.row.created_at)));
    attribute(this.age, "title", format.dateTime(this.row.created_at));
  }
}
