// A stream of events, heard until there is a reason to stop. Says when the connection is lost, and when it is back.

import { connection } from "./api.js";

/**
 * Hear events: `handlers` by the event's name, called with the event and a function that ends it: `done("why")`.
 * Resolves with that, with "refused" if the server does not give the stream, or with "hidden" once the page is not
 * looked at: browsers open few connections to a server, and a page that nobody sees takes none. Rejects when aborted.
 */
export function hear(path, signal, handlers) {
  return new Promise((resolve, reject) => {
    if (signal.aborted) {
      reject(signal.reason);
      return;
    }
    const source = new EventSource(path);
    const end = (how, value) => {
      source.close();
      document.removeEventListener("visibilitychange", hidden);
      signal.removeEventListener("abort", aborted);
      how(value);
    };
    const done = (why) => end(resolve, why);
    const hidden = () => document.hidden && done("hidden");
    const aborted = () => end(reject, signal.reason);
    document.addEventListener("visibilitychange", hidden);
    signal.addEventListener("abort", aborted);
    source.onopen = () => connection.back();
    source.onerror = () => {
      if (source.readyState === EventSource.CONNECTING) connection.lost("the stream of events broke off");
      else done("refused");
    };
    for (const [name, handle] of Object.entries(handlers)) source.addEventListener(name, (event) => handle(event, done));
    hidden();
  });
}

/** Wait until the page is looked at. */
export function shown(signal) {
  if (!document.hidden) return Promise.resolve();
  return new Promise((resolve, reject) => {
    const end = (how, value) => {
      document.removeEventListener("visibilitychange", seen);
      signal.removeEventListener("abort", aborted);
      how(value);
    };
    const seen = () => document.hidden || end(resolve);
    const aborted = () => end(reject, signal.reason);
    document.addEventListener("visibilitychange", seen);
    signal.addEventListener("abort", aborted);
  });
}
