// Which workflows are registered, page by page. Draws nothing.

import { get, persist } from "./api.js";

const PAGE = 500;

/** Give all names in their order, each with its newest version and how many there are: again as each page comes. */
export async function* names(signal) {
  const found = new Map();
  let cursor = null;
  do {
    const page = await some({ limit: PAGE, cursor }, signal);
    for (const each of page.workflows) {
      const newest = found.get(each.name) ?? { ...each, versions: 0 };
      newest.versions += 1;
      found.set(each.name, newest);
    }
    yield [...found.values()].sort((one, other) => one.name.localeCompare(other.name));
    cursor = page.next_cursor;
  } while (cursor !== null);
}

/** Ask for a page: `limit` of them from a `cursor` on, newest first; `name`: the versions of one. */
export function some(asked, signal) {
  const query = new URLSearchParams(Object.entries(asked).filter(([, value]) => value !== null));
  return persist(() => get(`/workflows?${query}`, { signal }), signal);
}
