import { describe, expect, it } from "vitest";
import { StreamAccumulator, fold, unfold } from "../../src/canonical/accumulator.ts";
import { hashAfter } from "../../src/canonical/turn-hash.ts";
import type { Dialect, Message, ModelResponse, StreamEvent } from "../../src/canonical/types.ts";
import type { ReplyContext, StreamDecoder, WireDialect } from "../../src/dialects/dialect.ts";
import { DIALECTS } from "../../src/dialects/index.ts";
import { concatBytes, decodeUtf8, encodeUtf8 } from "../../src/wire/bytes.ts";
import { isObject, type Json, type JsonObject, tryParseJson } from "../../src/wire/json.ts";
import { decodeSse, SseSplitter } from "../../src/wire/sse.ts";
import { type Recording, recordings } from "../support/recordings.ts";

/** The laws every dialect keeps, over its fixtures (and over a whole corpus when `RHONE_CORPUS` names one). */
for (const dialect of Object.values(DIALECTS)) laws(dialect);

function laws(dialect: WireDialect): void {
  const all = recordings(dialect.id);
  const requests = all.filter(
    ({ request, status }) => request !== undefined && status === 200 && itemsOf(dialect, request) !== undefined,
  );
  const wholes = all.filter(({ body, status }) => body !== undefined && status === 200);
  const streams = all.filter(({ sse, status }) => sse !== undefined && status === 200);
  const home = { dialect: dialect.id, model: "m", issuer: "home" };
  const reply: ReplyContext = { created: 1, includeUsage: true };

  describe(`${dialect.id}: ${all.length} recordings`, () => {
    law("a request encodes to the body it was decoded from", requests, ({ request }) => {
      const decoded = dialect.decodeRequest(request!, { model: "m", stream: false });
      const { value, losses } = dialect.encodeRequest(decoded, { ...home, model: decoded.model });
      expect(losses).toEqual([]);
      expect(value).toEqual(request!.model === undefined ? withoutModel(value, request!) : request);
    });

    law("messages encode to the items they were decoded from", requests, ({ request }) => {
      const items = itemsOf(dialect, request!)!;
      expect(dialect.encodeMessages(dialect.decodeMessages(items, "home"), home)).toEqual({ value: items, losses: [] });
    });

    law("n + 1 messages begin with the encoding of n, also when they are foreign", requests, ({ request }) => {
      const messages = dialect.decodeMessages(itemsOf(dialect, request!)!).map(foreignTo(dialect.id));
      const ends = messages.flatMap(({ role }, i) =>
        role === "assistant" && messages[i + 1]?.role !== "assistant" ? [i + 1] : [],
      );
      const whole = dialect.encodeMessages(messages, home).value;
      for (const end of ends) {
        const part = dialect.encodeMessages(messages.slice(0, end), home).value;
        expect(whole.slice(0, part.length)).toEqual(part);
      }
    });

    law("foreign messages keep their meaning through this wire", requests, ({ request }) => {
      const messages = dialect.decodeMessages(itemsOf(dialect, request!)!).map(foreignTo(dialect.id)).filter(isPlain);
      const { value, losses } = dialect.encodeMessages(messages, home);
      // A wire without system messages inside its list says them as somebody's text, and tells so.
      if (losses.some(({ at }) => at === "messages.system")) return;
      expect(hashAfter("", dialect.decodeMessages(value))).toBe(hashAfter("", messages));
    });

    law("an answer survives the wire", wholes, ({ body }) => {
      const decoded = dialect.decodeResponse(body!, "home");
      const again = dialect.decodeResponse(dialect.encodeResponse(decoded, reply));
      expect(saidBy(again)).toEqual(saidBy(decoded));
    });

    law("fold(unfold(answer)) is the answer", wholes, ({ body }) => {
      const decoded = dialect.decodeResponse(body!);
      expect(fold(unfold(decoded))).toEqual(decoded);
    });

    law("a stream says what the whole answer says", wholes, ({ body }) => {
      const decoded = dialect.decodeResponse(body!);
      const encoder = dialect.encodeStream(reply);
      const text = unfold(decoded)
        .map((event) => encoder.push(event))
        .join("");
      expect(saidBy(fold(eventsOf(dialect, encodeUtf8(text))))).toEqual(saidBy(decoded));
    });

    law("a stream's messages are said again as the wire writes them", streams, ({ sse }) => {
      const folded = folding(eventsOf(dialect, encodeUtf8(sse!), "home"));
      // Arguments that the length limit cut are no JSON: not every wire can say them.
      if (folded.response === undefined || folded.messages.some(isCut)) return;
      const { value, losses } = dialect.encodeMessages(folded.messages, home);
      expect(losses).toEqual([]);
      expect(hashAfter("", dialect.decodeMessages(value))).toBe(hashAfter("", folded.messages));
    });

    law("any cut of a stream decodes alike", streams, ({ sse }) => {
      const bytes = encodeUtf8(sse!);
      const whole = eventsOf(dialect, bytes);
      for (const size of [1, 7, 64, 1000]) {
        const splitter = new SseSplitter();
        const events = [];
        for (let at = 0; at < bytes.length; at += size) events.push(...splitter.push(bytes.subarray(at, at + size)));
        events.push(...splitter.flush());
        expect(decodeUtf8(concatBytes(events.map(({ raw }) => raw)))).toBe(sse);
        expect(decodeWith(dialect.decodeStream(), events)).toEqual(whole);
      }
    });

    law("a stream has one terminal event, and none is invented", streams, ({ sse }) => {
      const events = eventsOf(dialect, encodeUtf8(sse!));
      expect(events.filter(({ type }) => type === "end" || type === "error")).toHaveLength(1);
      expect(["end", "error"]).toContain(events.at(-1)!.type);
      // A third of the events, and half of the next one: before the end mark, however long the last event is.
      const raw = decodeSse(encodeUtf8(sse!)).map((event) => event.raw);
      const at = Math.floor(raw.length / 3);
      const half = raw[at]!.subarray(0, raw[at]!.length / 2);
      expect(eventsOf(dialect, concatBytes([...raw.slice(0, at), half])).at(-1)!.type).toBe("error");
    });

    law("blocks of a stream are open one at a time", streams, ({ sse }) => {
      let open: number | undefined;
      for (const event of eventsOf(dialect, encodeUtf8(sse!))) {
        if (event.type === "open") {
          expect(open).toBeUndefined();
          open = event.index;
        } else if (event.type === "delta" || event.type === "close") {
          expect(event.index).toBe(open);
          if (event.type === "close") open = undefined;
        }
      }
    });

    law("an answer that holds a tool call ends with it", [...wholes, ...streams], (recording) => {
      const response = responseOf(dialect, recording);
      if (response?.messages.some(({ blocks }) => blocks.some(({ kind }) => kind === "tool_call")) !== true) return;
      expect(response.finish.reason).not.toBe("stop");
    });

    law("token buckets are disjoint and none is negative", [...wholes, ...streams], (recording) => {
      const { fresh, cacheRead, cacheWrite, output, reasoning } = responseOf(dialect, recording)?.usage ?? {};
      for (const count of [fresh, cacheRead, cacheWrite, output, reasoning])
        expect(count ?? 0).toBeGreaterThanOrEqual(0);
      expect(reasoning ?? 0).toBeLessThanOrEqual(output ?? Infinity);
    });

    law(
      "an error keeps its status and its words",
      all.filter(({ status, body }) => status >= 400 && isObject(body)),
      ({ status, body }) => {
        const error = dialect.decodeError(status, JSON.stringify(body));
        expect(error.status).toBe(status);
        expect(JSON.stringify(body)).toContain(JSON.stringify(error.message).slice(1, 40));
      },
    );
  });
}

