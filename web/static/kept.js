// What somebody has typed and not sent, and where they were: it outlives a view, not the tab, and nobody else gets it.

import { session } from "./session.js";

const texts = new Map();
let whose = null;

/** Give what was kept under a name, by the one who is signed in now. */
export function kept(name) {
  forgetAnother();
  return texts.get(name);
}

export function keep(name, value) {
  forgetAnother();
  texts.set(name, value);
}

export function forget(name) {
  texts.delete(name);
}

function forgetAnother() {
  if (session.user !== whose) texts.clear();
  whose = session.user;
}
