// What a resume or a fork would keep, repeat and cost, as the server plans it.

import { h } from "./dom.js";
import * as format from "./format.js";

const SHOWN = 12;

export function planText(plan) {
  const keeps = plan.keeps ?? {};
  const repeats = plan.repeats ?? [];
  const estimate = plan.estimated ?? {};
  const kept = [
    keeps.nodes !== undefined ? format.count(keeps.nodes, "node") : null,
    keeps.items ? format.count(keeps.items, "item") : null,
    keeps.tokens ? format.count(keeps.tokens, "token") : null,
  ].filter(Boolean).join(", ");
  return [
    h("dl", { class: "facts" },
      h("div", {}, h("dt", {}, "Kept"), h("dd", {}, kept || "nothing", keeps.cost ? ` worth ${format.money(keeps.cost)}` : "")),
      h("div", {}, h("dt", {}, "Runs"), h("dd", {}, format.count(repeats.length, "step"))),
      h("div", {}, h("dt", {}, "Estimated"), h("dd", {}, [estimate.tokens !== undefined ? format.count(estimate.tokens, "token") : null, estimate.cost ? format.money(estimate.cost) : null].filter(Boolean).join(", ") || "not known"))),
    repeats.length ? h("ul", { class: "plan-list" }, repeats.slice(0, SHOWN).map((each) =>
      h("li", {}, h("strong", {}, format.place(each.node_id, each.item)), each.why ? ` – ${each.why}` : "")),
    repeats.length > SHOWN ? h("li", { class: "muted" }, `and ${repeats.length - SHOWN} more`) : null) : null,
  ];
}
