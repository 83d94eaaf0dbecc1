import { settleRecords } from "./http/accounts.ts";
import { handle } from "./http/app.ts";
import { type Kept, keepRecords } from "./store/records.ts";

export { DirectoryObject } from "./objects/directory.ts";
export { IdempotencyObject } from "./objects/idempotency.ts";
export { KeyObject } from "./objects/key.ts";
export { OrganizationObject } from "./objects/organization.ts";
export { SessionObject } from "./objects/session.ts";

/** The entry: requests to `http/`, records from the queue to D1. */
export default {
  fetch: handle,
  async queue(batch, env) {
    try {
      await keep(
        env,
        batch.messages.map(({ body }) => body),
      );
    } catch {
      // One record that cannot be kept must not hold the others up: each on its own, and it alone is tried again.
      await Promise.all(batch.messages.map((message) => keep(env, [message.body]).catch(() => message.retry())));
    }
  },
} satisfies ExportedHandler<Cloudflare.Env, Kept>;

/** In D1, and in the accounts of their keys: both take a record once, however often it comes. */
async function keep(env: Cloudflare.Env, records: readonly Kept[]): Promise<void> {
  await keepRecords(env.DB, records);
  await settleRecords(
    env,
    records.flatMap((record) => ("object" in record ? [] : [record])),
  );
}
