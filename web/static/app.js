// The page's frame: which view is shown, the banner, light and dark, signing in. Knows no view from within.

import { connection, get, persist, Problem } from "./api.js";
import { h, set } from "./dom.js";
import { icon } from "./icons.js";
import { learnSession, session, sessionPart, showSignIn } from "./session.js";

const VIEWS = [
  { name: "executions", title: "Executions", load: () => import("./executions.js") },
  { name: "start", title: "Start", load: () => import("./start.js") },
  { name: "workflows", title: "Workflows", load: () => import("./workflows.js") },
  { name: "actors", title: "Actors", operators: true, load: () => import("./actors.js") },
];
const EXECUTION = { name: "executions", title: "Execution", load: () => import("./execution.js") };

const RELOADED = "offbook-reloaded";
/** Milliseconds within which the page does not load itself anew twice. */
const RELOAD_AFTER = 10_000;

const main = document.getElementById("main");
const banner = document.getElementById("banner");
let current = new AbortController();

function route() {
  const [path, query] = location.hash.replace(/^#\/?/, "").split("?");
  const [name = "", ...rest] = path.split("/").map(decoded);
  const view = VIEWS.find((each) => each.name === name) ?? VIEWS[0];
  const chosen = view.name === "executions" && rest[0] ? EXECUTION : view;
  return { view: chosen, rest, query: new URLSearchParams(query ?? "") };
}

/** A part of the address, which anybody may have written. */
function decoded(part) {
  try {
    return decodeURIComponent(part);
  } catch {
    return part;
  }
}

/** Show the view of the address. `moved`: it was another one before, and what had the focus is gone with it. */
async function show({ moved = false } = {}) {
  current.abort(new DOMException("another view is shown", "AbortError"));
  current = new AbortController();
  const { signal } = current;
  const { view, rest, query } = route();
  document.title = `${view.title} · Offbook`;
  // Only seen if it takes a while.
  set(main, h("p", { class: "empty loading", role: "status" }, "Loading …"));
  try {
    if (!session.known) await persist(() => learnSession(signal), signal);
    drawNavigation(view.name);
    drawEnd();
    if (moved && document.activeElement === document.body) main.focus({ preventScroll: true });
    const module = await loaded(view, signal);
    if (!signal.aborted) await module.show(main, { rest, query, signal });
  } catch (error) {
    if (!signal.aborted) tell(error);
  }
}

/**
 * Load a view's module. A browser never asks again for a module that it could not load once, and a newer server no
 * longer has it: once the server answers, the page is loaded anew.
 */
async function loaded(view, signal) {
  try {
    return await view.load();
  } catch (error) {
    await persist(() => get("/session", { signal }), signal);
    if (!mayReload()) throw error;
    location.reload();
    return new Promise(() => {});
  }
}

function mayReload() {
  try {
    const last = Number(sessionStorage.getItem(RELOADED) ?? 0);
    sessionStorage.setItem(RELOADED, String(Date.now()));
    return Date.now() - last > RELOAD_AFTER;
  } catch {
    // Where nothing can be kept, a module that is never there would have the page loaded again and again.
    return false;
  }
}

function tell(error) {
  // Signing in is asked for when the answer comes, whoever asked.
  if (error instanceof Problem && error.status === 401) return;
  if (!(error instanceof Problem)) console.error(error);
  set(main, h("div", { class: "empty", role: "alert" }, h("h1", {}, error.title || "This did not work"),
    h("p", {}, error.message), h("button", { type: "button", onclick: () => show() }, "Try again")));
}

function drawNavigation(name) {
  const nav = document.getElementById("nav");
  set(nav, VIEWS.filter((view) => !view.operators || session.user === null).map((view) =>
    h("a", { href: `#/${view.name}`, "aria-current": view.name === name ? "page" : null }, view.title)));
  // On a narrow screen not all of them may be in sight.
  const shown = nav.querySelector("[aria-current]");
  if (shown) nav.scrollLeft = shown.offsetLeft - nav.offsetLeft + shown.offsetWidth - nav.clientWidth;
}

function drawEnd() {
  const dark = () => (document.documentElement.dataset.theme
    ?? (matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light")) === "dark";
  const button = h("button", { type: "button", class: "quiet", onclick: () => {
    document.documentElement.dataset.theme = dark() ? "light" : "dark";
    try {
      localStorage.setItem("offbook-theme", document.documentElement.dataset.theme);
    } catch {
      // It holds until the page is loaded again.
    }
    label();
  } });
  set(button, icon("half", 18));
  const label = () => {
    button.setAttribute("aria-label", dark() ? "Use light colours" : "Use dark colours");
  };
  label();
  matchMedia("(prefers-color-scheme: dark)").onchange = label;
  set(document.getElementById("top-end"), sessionPart(() => show()), button);
}

connection.listeners.add((message) => {
  banner.hidden = !message;
  set(banner, message ? [icon("recovering"), h("span", {}, message)] : []);
});
window.addEventListener("hashchange", () => show({ moved: true }));
window.addEventListener("signed-out", () => {
  current.abort(new DOMException("signed out", "AbortError"));
  current = new AbortController();
  document.title = "Sign in · Offbook";
  set(document.getElementById("nav"));
  showSignIn(main, () => show());
  drawEnd();
});
document.getElementById("skip").addEventListener("click", () => main.focus());
show();
