import { describe, expect, it } from "vitest";
import { StreamAccumulator } from "../../src/canonical/accumulator.ts";
import type { StreamEvent } from "../../src/canonical/types.ts";
import type { WireDialect } from "../../src/dialects/dialect.ts";
import { DIALECTS } from "../../src/dialects/index.ts";
import { encodeUtf8 } from "../../src/wire/bytes.ts";
import { decodeSse, type SseEvent } from "../../src/wire/sse.ts";
import { recordings } from "../support/recordings.ts";

const MALFORMED = [
  "data: {nonsense\n\n",
  'data: {"id":"cut\n\n',
  "data: <html>\n\n",
  "data: null\n\n",
  "data: 7\n\n",
  'data: "a text"\n\n',
  "event: message\ndata: nonsense\n\n",
  'data: {"a":1}\ndata: {"b":2}\n\n',
  "data: \uFFFD\r\n\r\n",
];
const LOSS = { at: "stream", what: "dropped", why: expect.stringContaining("not a JSON object") };

function decode(dialect: WireDialect, events: readonly SseEvent[]): StreamEvent[] {
  const decoder = dialect.decodeStream("home");
  return [...events.flatMap((event) => decoder.push(event)), ...decoder.end()];
}

const isLoss = ({ type }: StreamEvent): boolean => type === "loss";

describe.each(Object.values(DIALECTS).map((dialect) => [dialect.id, dialect] as const))("%s", (_, dialect) => {
  const streams = recordings(dialect.id).flatMap(({ sse, status }) =>
    sse !== undefined && status === 200 ? [sse] : [],
  );

  // All recorded streams take longer than a test may usually take.
  it("a malformed event at any place of a stream is left out, and the stream goes on", { timeout: 60_000 }, () => {
    expect(streams.length).toBeGreaterThan(0);
    for (const sse of streams) {
      const events = decodeSse(encodeUtf8(sse));
      const expected = decode(dialect, events);
      for (let at = 0; at <= events.length; at++) {
        const [malformed] = decodeSse(encodeUtf8(MALFORMED[at % MALFORMED.length]!));
        const decoded = decode(dialect, events.toSpliced(at, 0, malformed!));
        expect(decoded.filter((event) => !isLoss(event))).toEqual(expected);
        for (const event of decoded.filter(isLoss)) expect(event).toEqual({ type: "loss", loss: LOSS });
        // The terminal event, or the provider's error, is the last of a stream.
        const isBehindEnd =
          decode(dialect, events.slice(0, at)).at(-1)!.type === "end" || expected.at(-1)!.type === "error";
        if (!isBehindEnd) expect(decoded.filter(isLoss)).toHaveLength(1);
      }
    }
  });

  it("a malformed event in place of any other event makes no call without a name", { timeout: 60_000 }, () => {
    const [malformed] = decodeSse(encodeUtf8(MALFORMED[0]!));
    for (const sse of streams) {
      const events = decodeSse(encodeUtf8(sse));
      for (let at = 0; at < events.length; at++) {
        const decoded = decode(dialect, events.toSpliced(at, 1, malformed!));
        expect(decoded.filter(({ type }) => type === "end" || type === "error")).toHaveLength(1);
        const calls = decoded.flatMap((event) => (event.type === "close" ? event.block : []));
        for (const call of calls) if (call.kind === "tool_call") expect(call.name).not.toBe("");
      }
    }
  });

  it("an answer reports each kind of loss once", () => {
    const complete = streams.filter((sse) => decode(dialect, decodeSse(encodeUtf8(sse))).at(-1)!.type === "end");
    expect(complete.length).toBeGreaterThan(0);
    for (const sse of complete) {
      const accumulated = (text: string): StreamAccumulator => {
        const accumulator = new StreamAccumulator();
        for (const event of decode(dialect, decodeSse(encodeUtf8(text)))) accumulator.push(event);
        return accumulator;
      };
      const { losses = [], ...expected } = accumulated(sse).response!;
      const damaged = accumulated(MALFORMED.join("") + sse).response;
      expect(damaged).toEqual({ ...expected, losses: [LOSS, ...losses] });
    }
  });

  it("an event with blank data is ignored", () => {
    for (const sse of streams) {
      const blank = sse.replaceAll(/(?<=\n\n)(?=[a-z])/g, "data:\n\ndata:  \n\nevent: ping\ndata:\n\n");
      expect(decode(dialect, decodeSse(encodeUtf8(blank)))).toEqual(decode(dialect, decodeSse(encodeUtf8(sse))));
    }
  });

  it("an error event in plain text is an error, not a malformed event", () => {
    const events = decode(dialect, decodeSse(encodeUtf8(`event: error\ndata: overloaded, try again\n\n${streams[0]}`)));
    expect(events).toMatchObject([{ type: "error", error: { message: "overloaded, try again" } }]);
  });

  it("an answer of which only malformed events arrived is not complete", () => {
    const events = decode(dialect, decodeSse(encodeUtf8(MALFORMED.join(""))));
    expect(events.at(-1)).toMatchObject({ type: "error", error: { code: "stream.interrupted" } });
  });
});
