import { handle } from "./http/app.ts";
import { settleRecords } from "./platform/key-stubs.ts";
import { consumeRecords } from "./store/consumer.ts";
import { upsertRecords } from "./store/records.ts";

export { DirectoryObject } from "./objects/directory.ts";
export { IdempotencyObject } from "./objects/idempotency.ts";
export { JournalObject } from "./objects/journal.ts";
export { KeyObject } from "./objects/key.ts";
export { OrganizationObject } from "./objects/organization.ts";
export { SessionObject } from "./objects/session.ts";

/** The entry: requests go to `http/`, records of the queue to D1 and to the accounts of their keys. */
export default {
  fetch: handle,
  async queue({ messages }, env) {
    await consumeRecords(messages, async (records) => {
      await upsertRecords(env.DB, records);
      await settleRecords(env, records);
    });
  },
} satisfies ExportedHandler<Cloudflare.Env, string>;
