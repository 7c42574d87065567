// News for the list of executions.

import { get } from "./api.js";
import { poll } from "./live.js";

const EVERY = 4000;

export function followList(list, signal) {
  poll(async () => {
    const page = await get(list.path(), { signal });
    for (const row of page.executions) list.change(row);
  }, EVERY, signal).catch((error) => {
    if (!signal.aborted) throw error;
  });
}
