import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { withLazyTables, migrateSession } from "../../../src/session/schema.ts";
import { EventBuffer, STREAM_RETENTION_MS } from "../../../src/session/stream/event-buffer.ts";
import { type Segment } from "../../../src/session/stream/segments.ts";
import type { Sql } from "../../../src/store/sql.ts";
import { concatBytes, decodeUtf8, encodeUtf8 } from "../../../src/wire/bytes.ts";
import { openSql, toStorage } from "../../support/sqlite.ts";

/** A database as a Durable Object has it, and a clock that is moved by hand. */
function openDatabase(): {
  sql: Sql;
  clock: { now: number };
  open: (onSegment?: (segment: Segment) => void) => EventBuffer;
} {
  const sql = withLazyTables(openSql());
  migrateSession(toStorage(sql));
  const clock = { now: 1_700_000_000_000 };
  return { sql, clock, open: (onSegment = () => {}) => new EventBuffer(sql, () => clock.now, onSegment) };
}

const event = (i: number): string => `data: {"n":${i}}\n\n`;
const ONE = { blocks: 1, events: 1 };

async function read(buffer: EventBuffer, call: string, after: number): Promise<string> {
  const parts: Uint8Array[] = [];
  for await (const part of buffer.readStream(call, after)) parts.push(part);
  return decodeUtf8(concatBytes(parts));
}

/** Chunks of a stream: how many events come at once, whether a comment goes before them, and how long nothing comes then. */
const chunks = fc.array(
  fc.record({ events: fc.integer({ min: 0, max: 4 }), comment: fc.boolean(), pause: fc.constantFrom(0, 10, 6_000) }),
  { minLength: 1, maxLength: 30 },
);

