import { handle } from "./http/app.ts";
import { type CallRecord, keepRecords } from "./store/records.ts";

export { SessionObject } from "./objects/session.ts";

/** The entry: requests to `http/`, records from the queue to D1. */
export default {
  fetch: handle,
  async queue(batch, env) {
    try {
      await keepRecords(
        env.DB,
        batch.messages.map(({ body }) => body),
      );
    } catch {
      // One record that cannot be kept must not hold the others up: each on its own, and it alone is tried again.
      await Promise.all(
        batch.messages.map((message) => keepRecords(env.DB, [message.body]).catch(() => message.retry())),
      );
    }
  },
} satisfies ExportedHandler<Cloudflare.Env, CallRecord>;
