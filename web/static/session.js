// Signing in where the server wants a token. The session is a cookie that no script can read.

import { ask, Problem } from "./api.js";
import { h, say, set } from "./dom.js";

const KNOWN = "offbook-signed-in";

export function showSignIn(root, onDone) {
  const message = h("p", { class: "error", role: "alert" });
  const token = h("input", { id: "token", type: "password", autocomplete: "current-password", required: true });
  const user = h("input", { id: "as-user", type: "text", autocomplete: "username" });
  const form = h("form", { class: "card narrow", onsubmit: async (event) => {
    event.preventDefault();
    say(message, "");
    try {
      const body = user.value.trim() ? { user: { id: user.value.trim() } } : {};
      await ask("POST", "/session", { body, headers: { "X-Internal-Auth": token.value } });
      sessionStorage.setItem(KNOWN, "yes");
      onDone();
    } catch (error) {
      say(message, error instanceof Problem && error.status === 401 ? "The server does not know this token." : error.message);
      token.select();
    }
  } },
  h("h1", {}, "Sign in"),
  h("p", { class: "muted" }, "This server wants the token it was started with. It is kept in a cookie until you sign out or the server is started again."),
  h("label", { for: "token" }, "Token"), token,
  h("label", { for: "as-user" }, "As user ", h("span", { class: "muted" }, "(left empty: as operator, who sees everybody’s)")), user,
  message,
  h("button", { type: "submit", class: "primary" }, "Sign in"));
  set(root, form);
  token.focus();
}

export function signOutButton(onDone) {
  let signedIn = false;
  try {
    signedIn = sessionStorage.getItem(KNOWN) === "yes";
  } catch {
    // Without storage there is no button; the cookie ends with the browser.
  }
  if (!signedIn) return null;
  return h("button", { type: "button", class: "quiet", onclick: async () => {
    await ask("DELETE", "/session");
    sessionStorage.removeItem(KNOWN);
    onDone();
  } }, "Sign out");
}