describe("a stream", () => {
  it("a stream is read again from any event on, in any order of writes, and with other streams between", async () => {
    await fc.assert(
      fc.asyncProperty(chunks, async (all) => {
        const { clock, open } = openDatabase();
        const buffer = open();
        buffer.start("a");
        buffer.start("b");
        const whole: string[] = [];
        for (const { events, comment, pause } of all) {
          const added = Array.from({ length: events }, (_, i) => event(whole.length + i));
          if (comment && added.length > 0) added[0] = `: still here\n\n${added[0]}`;
          buffer.append("a", encodeUtf8(added.join("")), { blocks: events + (comment && events > 0 ? 1 : 0), events });
          whole.push(...added);
          if (comment) buffer.append("b", encodeUtf8(event(0)), ONE);
          clock.now += pause;
        }
        buffer.end("a");
        buffer.end("b");
        const again = open();
        for (let after = 0; after <= whole.length; after++) {
          expect(await read(buffer, "a", after)).toBe(whole.slice(after).join(""));
          expect(await read(again, "a", after)).toBe(whole.slice(after).join(""));
        }
      }),
      { numRuns: 60 },
    );
  });

  it("a stream reaches a reader that comes while it grows, once and in order", async () => {
    const { clock, open } = openDatabase();
    const buffer = open();
    buffer.start("a");
    const readers = [read(buffer, "a", 0)];
    for (let i = 0; i < 50; i++) {
      buffer.append("a", encodeUtf8(event(i)), ONE);
      clock.now += 1_500;
      if (i % 10 === 0) readers.push(read(buffer, "a", i));
      if (i % 3 === 0) await Promise.resolve();
    }
    buffer.end("a");
    const whole = Array.from({ length: 50 }, (_, i) => event(i));
    expect(await Promise.all(readers)).toEqual([0, 0, 10, 20, 30, 40].map((after) => whole.slice(after).join("")));
  });

  it("a stream is written every five seconds or 64 KiB, never per chunk, and is not held in memory beyond that", () => {
    const { sql, clock, open } = openDatabase();
    const buffer = open();
    buffer.start("a");
    const rows = (): number => sql<{ n: number }>("SELECT count(*) AS n FROM events")[0]!.n;
    for (let i = 0; i < 1_000; i++) buffer.append("a", encodeUtf8(event(i)), ONE);
    expect(rows()).toBe(0);
    clock.now += 5_000;
    buffer.append("a", encodeUtf8(event(1_000)), ONE);
    expect(rows()).toBe(1);
    clock.now += 60_000;
    buffer.append("a", encodeUtf8(event(1_001)), ONE);
    expect(rows()).toBe(1);
    buffer.append("a", encodeUtf8(`data: ${"x".repeat(64 * 1024)}\n\n`), ONE);
    expect(rows()).toBe(2);
  });

  it("a stream stores an event that no row could hold", async () => {
    const { open } = openDatabase();
    const buffer = open();
    const huge = `data: ${"é".repeat(2_000_000)}\n\n`;
    buffer.start("a");
    buffer.append("a", encodeUtf8(event(0) + huge), { blocks: 2, events: 2 });
    buffer.end("a");
    expect((await read(open(), "a", 1)) === huge).toBe(true);
  });

  it("a stream is dropped ten minutes after the reply, and not before", async () => {
    const { clock, open } = openDatabase();
    const buffer = open();
    buffer.start("a");
    buffer.append("a", encodeUtf8(event(0)), ONE);
    buffer.flush();
    clock.now += 2 * STREAM_RETENTION_MS;
    expect(buffer.dropExpired()).toBeGreaterThan(clock.now);
    buffer.end("a");
    const seen = buffer.lastId - 1;
    const at = buffer.dropExpired()!;
    clock.now += STREAM_RETENTION_MS - 1;
    buffer.dropExpired();
    expect([buffer.countEvents("a"), await read(buffer, "a", 0)]).toEqual([1, event(0)]);
    expect(buffer.hasAllSince(seen)).toBe(true);
    clock.now += 1;
    expect([at, buffer.dropExpired()]).toEqual([clock.now, undefined]);
    expect(buffer.countEvents("a")).toBeUndefined();
    expect([buffer.hasAllSince(seen), buffer.hasAllSince(buffer.lastId)]).toEqual([false, true]);
  });

  it("rows without a stream are dropped after ten minutes, also while a younger stream is stored", () => {
    const { sql, clock, open } = openDatabase();
    const buffer = open();
    buffer.appendNotice("old", encodeUtf8("{}"));
    buffer.flush();
    clock.now += STREAM_RETENTION_MS - 1;
    buffer.start("a");
    buffer.append("a", encodeUtf8(event(0)), ONE);
    buffer.end("a");
    buffer.dropExpired();
    expect(sql("SELECT last FROM events")).toHaveLength(2);
    clock.now += 1;
    buffer.dropExpired();
    expect(sql("SELECT last FROM events")).toHaveLength(1);
    expect(buffer.countEvents("a")).toBe(1);
  });

  it("a stream has ids that only go up, also after a crash took the newest", () => {
    const { clock, open } = openDatabase();
    const ids: number[] = [];
    const before = open(({ id }) => ids.push(id));
    before.start("a");
    for (let i = 0; i < 10; i++) before.append("a", encodeUtf8(event(i)), ONE);
    clock.now += 5;
    const after = open(({ id }) => ids.push(id));
    after.interrupt("a", () => ({ bytes: encodeUtf8(event(0)), count: ONE }));
    expect(ids).toEqual(ids.toSorted((a, b) => a - b));
    expect(new Set(ids).size).toBe(11);
  });

  it("a stream that a crash cut ends with the report of the crash behind what is stored", async () => {
    const { clock, open } = openDatabase();
    const before = open();
    before.start("a");
    before.append("a", encodeUtf8(event(0) + event(1)), { blocks: 2, events: 2 });
    before.flush();
    before.append("a", encodeUtf8(event(2)), ONE);
    clock.now += 5;
    const after = open();
    after.interrupt("a", ({ events, lastEvent: last }) => ({
      bytes: encodeUtf8(`data: cut after ${events}, ${last?.data}\n\n`),
      count: ONE,
    }));
    expect(await read(after, "a", 1)).toBe(`${event(1)}data: cut after 2, {"n":1}\n\n`);
  });

  it("a crash is reported behind the last event of its stream, also if a notice about the call follows that", () => {
    const { open } = openDatabase();
    const before = open();
    before.start("a");
    before.append("a", encodeUtf8(event(0)), ONE);
    before.appendNotice("a", encodeUtf8("{}"));
    before.flush();
    open().interrupt("a", ({ events, lastEvent }) => {
      expect([events, lastEvent?.data]).toEqual([1, `{"n":0}`]);
      return { bytes: encodeUtf8(event(1)), count: ONE };
    });
  });

  it("a stream that a crash prevented from starting has the report only", async () => {
    const buffer = openDatabase().open();
    buffer.interrupt("a", ({ events, lastEvent }) => {
      expect([events, lastEvent]).toEqual([0, undefined]);
      return { bytes: encodeUtf8(event(7)), count: ONE };
    });
    expect([await read(buffer, "a", 0), buffer.countEvents("a")]).toEqual([event(7), 1]);
  });

  it("a stream that has not started or is over takes no more, and one that is not stored has nothing", async () => {
    const segments: Segment[] = [];
    const buffer = openDatabase().open((segment) => segments.push(segment));
    buffer.append("a", encodeUtf8(event(0)), ONE);
    buffer.start("a");
    buffer.append("a", new Uint8Array(0), { blocks: 0, events: 0 });
    buffer.end("a");
    buffer.append("a", encodeUtf8(event(1)), ONE);
    buffer.end("a");
    expect(segments).toEqual([]);
    expect([await read(buffer, "a", 0), buffer.countEvents("a")]).toEqual(["", 0]);
    expect([await read(buffer, "b", 0), buffer.countEvents("b")]).toEqual(["", undefined]);
  });
});

