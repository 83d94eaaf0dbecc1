import { settleRecords } from "./platform/key-stubs.ts";
import { handle } from "./http/app.ts";
import { type StoredRecord, upsertRecords } from "./store/records.ts";
import { chunkBySize } from "./wire/batcher.ts";

export { DirectoryObject } from "./objects/directory.ts";
export { IdempotencyObject } from "./objects/idempotency.ts";
export { JournalObject } from "./objects/journal.ts";
export { KeyObject } from "./objects/key.ts";
export { OrganizationObject } from "./objects/organization.ts";
export { SessionObject } from "./objects/session.ts";

/** How many records D1 takes in at once: 0.1 ms each in which it does nothing else, and here nobody else does either. */
const TOGETHER = 64;

/** The entry: requests to `http/`, records from the queue to D1. */
export default {
  fetch: handle,
  async queue({ messages }, env) {
    const read = messages.map((message) => ({ message, records: JSON.parse(message.body) as StoredRecord[] }));
    for (const some of chunkBySize(read, ({ records }) => records.length, TOGETHER)) {
      const records = some.flatMap((one) => one.records);
      const bad = new Set(await unkept(env, records));
      for (const one of some) if (one.records.some((record) => bad.has(record))) one.message.retry();
      // The local runtime has one thread for all, and looks for requests only when nothing else is to be done.
      await new Promise((resolve) => setTimeout(resolve, 1));
    }
  },
} satisfies ExportedHandler<Cloudflare.Env, string>;

/** Keeps records and gives those that cannot be: what fails together is tried again in halves, so that no record holds up another. */
async function unkept(env: Cloudflare.Env, records: readonly StoredRecord[]): Promise<readonly StoredRecord[]> {
  try {
    await keep(env, records);
    return [];
  } catch {
    if (records.length === 1) return records;
    const middle = records.length >> 1;
    const halves = [records.slice(0, middle), records.slice(middle)];
    return (await Promise.all(halves.map((half) => unkept(env, half)))).flat();
  }
}

/** In D1, and in the accounts of their keys: both take a record once, however often it comes. */
async function keep(env: Cloudflare.Env, records: readonly StoredRecord[]): Promise<void> {
  await upsertRecords(env.DB, records);
  await settleRecords(env, records);
}
