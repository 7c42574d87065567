// Small pictures of states. Each goes with its word: no state is told by colour or shape alone.

import { h, s } from "./dom.js";

const PATHS = {
  completed: "M3.5 8.5l3 3 6-7",
  failed: "M4 4l8 8M12 4l-8 8",
  cancelled: "M4.5 4.5h7v7h-7z",
  paused: "M5.5 4v8M10.5 4v8",
  waiting: "M8 2.6a5.4 5.4 0 1 1 0 10.8a5.4 5.4 0 1 1 0-10.8M8 5.2v3l2 1.2",
  queued: "M5 8h.01M8 8h.01M11 8h.01",
  pending: "M5 8h.01M8 8h.01M11 8h.01",
  skipped: "M4 8h8",
  interrupted: "M8.8 3.5L5.5 8.5h5L7.2 12.5",
  recovering: "M12 8a4 4 0 1 1-1.3-3M11 2.8v2.4H8.6",
  half: "M8 2.6a5.4 5.4 0 1 1 0 10.8zM8 2.6a5.4 5.4 0 1 0 0 10.8",
  running: "M8 3.2a4.8 4.8 0 1 1-4.8 4.8",
};

export function icon(state, size = 16) {
  return s(
    "svg",
    { class: `icon icon-${state}`, viewBox: "0 0 16 16", width: size, height: size, "aria-hidden": "true" },
    s("path", { d: PATHS[state] ?? PATHS.pending }),
  );
}

export function iconPath(state) {
  return PATHS[state] ?? PATHS.pending;
}

export function pill(state) {
  return h("span", { class: `pill state-${state}` }, icon(state, 14), h("span", {}, state));
}

/** Change a pill where its state has changed. */
export function setPill(element, state, words = state) {
  if (element.dataset.state === words) return;
  element.dataset.state = words;
  element.className = `pill state-${state}`;
  element.replaceChildren(icon(state, 14), h("span", {}, words));
}
