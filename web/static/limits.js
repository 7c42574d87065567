// The limit that a call waits for, in words.

const WHY = {
  concurrency: "calls at once",
  per_minute: "calls a minute",
  tokens_per_minute: "tokens a minute",
  retry_after: "the pause that the provider asked for",
};

export function limitText(limit, name) {
  return limit ? `the limit of the ${limit.kind.replace("_", " ")} ${name} (${WHY[limit.why] ?? limit.why})` : `the limit of ${name}`;
}
