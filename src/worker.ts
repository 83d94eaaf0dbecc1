import { handle } from "./http/app.ts";
import { armClock, clockStub } from "./platform/clock.ts";
import { recordServices } from "./platform/record-delivery.ts";
import { applyRecords } from "./store/apply-records.ts";
import { consumeRecords } from "./store/consumer.ts";
import { retryDeadLetters } from "./store/dead-letters.ts";
import type { StoredRecord } from "./store/records.ts";

export { ClockObject } from "./objects/clock.ts";
export { DirectoryObject } from "./objects/directory.ts";
export { IdempotencyObject } from "./objects/idempotency.ts";
export { JournalObject } from "./objects/journal.ts";
export { KeyObject } from "./objects/key.ts";
export { OrganizationObject } from "./objects/organization.ts";
export { SessionObject } from "./objects/session.ts";

/** The queue of records that the consumer has given up; see wrangler.toml. */
const DEAD_LETTERS = "rhone-records-dead";

/**
 * The entry: requests go to `http/`, records of the queue to D1 and to the accounts of their keys. The cron trigger only
 * makes sure that the clock goes.
 */
export default {
  fetch(request, env, ctx) {
    armClock(env, (work) => ctx.waitUntil(work));
    return handle(request, env, ctx);
  },
  async scheduled(_, env) {
    await clockStub(env).arm();
  },
  async queue({ queue, messages }, env) {
    const apply = (records: readonly StoredRecord[]): Promise<void> => applyRecords(records, recordServices(env));
    await (queue === DEAD_LETTERS ? retryDeadLetters(messages, env.BLOBS, apply) : consumeRecords(messages, apply));
  },
} satisfies ExportedHandler<Cloudflare.Env, string>;
