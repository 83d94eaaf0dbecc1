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

for (const dialect of Object.values(DIALECTS)) {
  const streams = recordings(dialect.id).filter(({ sse, status }) => sse !== undefined && status === 200);

  it(`${dialect.id}: a stream cut at any byte of its end holds the same bytes back (${streams.length})`, () => {
    for (const { id, sse } of streams) {
      const bytes = encodeUtf8(sse!);
      const whole = relay(dialect, [bytes]);
      const marked = encodeUtf8(whole.before).length;
      for (let at = Math.max(0, marked - BEFORE_MARK); at < bytes.length; at++)
        expect([id, at, relay(dialect, [bytes.subarray(0, at), bytes.subarray(at)])]).toEqual([id, at, whole]);
      expect([id, whole.before + whole.after]).toEqual([id, sse]);
      expect([
        id,
        new StreamReader(dialect.decodeStream()).push(encodeUtf8(whole.before)).some((event) => event.isFinishing),
      ]).toEqual([id, false]);
    }
  });
}
