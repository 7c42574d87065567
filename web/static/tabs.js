// Tabs as the ARIA practices have them: one stop in the tab order, arrow keys between.

import { freshId, h } from "./dom.js";

export class Tabs {
  /** `tabs`: [{title, element, onShow}] */
  constructor(label, tabs) {
    this.tabs = tabs.map((tab) => {
      const id = freshId("tab");
      const panel = h("div", { role: "tabpanel", id: `${id}-panel`, "aria-labelledby": id, class: "tab-panel", hidden: true }, tab.element);
      const button = h("button", { type: "button", role: "tab", id, "aria-controls": panel.id, "aria-selected": "false", tabindex: -1, onclick: () => this.show(tab.title) }, tab.title);
      return { ...tab, panel, button };
    });
    this.element = h("div", { class: "tabs" },
      h("div", { class: "tab-list", role: "tablist", "aria-label": label, onkeydown: (event) => this.onKey(event) }, this.tabs.map((tab) => tab.button)),
      this.tabs.map((tab) => tab.panel));
    this.shown = null;
    this.show(tabs[0].title);
  }

  show(title) {
    for (const tab of this.tabs) {
      const chosen = tab.title === title;
      tab.panel.hidden = !chosen;
      tab.button.setAttribute("aria-selected", String(chosen));
      tab.button.tabIndex = chosen ? 0 : -1;
      if (chosen && this.shown !== title) {
        this.shown = title;
        tab.onShow?.();
      }
    }
  }

  onKey(event) {
    const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
    if (step === undefined) return;
    const now = this.tabs.findIndex((tab) => tab.title === this.shown);
    const next = this.tabs[(now + step + this.tabs.length) % this.tabs.length];
    this.show(next.title);
    next.button.focus();
    event.preventDefault();
  }
}