/** One test a law; a failure names the recording. */
function law(name: string, over: readonly Recording[], holds: (recording: Recording) => void): void {
  it(`${name} (${over.length})`, () => {
    const broken: string[] = [];
    for (const recording of over) {
      try {
        holds(recording);
      } catch (cause) {
        broken.push(`${recording.id}: ${describeFailure(cause)}`);
      }
    }
    expect(broken.slice(0, 5).join("\n\n"), `${broken.length} of ${over.length} break the law`).toBe("");
  });
}

function itemsOf({ layout }: WireDialect, request: JsonObject): Json[] | undefined {
  const items = request[layout.items] ?? request[layout.itemsAlias ?? ""];
  return Array.isArray(items) ? items : undefined;
}

function decodeWith(decoder: StreamDecoder, events: ReturnType<typeof decodeSse>): StreamEvent[] {
  return [...events.flatMap((event) => decoder.push(event)), ...decoder.end()];
}

const eventsOf = (dialect: WireDialect, bytes: Uint8Array, seal?: string): StreamEvent[] =>
  decodeWith(dialect.decodeStream(seal), decodeSse(bytes));

function folding(events: readonly StreamEvent[]): StreamAccumulator {
  const folded = new StreamAccumulator();
  for (const event of events) folded.push(event);
  return folded;
}

function responseOf(dialect: WireDialect, { body, sse }: Recording): ModelResponse | undefined {
  return sse === undefined ? dialect.decodeResponse(body!) : folding(eventsOf(dialect, encodeUtf8(sse))).response;
}

/** The message as it came from another wire: the same views of items that cannot be said here. */
const foreignTo =
  (home: Dialect) =>
  (message: Message): Message => {
    const dialect: Dialect = home === "native" ? "anthropic" : "native";
    const { native: _, ...view } = message;
    const blocks = message.blocks.map((block) =>
      block.native === undefined ? block : { ...block, native: { ...block.native, dialect } },
    );
    return { ...view, blocks };
  };

/** Only text, calls and text results: what every wire can say. */
const isPlain = (message: Message): boolean =>
  message.blocks.every((block) =>
    block.kind === "tool_result"
      ? block.content.every(({ kind }) => kind === "text")
      : block.kind === "text" || block.kind === "tool_call",
  );

const isCut = ({ blocks }: Message): boolean =>
  blocks.some((block) => block.kind === "tool_call" && tryParseJson(block.arguments || "{}") === undefined);

/** Ends that not every wire has a word for. */
const UNNAMED = new Set(["other", "pause", "refusal"]);

/** What an answer says, without its layout. */
function saidBy({ messages, finish, usage: { native: _, ...usage } }: ModelResponse): unknown {
  const blocks = messages.flatMap((message) => message.blocks);
  const texts = blocks.flatMap((block) => (block.kind === "text" ? [block.text] : [])).join("");
  const calls = blocks.flatMap((block) =>
    block.kind === "tool_call" ? [[block.id, block.name, block.arguments.trim() || "{}"]] : [],
  );
  return { texts, calls, finish: UNNAMED.has(finish.reason) ? "stop" : finish.reason, usage };
}

function withoutModel(value: JsonObject, request: JsonObject): JsonObject {
  const { model: _, ...rest } = value;
  expect(rest).toEqual(request);
  return value;
}

function describeFailure(cause: unknown): string {
  const { message, expected, actual } = cause as { message?: string; expected?: unknown; actual?: unknown };
  const values =
    expected === undefined ? "" : `\n  expected ${JSON.stringify(expected)}\n  actual   ${JSON.stringify(actual)}`;
  return `${message ?? String(cause)}${values}`;
}
