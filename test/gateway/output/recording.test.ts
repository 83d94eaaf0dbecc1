import { DatabaseSync } from "node:sqlite";
import fc from "fast-check";
import { expect, it } from "vitest";
import { ByteLog, BYTE_LOG_SCHEMA } from "../../../src/session/stream/byte-log.ts";
import type { Sql } from "../../../src/store/sql.ts";
import { concatBytes } from "../../../src/wire/bytes.ts";

/** Rows as a Durable Object gives them. */
function database(): Sql {
  const db = new DatabaseSync(":memory:");
  const sql: Sql = (query, ...values) =>
    db
      .prepare(query)
      .all(...values.map((value) => (value instanceof ArrayBuffer ? new Uint8Array(value) : value)))
      .map((row) => ({
        ...row,
        ...(row.bytes instanceof Uint8Array && { bytes: row.bytes.slice().buffer }),
      })) as never[];
  sql(BYTE_LOG_SCHEMA);
  return sql;
}

async function all(recording: ByteLog): Promise<Uint8Array> {
  const parts: Uint8Array[] = [];
  for await (const part of recording.read()) parts.push(part);
  return concatBytes(parts);
}

/** Sizes of what comes, and where a reader begins or takes what there is so far. */
const steps = fc.array(
  fc.oneof(
    fc.record({ size: fc.constantFrom(0, 1, 999, 200_000, 600_000, 1_300_000) }),
    fc.record({ reads: fc.nat({ max: 3 }) }),
  ),
  { maxLength: 14 },
);

it("a recording is read whole by every reader, at any time and speed", async () => {
  await fc.assert(
    fc.asyncProperty(steps, async (told) => {
      const sql = database();
      const recording = new ByteLog(sql, 7);
      const whole: Uint8Array[] = [];
      const readers = Array.from({ length: 4 }, () => ({ from: recording.read(), had: [] as Uint8Array[] }));
      for (const step of told) {
        if ("size" in step) {
          const bytes = new Uint8Array(step.size).fill(whole.length + 1);
          whole.push(bytes.slice());
          recording.append(bytes);
          continue;
        }
        const { from, had } = readers[step.reads]!;
        const size = had.reduce((sum, { length }) => sum + length, 0);
        if (size < recording.size) had.push((await from.next()).value);
      }
      recording.flush();
      recording.end();
      const expected = Buffer.from(concatBytes(whole));
      for (const { from, had } of readers) {
        for await (const more of from) had.push(more);
        expect(expected.equals(concatBytes(had))).toBe(true);
      }
      expect(expected.equals(await all(ByteLog.reopen(sql, 7, recording.size)))).toBe(true);
    }),
    { numRuns: 40 },
  );
});

it("a reader fails if the recording was broken off, or is no longer stored", async () => {
  const recording = new ByteLog(database(), 7);
  recording.append(new Uint8Array(3));
  recording.fail(new Error("it broke"));
  await expect(all(recording)).rejects.toThrow("it broke");
  await expect(all(ByteLog.reopen(database(), 7, 3))).rejects.toThrow("no longer stored");
});
