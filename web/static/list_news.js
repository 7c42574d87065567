// News for the list of executions: which come, change and go. Reconnects by itself, and says while it cannot.

import { connection, get, pause, persist } from "./api.js";

const AFTER_REFUSAL = 1000;

export async function followList(list, signal) {
  while (!signal.aborted) {
    await shown(signal);
    await listen(list, signal);
    // A stream that was refused says nothing of why: an answer does, and asks to sign in where that is it.
    if (!signal.aborted && !document.hidden) {
      await persist(() => get("/session", { signal }), signal);
      await pause(AFTER_REFUSAL, signal);
    }
  }
}

/** Hear events until the stream is refused or the page is not looked at. */
function listen(list, signal) {
  return new Promise((resolve) => {
    const source = new EventSource(list.newsPath());
    const done = () => {
      source.close();
      document.removeEventListener("visibilitychange", hidden);
      resolve();
    };
    const hidden = () => document.hidden && done();
    document.addEventListener("visibilitychange", hidden);
    signal.addEventListener("abort", done);
    const load = () => list.load().catch((error) => {
      if (!signal.aborted) throw error;
    });
    // What happened before the stream was open is in the list that is loaded after.
    source.onopen = () => connection.back();
    source.addEventListener("ready", load);
    source.onerror = () => {
      if (source.readyState === EventSource.CONNECTING) connection.lost("the stream of events broke off");
      else done();
    };
    source.addEventListener("execution", (event) => list.change(JSON.parse(event.data)));
    source.addEventListener("deleted", (event) => list.remove(JSON.parse(event.data).execution_id));
    source.addEventListener("gap", load);
  });
}

function shown(signal) {
  if (!document.hidden) return Promise.resolve();
  return new Promise((resolve) => {
    document.addEventListener("visibilitychange", resolve, { once: true, signal });
    signal.addEventListener("abort", resolve);
  });
}
