// Light or dark, before anything is drawn. What was chosen is kept in this browser; without a choice the system decides.
"use strict";

(() => {
  let chosen = null;
  try {
    chosen = localStorage.getItem("offbook-theme");
  } catch {
    // A browser that keeps nothing follows the system.
  }
  if (chosen === "light" || chosen === "dark") document.documentElement.dataset.theme = chosen;
})();
