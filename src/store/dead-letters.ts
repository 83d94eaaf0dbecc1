import type { StoredRecord } from "./records.ts";

/** A message of the queue of dead letters: a JSON list of records that could not be applied a hundred times. */
type DeadLetter = { id: string; body: string; retry: (options: { delaySeconds: number }) => void };

/** Where dead letters are stored while they are not applied. */
type Bucket = Pick<R2Bucket, "put" | "delete" | "list">;

/** Time between two attempts to apply a dead letter. Seconds. */
const RETRY_SECONDS = 3_600;
const PREFIX = "dead-records/";
/** Most that are counted: what one listing of R2 returns. */
const MAX_COUNTED = 1_000;

/**
 * Tries dead letters again, every hour. Each is stored in R2 until it is applied, so that it is counted, and that none is
 * lost when the queue gives it up.
 */
export async function retryDeadLetters(
  letters: readonly DeadLetter[],
  bucket: Bucket,
  apply: (records: readonly StoredRecord[]) => Promise<void>,
): Promise<void> {
  for (const letter of letters) {
    const { id, body } = letter;
    const key = PREFIX + id;
    await bucket.put(key, body);
    try {
      await apply(JSON.parse(body) as StoredRecord[]);
      await bucket.delete(key);
    } catch (cause) {
      console.error("records in a dead letter could not be applied", id, cause);
      letter.retry({ delaySeconds: RETRY_SECONDS });
    }
  }
}

/** How many dead letters are not applied; at most 1 000 are counted. */
export async function countDeadLetters(bucket: Bucket): Promise<number> {
  return (await bucket.list({ prefix: PREFIX, limit: MAX_COUNTED })).objects.length;
}
