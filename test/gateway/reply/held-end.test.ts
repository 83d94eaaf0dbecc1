import { expect, it } from "vitest";
import type { WireDialect } from "../../../src/dialects/dialect.ts";
import { DIALECTS } from "../../../src/dialects/index.ts";
import { RelayWriter } from "../../../src/gateway/reply/writers.ts";
import { StreamReader } from "../../../src/gateway/upstream/stream-reader.ts";
import { concatBytes, decodeUtf8, encodeUtf8 } from "../../../src/wire/bytes.ts";
import { recordings } from "../../support/recordings.ts";

/** What a client that wants the provider's own bytes receives before its turn is stored, and after. */
function relay(surface: WireDialect, chunks: Uint8Array[]): { before: string; after: string } {
  const reader = new StreamReader(surface.decodeStream());
  const writer = new RelayWriter({ surface, reply: { created: 1, includeUsage: true }, hides: undefined }, () => {
    throw new Error("expected no error");
  });
  const sent = [...chunks.flatMap((chunk) => reader.push(chunk)), ...reader.end()].map(
    ({ event, decoded, isFinishing }) => writer.push(event, decoded, isFinishing),
  );
  return { before: decodeUtf8(concatBytes(sent)), after: decodeUtf8(writer.end({})) };
}

/** How many bytes before the mark of the end are cut, too. */
const BEFORE_MARK = 100;
/** Ends that have more bytes in all are cut at each n-th of them, each stream at other ones than the stream before it. */
const MAX_CUTS = 10_000;

for (const dialect of Object.values(DIALECTS)) {
  const streams = recordings(dialect.id).filter(({ sse, status }) => sse !== undefined && status === 200);

  it(`${dialect.id}: a stream cut at any byte of its end holds the same bytes back (${streams.length})`, () => {
    const ends = streams.map(({ id, sse }) => {
      const bytes = encodeUtf8(sse!);
      const whole = relay(dialect, [bytes]);
      return { id, sse, bytes, whole, start: Math.max(0, encodeUtf8(whole.before).length - BEFORE_MARK) };
    });
    const step = Math.ceil(ends.reduce((sum, { bytes, start }) => sum + bytes.length - start, 0) / MAX_CUTS);
    for (const [i, { id, sse, bytes, whole, start }] of ends.entries()) {
      for (let at = start + (i % step); at < bytes.length; at += step)
        expect([id, at, relay(dialect, [bytes.subarray(0, at), bytes.subarray(at)])]).toEqual([id, at, whole]);
      // A missing end is made up for.
      expect([sse, `${sse}data: [DONE]\n\n`], id).toContain(whole.before + whole.after);
      expect([
        id,
        new StreamReader(dialect.decodeStream()).push(encodeUtf8(whole.before)).some((event) => event.isFinishing),
      ]).toEqual([id, false]);
    }
  }, 60_000);
}
