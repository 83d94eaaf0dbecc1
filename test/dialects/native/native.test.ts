import { describe, expect, it } from "vitest";
import { StreamAccumulator } from "../../../src/canonical/accumulator.ts";
import { GatewayError } from "../../../src/canonical/error.ts";
import { hashAfter } from "../../../src/canonical/turn-hash.ts";
import type { Block, Message, ModelResponse, StreamEvent } from "../../../src/canonical/types.ts";
import type { WireDialect } from "../../../src/dialects/dialect.ts";
import { DIALECTS } from "../../../src/dialects/index.ts";
import { native } from "../../../src/dialects/native/index.ts";
import { encodeUtf8 } from "../../../src/wire/bytes.ts";
import { isObject, type Json, type JsonObject } from "../../../src/wire/json.ts";
import { decodeSse } from "../../../src/wire/sse.ts";
import { recordings } from "../../support/recordings.ts";

/** Blocks hold what any wire can say: what goes through them comes back as it was. */
const HOME = { dialect: native.id, model: "m" };
/** What OpenAI's wires alone have. Its loss is reported. */
const OF_OPENAI = new Set(["n", "verbosity", "prompt_cache_retention", "prompt_cache_options", "moderation"]);
const OTHERS = Object.values(DIALECTS).filter(({ id }) => id !== native.id);

describe.each(OTHERS.map((wire) => [wire.id, wire] as const))("%s through blocks", (_, wire) => {
  const all = recordings(wire.id);
  const requests = all.flatMap(({ request, status }) => (request !== undefined && status === 200 ? [request] : []));
  const wholes = all.flatMap(({ body, status }) => (body !== undefined && status === 200 ? [body] : []));
  const streams = all.flatMap(({ sse }) => (sse === undefined ? [] : [sse]));

  it(`${requests.length} transcripts have the same content and seals after their way through blocks`, () => {
    for (const request of requests) {
      const messages = messagesIn(wire, request);
      const through = native.decodeMessages(native.encodeMessages(messages, HOME).value);
      expect(hashAfter("", through)).toBe(hashAfter("", messages));
      expect(through.flatMap(({ blocks }) => blocks).map(essence)).toEqual(
        messages.flatMap(({ blocks }) => blocks).map(essence),
      );
    }
  });

  it(`an item that only ${wire.id} can read is the same after its way through blocks`, () => {
    for (const request of requests) {
      const messages = messagesIn(wire, request);
      const through = native.decodeMessages(native.encodeMessages(messages, HOME).value);
      const target = { dialect: wire.id, model: "m", issuer: "home" };
      const text = JSON.stringify(wire.encodeMessages(through, target).value);
      for (const { native } of messages.flatMap(({ blocks }) => blocks).filter(isCarried))
        expect(text).toContain(JSON.stringify(native!.item).slice(1, -1));
    }
  });

  it(`${requests.length} requests ask for the same after their way through blocks`, () => {
    for (const body of requests) {
      const { rest: _, ...request } = wire.decodeRequest(body, { model: "m", stream: true });
      const { value, losses } = native.encodeRequest(request, HOME);
      expect(losses.filter(({ at }) => !OF_OPENAI.has(at))).toEqual([]);
      const { rest: __, messages: ___, model: ____, ...again } = native.decodeRequest(value);
      const { messages: _____, model: ______, sampling, tools: _______, shared: ________, ...asked } = request;
      expect(again).toMatchObject(asked);
      expect(again.sampling ?? {}).toMatchObject(shared(sampling ?? {}));
      expect(again.tools?.length).toBe(request.tools?.length);
    }
  });

  it(`${wholes.length} answers and ${streams.length} streams have the same content in blocks, whole and streamed`, () => {
    const answers = [
      ...wholes.map((body) => wire.decodeResponse(body, "home")),
      ...streams.flatMap((sse) => folded(heard(wire, sse)).response ?? []),
    ];
    for (const answer of answers) {
      const whole = native.decodeResponse(native.encodeResponse(answer, { created: 1 }));
      expect(saidBy(whole)).toEqual(saidBy(answer));
    }
    for (const sse of streams) {
      const events = heard(wire, sse);
      const encoder = native.encodeStream({ created: 1 });
      const text = events.map((event) => encoder.push(event)).join("");
      const { response, error } = folded(heard(native, text));
      const said = folded(events);
      expect(response && saidBy(inTheEnd(response))).toEqual(said.response && saidBy(said.response));
      expect(error?.message).toBe(said.error?.message);
    }
  });

  it("the events of a native stream are numbered from 1 without a gap", () => {
    for (const sse of streams) {
      const encoder = native.encodeStream({ created: 1 });
      const text = heard(wire, sse).map((event) => encoder.push(event));
      const told = decodeSse(encodeUtf8(text.join(""))).map(({ id, event, data }) => {
        const said = JSON.parse(data!) as { type: string; event_id: number };
        expect(said.type).toBe(event);
        expect(String(said.event_id)).toBe(id);
        return said.event_id;
      });
      expect(told).toEqual(told.map((_, i) => i + 1));
    }
  });
});