/** What happens in a session: events of two calls, a notice, time, a write, an object that starts again. */
const steps = fc.array(
  fc.oneof(
    fc.record({
      kind: fc.constant("events" as const),
      call: fc.constantFrom("a", "b"),
      count: fc.integer({ min: 1, max: 3 }),
    }),
    fc.record({ kind: fc.constant("notice" as const) }),
    fc.record({ kind: fc.constant("pause" as const) }),
    fc.record({ kind: fc.constant("flush" as const) }),
  ),
  { maxLength: 30 },
);

describe("the segments of a session", () => {
  it("the segments since an id are all that came after it, in any order of writes", () => {
    fc.assert(
      fc.property(steps, (all) => {
        const { clock, open } = openDatabase();
        const buffer = open();
        buffer.start("a");
        buffer.start("b");
        // Each block of the session, with its id.
        const blocks: { id: number; text: string; call?: string }[] = [];
        const add = (texts: readonly string[], call?: string): void =>
          texts.forEach((text, i) =>
            blocks.push({ id: buffer.lastId - texts.length + 1 + i, text, ...(call !== undefined && { call }) }),
          );
        for (const step of all) {
          if (step.kind === "pause") clock.now += 6_000;
          if (step.kind === "flush") buffer.flush();
          if (step.kind === "notice") {
            const text = `{"notice":${blocks.length}}`;
            buffer.appendNotice("a", encodeUtf8(text));
            add([text]);
          }
          if (step.kind === "events") {
            const texts = Array.from({ length: step.count }, (_, i) => event(blocks.length + i));
            buffer.append(step.call, encodeUtf8(texts.join("")), { blocks: step.count, events: step.count });
            add(texts, step.call);
          }
        }
        const start = (blocks[0]?.id ?? buffer.lastId + 1) - 1;
        const countBefore = (call: string, id: number): number =>
          blocks.filter((block) => block.call === call && block.id < id).length;
        const expectAllAfter = (from: EventBuffer, id: number): void => {
          const segments = [...from.segmentsSince(id)];
          const expected = blocks.filter((block) => block.id > id).map((block) => block.text);
          expect(decodeUtf8(concatBytes(segments.map(({ bytes }) => bytes)))).toBe(expected.join(""));
          for (const { id: first, call, ordinal } of segments)
            if (ordinal !== undefined) expect(ordinal).toBe(countBefore(call, first) + 1);
        };
        const ids = [start, ...blocks.map((block) => block.id)];
        for (const id of ids) expectAllAfter(buffer, id);
        buffer.flush();
        const again = open();
        for (const id of ids) expectAllAfter(again, id);
      }),
      { numRuns: 60 },
    );
  });

  it("segments are given to the listener as they come, with consecutive ids and the numbers of their events", () => {
    const segments: Segment[] = [];
    const buffer = openDatabase().open((segment) => segments.push(segment));
    buffer.start("a");
    const start = buffer.lastId;
    buffer.append("a", encodeUtf8(`: comment\n\n${event(0)}`), { blocks: 2, events: 1 });
    buffer.appendNotice("b", encodeUtf8("{}"));
    buffer.append("a", encodeUtf8(event(1)), ONE);
    expect(segments.map(({ id, call, ordinal, blocks }) => [id - start, call, ordinal, blocks])).toEqual([
      [1, "a", 1, 2],
      [3, "b", undefined, 1],
      [4, "a", 2, 1],
    ]);
  });

  it("segments that no stream needs are dropped", () => {
    const { sql, clock, open } = openDatabase();
    const buffer = open();
    buffer.appendNotice("a", encodeUtf8("{}"));
    buffer.flush();
    clock.now += STREAM_RETENTION_MS;
    expect(buffer.dropExpired()).toBeUndefined();
    expect(sql("SELECT 1 FROM events")).toEqual([]);
    expect(buffer.hasAllSince(buffer.lastId)).toBe(true);
    expect(buffer.hasAllSince(buffer.lastId - 1)).toBe(false);
  });
});
