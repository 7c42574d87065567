// Where a list of executions was left, by each entry of the browser's history: Back finds it as it was. Draws nothing.

import { forget, keep, kept } from "./kept.js";

const LAST = "list that was left last";
const RETURN = "list that is returned to";

/** Name the entry of the history that is shown, as it was named before if it was. */
export function entryHere() {
  const name = history.state?.list ?? kept(RETURN) ?? freshEntry();
  forget(RETURN);
  history.replaceState({ list: name }, "");
  return name;
}

/** A name that no entry has, also none of before this page was loaded. */
export function freshEntry() {
  return String(Math.random());
}

/** Keep what was in sight of the list of an entry. */
export function leave(entry, address, place) {
  keep(`place ${entry}`, place);
  keep(LAST, { entry, address });
}

export function placeOf(entry) {
  return kept(`place ${entry}`);
}

/** What a link has that leads to the list as it was left. */
export function wayBack() {
  const last = kept(LAST);
  return {
    href: last?.address ?? "#/executions",
    onclick: () => {
      if (last) keep(RETURN, last.entry);
    },
  };
}

/** Lead to the list as it was left. */
export function goBack() {
  const { href, onclick } = wayBack();
  onclick();
  location.hash = href;
}
