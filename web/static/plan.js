// What a start, a resume or a fork would keep, run and cost, as the server plans it.

import { h } from "./dom.js";
import * as format from "./format.js";

const SHOWN = 12;

/**
 * `labels`: what nodes are called for people, by id. `brief`: without the steps one by one, where there is nothing to say
 * of them but that they run.
 */
export function planText(plan, labels, { brief = false } = {}) {
  const called = (id) => labels.get(id) ?? id;
  const { keeps = {}, skips = [], may_run: may = [], estimated, at_most: most } = plan;
  const runs = plan.runs ?? plan.repeats ?? [];
  const fact = (name, value) => (value ? h("div", {}, h("dt", {}, name), h("dd", {}, value)) : null);
  return [
    h("dl", { class: "facts" },
      fact("Keeps", keptText(keeps)),
      fact("Runs", attempts(runs)),
      fact("May run", may.length ? attempts(may) : null),
      fact("Skips", skips.length ? skips.map(called).join(", ") : null),
      fact("Estimated", costText(estimated)),
      fact("At most", most && may.length ? costText(most) : null)),
    brief ? null : list(runs, called),
    may.length ? [h("p", { class: "muted" }, "Only if what comes before turns out otherwise:"), list(may, called)] : null,
  ];
}

function keptText(keeps) {
  const parts = [
    keeps.nodes ? format.count(keeps.nodes, "node") : null,
    keeps.items ? format.count(keeps.items, "item") : null,
    keeps.tokens ? format.count(keeps.tokens, "token") : null,
    keeps.cost ? format.money(keeps.cost) : null,
  ].filter(Boolean);
  return parts.join(", ") || null;
}

function attempts(entries) {
  return format.count(entries.reduce((sum, each) => sum + (each.count ?? 1), 0), "attempt");
}

function costText(estimate) {
  if (!estimate) return null;
  const known = [estimate.tokens === null || estimate.tokens === undefined ? null : `${format.whole(estimate.tokens)} tokens`, estimate.cost ? format.money(estimate.cost) : null].filter(Boolean).join(", ");
  return [known, estimate.unknown ? `${format.count(estimate.unknown, "attempt")} of which nothing is known` : null].filter(Boolean).join(", and ") || "nothing";
}

function list(entries, called) {
  if (!entries.length) return null;
  return h("ul", { class: "plan-list" }, entries.slice(0, SHOWN).map((each) =>
    h("li", {}, h("strong", {}, format.place(called(each.node_id), each.item)), each.why ? `: ${each.why}` : "")),
  entries.length > SHOWN ? h("li", { class: "muted" }, `and ${entries.length - SHOWN} more`) : null);
}
