import type { RecordSources } from "./archive/sealed-calls.ts";
import { appendRecords } from "./record-store.ts";
import type { StoredRecord } from "./records.ts";

/** What the steps of `applyRecords` use. `settle`: charges the calls to the accounts of their keys, each call once. */
export type RecordServices = {
  sources: RecordSources;
  settle: (records: readonly StoredRecord[]) => Promise<unknown> | undefined;
};

/**
 * Applies records that have left an outbox, directly or through the queue. Records are delivered at least once and in any
 * order, so each step is idempotent. Rejects if a step fails: all of the records are then delivered again.
 */
export async function applyRecords(
  records: readonly StoredRecord[],
  { sources, settle }: RecordServices,
): Promise<void> {
  await appendRecords(sources, records);
  await settle(records);
}
