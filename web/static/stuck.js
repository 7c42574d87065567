// Why an execution does not move: the node, its attempt, the last sign of life, and what it waits for.

import { get, pause } from "./api.js";
import { h } from "./dom.js";
import * as format from "./format.js";
import { pill } from "./icons.js";
import { limitText } from "./limits.js";
import { RESTING } from "./state.js";

/** Seconds without a sign of life after which a node is worth a look. */
const SILENT = 30;

/** Milliseconds for which it is looked at, since a text that streams is one step for long; and between two looks. */
const LOOK = 2000;
const BETWEEN = 100;

/** Of how many nodes that wait beside others it is asked what they wait for. */
const LOOKED_AT = 20;

/** Ask for all that says something of an execution, and say what follows from it. */
export async function explain(id, signal) {
  const path = encodeURIComponent(id);
  const [status, { actors, counts }] = await Promise.all([get(`/status/${path}`, { signal }), get(`/actors?search=${path}&limit=1`, { signal })]);
  const waiting = status.waiting ? [] : Object.keys(status.node_results).filter((node) => status.node_results[node].status === "waiting");
  const details = await Promise.all(waiting.slice(0, LOOKED_AT).map((node) => get(`/executions/${path}/nodes/${node}`, { signal })));
  const waits = new Map(details.map((detail) => [detail.node_id, detail.waiting]));
  const actor = actors.find((each) => each.execution_id === status.execution_id);
  const moved = await whatMoves(path, status, signal);
  return findings(status, [...conclude(status, actor, counts, { waits, moved }, format.now())]);
}

/** Look for a while which of the nodes that run say something. */
async function whatMoves(path, status, signal) {
  const moved = new Set();
  const running = Object.keys(status.node_results).filter((node) => status.node_results[node].status === "running");
  const until = performance.now() + LOOK;
  let { revision } = status;
  while (!running.every((node) => moved.has(node)) && performance.now() < until) {
    const wait = ((until - performance.now()) / 1000).toFixed(2);
    const news = await get(`/status/${path}?since=${revision}&wait=${wait}`, { signal });
    ({ revision } = news);
    for (const node of Object.keys(news.node_results)) moved.add(node);
    for (const step of news.processing_steps) moved.add(step.node_id);
    await pause(BETWEEN, signal);
  }
  return moved;
}

function findings(status, conclusions) {
  return h("div", { class: "findings" },
    h("p", {}, pill(status.status), " ", h("a", { href: `#/executions/${status.execution_id}` }, status.workflow.name), h("span", { class: "muted" }, `, ${format.percent(status.progress.percent)}, epoch ${status.epoch}`)),
    h("ul", {}, conclusions.map((text) => h("li", {}, text))));
}

function* conclude(status, actor, counts, { waits: beside, moved }, now) {
  if (RESTING.has(status.status)) {
    yield status.status === "completed" ? "It is completed: nothing is left to do." : `It is ${status.status} and waits to be resumed.${status.error ? ` ${status.error.type}: ${status.error.message}` : ""}`;
    return;
  }
  if (status.status === "queued") yield "It waits for a place: the worker runs as many executions as it may.";
  if (status.status === "recovering") yield "Its actor is being restarted, or its worker has just been started.";
  if (status.waiting) yield waits(status.waiting, now);
  for (const [id, node] of Object.entries(status.node_results)) {
    if (node.status === "running") yield running(id, node, status, counts, moved.has(id) ? null : now);
    else if (node.status === "waiting" && !status.waiting) yield beside.get(id) ? waits(beside.get(id), now) : `${id} waits.`;
  }
  if (actor === undefined) yield "It has no actor in this worker.";
  else {
    if (actor.restarts) yield `Its actor was restarted ${format.count(actor.restarts, "time")}; last reason: ${actor.last_reason || "not known"}.`;
    if (actor.mailbox.depth > 100) yield `Its mailbox has ${format.count(actor.mailbox.depth, "message")}: it is behind.`;
  }
  if (!status.checkpoint.saved && status.journal.lag_ms > 1000) yield `The journal is ${format.duration(status.journal.lag_ms / 1000)} behind.`;
}

function waits(waiting, now) {
  const { kind, name, until, node_id: node } = waiting;
  const left = until ? `, for another ${format.duration(format.seconds(until) - now)}` : "";
  const what = { signal: `an answer (signal ${name})${left}`, timer: `a time${left}`, budget: `a budget to be raised (${name})`, provider: `${limitText(waiting.limit, name)}${left}` }[kind] ?? kind;
  return `${node ?? name} waits for ${what}.`;
}

/** `now`: null if it said something while it was looked at. */
function running(id, node, status, counts, now) {
  const steps = status.processing_steps.filter((step) => step.node_id === id);
  const last = steps[steps.length - 1];
  const silent = now === null ? 0 : now - format.seconds(last?.at ?? node.started_at);
  const doing = `${id} runs, attempt ${node.attempt}${node.items ? `, ${node.items.completed} of ${node.items.total} items done` : ""}`;
  if (now === null) return `${doing}. It is alive: it said something while it was looked at.`;
  if (silent > SILENT) return `${doing}. Its last sign of life was ${format.duration(silent)} ago${counts.queued_calls ? `; ${format.count(counts.queued_calls, "call waits", "calls wait")} for a place in this worker` : ": its provider or its code is slow"}.`;
  return `${doing}. It says nothing now; its last sign of life was ${format.duration(silent)} ago.`;
}