it("a native error has every known detail of the failure", () => {
  const upstream = { status: 429, type: "rate_limit_error", code: "tokens", requestId: "req_1" };
  const error = new GatewayError("rate.limited", "slower", { retryAfterSeconds: 7, param: "model", upstream });
  expect(native.encodeError(error, "call_1")).toEqual({
    error: {
      code: "rate.limited",
      message: "slower",
      retryable: true,
      details: {
        param: "model",
        retry_after_s: 7,
        upstream: { status: 429, type: "rate_limit_error", code: "tokens", request_id: "req_1" },
      },
      request_id: "call_1",
    },
  });
  const again = native.decodeError(429, JSON.stringify(native.encodeError(error, "call_1")));
  expect(again).toMatchObject({ code: "rate.limited", message: "slower", retryAfterSeconds: 7, param: "model" });
});

function messagesIn(wire: WireDialect, request: JsonObject): Message[] {
  const items = request[wire.layout.items];
  return Array.isArray(items) ? wire.decodeMessages(items, "home") : [];
}

/** A block without the item it came from, where that says no more than the block. */
function essence(block: Block): Json {
  const { native, isIdAssigned: _, unshared: __, ...view } = { isIdAssigned: undefined, ...block };
  const content = block.kind === "tool_result" ? { content: block.content.map(essence) } : {};
  const kept = isCarried(block) && native !== undefined ? { native } : {};
  return JSON.parse(JSON.stringify({ ...view, ...content, ...kept })) as Json;
}

const isCarried = (block: Block): boolean =>
  block.native !== undefined &&
  (block.native.seal !== undefined || block.kind === "thinking" || block.kind === "opaque");

/** `call.completed` has the whole output again, natives included. */
function inTheEnd(response: ModelResponse): ModelResponse {
  const output = response.messages.flatMap(({ native }) => (native === undefined ? [] : [native.item]));
  return { ...response, messages: native.decodeMessages(output) };
}

const shared = ({ n: _, ...sampling }: object & { n?: unknown }): object => sampling;

function heard(wire: WireDialect, sse: string): StreamEvent[] {
  const decoder = wire.decodeStream("home");
  return [...decodeSse(encodeUtf8(sse)).flatMap((event) => decoder.push(event)), ...decoder.end()];
}

function folded(events: readonly StreamEvent[]): StreamAccumulator {
  const fold = new StreamAccumulator();
  for (const event of events) fold.push(event);
  return fold;
}

function saidBy({ messages, finish, usage: { native: _, ...usage } }: ModelResponse): unknown {
  const blocks = messages.flatMap((message) => message.blocks).map(essence);
  return { blocks, finish: finish.reason, usage, isObject: blocks.every(isObject) };
}
