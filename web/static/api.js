// Asking the server: every request of the page goes through here. Also knows whether the server is there.

import { clock, heardTime } from "./format.js";

const FIRST_DELAY = 500;
const LONGEST_DELAY = 5000;
/** The answer of a server that has more requests under way than it takes. */
const BUSY = 429;

/** What the server refused: an RFC 9457 problem. */
export class Problem extends Error {
  constructor(status, body) {
    super(body?.detail || body?.title || `the server answered ${status}`);
    this.status = status;
    this.name = "Problem";
    this.type = (body?.type ?? "").replace("/problems/", "");
    this.title = body?.title ?? "";
    this.errors = body?.errors ?? [];
    this.body = body ?? {};
  }
}

/** The server could not be reached. */
export class Away extends Error {
  constructor(reason) {
    super(`the server cannot be reached: ${reason}`);
    this.name = "Away";
  }
}

export async function ask(method, path, { body, text, signal, headers = {}, signsIn = false } = {}) {
  const sent = { method, signal, headers: { Accept: "application/json", ...headers }, cache: "no-store" };
  if (body !== undefined) {
    sent.body = JSON.stringify(body);
    sent.headers["Content-Type"] = "application/json";
  } else if (text !== undefined) {
    sent.body = text;
    sent.headers["Content-Type"] = "application/yaml";
  }
  let response;
  let answer;
  try {
    response = await fetch(path, sent);
    heardTime(response.headers.get("Date"));
    answer = await response.text();
  } catch (error) {
    if (signal?.aborted) throw error;
    throw new Away(error.message);
  }
  const json = (response.headers.get("Content-Type") ?? "").includes("json");
  const parsed = json && answer ? JSON.parse(answer) : answer || null;
  if (response.ok) {
    connection.back();
    return parsed;
  }
  const problem = new Problem(response.status, json ? parsed : null);
  if (problem.status === 401 && !signsIn) window.dispatchEvent(new CustomEvent("signed-out", { detail: problem }));
  throw problem;
}

export const get = (path, options) => ask("GET", path, options);
export const post = (path, body, options) => ask("POST", path, { body, ...options });

/** Whether the server answers, and since when what is shown is no longer new. */
export const connection = {
  lostAt: null,
  listeners: new Set(),

  lost(reason) {
    if (this.lostAt !== null) return;
    this.lostAt = new Date();
    this.tell(`Connection lost. This is the state of ${clock(this.lostAt)}; trying again …`, reason);
  },

  back() {
    if (this.lostAt === null) return;
    this.lostAt = null;
    this.tell("");
  },

  tell(message, reason = "") {
    for (const listener of this.listeners) listener(message, reason);
  },
};

/**
 * Do something that asks the server until it succeeds or is aborted; while the server is away or starts, say so and
 * try again. A refusal that waiting does not cure is thrown.
 */
export async function persist(action, signal) {
  for (let delay = FIRST_DELAY; ; delay = Math.min(2 * delay, LONGEST_DELAY)) {
    try {
      return await action();
    } catch (error) {
      if (signal?.aborted) throw error;
      if (!(error instanceof Away || (error instanceof Problem && (error.status >= 500 || error.status === BUSY)))) throw error;
      connection.lost(error.message);
    }
    await pause(delay, signal);
  }
}

export function pause(milliseconds, signal) {
  return new Promise((resolve, reject) => {
    const over = () => {
      clearTimeout(timer);
      reject(signal.reason);
    };
    const timer = setTimeout(() => {
      // A view that is open for hours waits thousands of times: none of them may stay with its signal.
      signal?.removeEventListener("abort", over);
      resolve();
    }, milliseconds);
    signal?.addEventListener("abort", over, { once: true });
  });
}
