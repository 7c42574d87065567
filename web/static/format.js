// Numbers, times and sizes as people read them. Changes nothing, knows no element.

const NUMBER = new Intl.NumberFormat("en");

export function count(number, one, many = `${one}s`) {
  return `${NUMBER.format(number)} ${number === 1 ? one : many}`;
}

export function whole(number) {
  return number === null || number === undefined ? "–" : NUMBER.format(number);
}

/** 1234 -> 1.2k: for columns in which the order of magnitude matters. */
export function short(number) {
  if (number === null || number === undefined) return "–";
  if (number < 1000) return String(number);
  if (number < 999_950) return `${trim(number / 1000)}k`;
  return `${trim(number / 1e6)}M`;
}

function trim(number) {
  return number < 10 ? number.toFixed(1).replace(/\.0$/, "") : String(Math.round(number));
}

export function percent(number) {
  return `${Math.floor(number)}%`;
}

export function bytes(number) {
  if (number < 1000) return `${number} B`;
  if (number < 1e6) return `${trim(number / 1000)} KB`;
  return `${trim(number / 1e6)} MB`;
}

export function duration(seconds) {
  if (seconds === null || seconds === undefined || Number.isNaN(seconds)) return "–";
  if (seconds < 0) return "0 s";
  if (seconds < 10) return `${seconds.toFixed(1)} s`;
  if (seconds < 60) return `${Math.floor(seconds)} s`;
  if (seconds < 3600) return `${Math.floor(seconds / 60)} min ${Math.floor(seconds % 60)} s`;
  if (seconds < 86_400) return `${Math.floor(seconds / 3600)} h ${Math.floor((seconds % 3600) / 60)} min`;
  return `${Math.floor(seconds / 86_400)} d ${Math.floor((seconds % 86_400) / 3600)} h`;
}

let behind = 0;

/** Take the server's time from an answer of it: ages are told by its clock, whatever that of this machine says. */
export function heardTime(text) {
  const told = Date.parse(text ?? "");
  if (Number.isNaN(told)) return;
  // It is told in whole seconds, and a while ago.
  const now = (told - Date.now()) / 1000;
  if (Math.abs(now - behind) > 2) behind = now;
}

/** The time now, in seconds, as the server has it. */
export function now() {
  return Date.now() / 1000 + behind;
}

/** How long ago, in one unit: for columns. */
export function age(seconds) {
  if (seconds < 60) return `${Math.max(0, Math.floor(seconds))} s`;
  if (seconds < 3600) return `${Math.floor(seconds / 60)} min`;
  if (seconds < 86_400) return `${Math.floor(seconds / 3600)} h`;
  return `${Math.floor(seconds / 86_400)} d`;
}

export function seconds(time) {
  return time ? Date.parse(time) / 1000 : null;
}

export function clock(time) {
  const at = time instanceof Date ? time : new Date(time);
  return at.toLocaleTimeString("en-GB");
}

export function dateTime(time) {
  return time ? new Date(time).toLocaleString("en-GB", { dateStyle: "medium", timeStyle: "medium" }) : "–";
}

export function money(cost) {
  if (!cost) return "–";
  const amount = Number(cost.amount);
  const digits = amount !== 0 && amount < 0.1 ? 4 : 2;
  return `${cost.partial ? "≥ " : ""}${amount.toFixed(digits)} ${cost.currency}`;
}

export function tokens(usage) {
  if (!usage) return "–";
  return `${usage.estimated ? "≈ " : ""}${short(usage.input_tokens + usage.output_tokens)}`;
}

/** The end of an execution's id: those of one minute begin alike. */
export function shortId(id) {
  return id.slice(-8);
}

export function shortFingerprint(fingerprint) {
  return fingerprint.slice(0, 8);
}

/** `chapters`, or `chapters[2]` as in documents: items count from 0 there, and from 1 for people. */
export function place(label, item) {
  return item === null || item === undefined ? label : `${label} ${item + 1}`;
}
