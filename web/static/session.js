// Who the page speaks for, and signing in where the server wants a token. The cookie is one that no script can read.

import { ask, get, persist, Problem } from "./api.js";
import { h, say, set } from "./dom.js";

/** For whom requests speak: a user, or an operator, whose `user_id` is null. */
export const session = { user: null, known: false, expires: null };

const OVER = "The session is over: it lasts twelve hours, and until the server is started again. Sign in anew.";

export async function learnSession(signal) {
  const { caller, expires_at: expires } = await get("/session", { signal });
  Object.assign(session, { user: caller.user_id, known: true, expires });
}

/** Ask for the token; say why, if the page had been signed in before. */
export function showSignIn(root, onDone) {
  const message = h("p", { class: "error", role: "alert" }, session.known ? OVER : "");
  const token = h("input", { id: "token", type: "password", autocomplete: "current-password", required: true });
  const user = h("input", { id: "as-user", type: "text", autocomplete: "username" });
  session.known = false;
  set(root, h("form", { class: "card narrow", onsubmit: async (event) => {
    event.preventDefault();
    say(message, "");
    try {
      const body = user.value.trim() ? { user: { id: user.value.trim() } } : {};
      await ask("POST", "/session", { body, headers: { "X-Internal-Auth": token.value }, signsIn: true });
      onDone();
    } catch (error) {
      say(message, error instanceof Problem && error.status === 401 ? "The server does not know this token." : error.message);
      token.select();
    }
  } },
  h("h1", {}, "Sign in"),
  h("p", { class: "muted" }, "This server wants the token it was started with. A session lasts twelve hours, and until the server is started again."),
  h("label", { for: "token" }, "Token"), token,
  h("label", { for: "as-user" }, "As user ", h("span", { class: "muted" }, "(left empty: as operator, who sees everybody’s)")), user,
  message,
  h("button", { type: "submit", class: "primary" }, "Sign in")));
  token.focus();
}

/** Who is signed in, and the way out; nothing where no token is wanted. */
export function sessionPart(onDone) {
  if (!session.known || (session.expires === null && session.user === null)) return null;
  const out = session.expires === null ? null : h("button", { type: "button", class: "quiet", onclick: async () => {
    try {
      await persist(() => ask("DELETE", "/session"));
    } catch (error) {
      // A session that is over already asks to sign in by itself.
      if (error instanceof Problem && error.status === 401) return;
      throw error;
    }
    session.known = false;
    onDone();
  } }, "Sign out");
  return [h("span", { class: "muted who" }, session.user ?? "operator"), out];
}
