// News for the list of executions: which come, change and go. Reconnects by itself, and says while it cannot.

import { get, pause, persist } from "./api.js";
import { hear, shown } from "./stream.js";

const AFTER_REFUSAL = 1000;

/** Keep a list up to date until it is aborted, or until what it asks for is refused: that is thrown. */
export async function followList(list, signal) {
  let failed = null;
  for (;;) {
    await shown(signal);
    const load = (done) => list.load().catch((error) => {
      failed = error;
      done("failed");
    });
    const why = await hear(list.newsPath(), signal, {
      // What happened before the stream was open is in the list that is loaded after.
      ready: (_, done) => load(done),
      gap: (_, done) => load(done),
      execution: (event) => list.change(JSON.parse(event.data)),
      deleted: (event) => list.remove(JSON.parse(event.data).execution_id),
    });
    if (why === "failed") throw failed;
    if (why !== "refused") continue;
    // A stream that was refused says nothing of why: an answer to the same question does.
    await persist(() => get(list.path(null), { signal }), signal);
    await pause(AFTER_REFUSAL, signal);
  }
}
