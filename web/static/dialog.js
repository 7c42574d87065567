// A question that has to be answered before something is done. The browser keeps the focus inside.

import { freshId, h, say, set } from "./dom.js";

/**
 * Ask, and do: `act()` is called when it is confirmed; what it returns is given back, what it throws is shown and the
 * dialog stays. Resolves with undefined if it is dismissed.
 */
export function askFirst({ title, body, confirm, danger = false, act, signal, wide = false }) {
  return new Promise((resolve) => {
    const id = freshId("dialog");
    const message = h("div", { class: "error", role: "alert" });
    const go = h("button", { type: "submit", class: danger ? "danger" : "primary" }, confirm);
    const back = h("button", { type: "button", onclick: () => dialog.close() }, "Not now");
    const form = h("form", { onsubmit: async (event) => {
      event.preventDefault();
      // What is on its way cannot be taken back by closing this.
      go.disabled = back.disabled = true;
      set(message);
      try {
        const done = await act();
        resolve(done ?? null);
        dialog.close();
      } catch (error) {
        set(message, problemText(error));
      } finally {
        go.disabled = back.disabled = false;
      }
    } }, h("h2", { id }, title), body, message, h("div", { class: "dialog-end" }, back, go));
    const dialog = h("dialog", { "aria-labelledby": id, class: wide ? "wide" : "", oncancel: (event) => go.disabled && event.preventDefault(), onclose: () => {
      dialog.remove();
      resolve(undefined);
    } }, form);
    signal?.addEventListener("abort", () => dialog.close());
    document.body.append(dialog);
    dialog.showModal();
  });
}

/** What a refusal says, with every error it names. */
export function problemText(error) {
  const errors = (error.errors ?? []).map((each) => h("li", {}, each.line ? `Line ${each.line}: ` : "", each.message, each.hint ? ` – ${each.hint}` : ""));
  return [h("p", {}, error.message), errors.length ? h("ul", {}, errors) : null];
}

/** A line that says what a button did; it is read out. */
export class Said {
  constructor() {
    this.element = h("p", { class: "said", role: "status", "aria-live": "polite" });
  }

  clear() {
    say(this.element, "");
  }

  done(text) {
    this.element.className = "said said-done";
    say(this.element, text);
  }

  refused(action, error) {
    this.element.className = "said said-refused";
    say(this.element, `${action} ${error.name === "Away" ? "did not work" : "was refused"}: ${error.message}`);
  }
}
