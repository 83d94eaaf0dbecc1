import { chunkBySize, tryInHalves } from "../wire/batcher.ts";
import { sleep } from "../wire/time.ts";
import type { StoredRecord } from "./records.ts";

/** Records that D1 takes in one batch. D1 is busy for about 0.1 ms per record and answers nothing else meanwhile. */
const BATCH = 64;

/** A queue message whose body is a JSON list of records, all acknowledged or retried together. */
type RecordMessage = { body: string; retry: () => void };

/**
 * Consumes a batch of the record queue. `apply` must be idempotent: a message is delivered at least once, and its
 * records are applied again if one of them fails.
 */
export async function consumeRecords(
  messages: readonly RecordMessage[],
  apply: (records: readonly StoredRecord[]) => Promise<void>,
): Promise<void> {
  const read = messages.map((message) => ({ message, records: JSON.parse(message.body) as StoredRecord[] }));
  for (const chunk of chunkBySize(read, ({ records }) => records.length, BATCH)) {
    const records = chunk.flatMap((entry) => entry.records);
    // One bad record delays no other.
    const failed = new Set(await tryInHalves(records, apply));
    for (const entry of chunk) if (entry.records.some((record) => failed.has(record))) entry.message.retry();
    // The local runtime has a single thread and accepts requests only when it is idle.
    await sleep(1);
  }
}
