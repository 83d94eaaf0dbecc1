import { GatewayError } from "../../canonical/error.ts";
import { fold } from "../../canonical/accumulator.ts";
import type { ModelResponse, StreamEvent, Usage } from "../../canonical/types.ts";
import { decodeUtf8 } from "../../wire/bytes.ts";
import { isObject, tryParseJson } from "../../wire/json.ts";
import { decodeSse } from "../../wire/sse.ts";
import { type ReadEvent, StreamReader } from "./stream-reader.ts";
import { readRefusal } from "./refusal.ts";
import { readAll, readChunks } from "./read.ts";
import { toStreamError } from "../call/endings.ts";
import { type UpstreamCall, isEventStream } from "../call/upstream-call.ts";

/** An answer that is this target's from here on: all of it, or a stream up to its first content. */
export type UpstreamAnswer = WholeAnswer | StartedStream;
export type WholeAnswer = { call: UpstreamCall; bytes: Uint8Array; response: ModelResponse };

/** `chunks`: what has come so far and no client has seen; `heard`: the same as events, but for the last one's beginning. */
export type StartedStream = { call: UpstreamCall; chunks: Uint8Array[]; events: ReadEvent[]; reader: StreamReader };

/** More than any provider says before its first word, a Responses stream's two echoes of the request included. */
const MAX_HELD_BYTES = 8 * 1024 * 1024;

/** What a provider has counted of an answer that is none, and the model as it names itself; "" where it did not. */
export type OnDiscardedUsage = (usage: Usage, model: string) => void;

/**
 * Holds an upstream's answer back until it is one. Throws what is wrong with it: then nothing of it was said to anyone,
 * and `counted` has been told what it came to.
 */
export async function awaitFirstContent(
  upstreamCall: UpstreamCall,
  onDiscardedUsage: OnDiscardedUsage,
): Promise<UpstreamAnswer> {
  const { upstream, request } = upstreamCall;
  if (!upstream.ok) throw await readRefusal(upstreamCall);
  const isStream =
    request.stream && request.outside.asList !== true && isEventStream(upstream) && upstream.body !== null;
  return isStream
    ? await readFirstContent(upstreamCall, onDiscardedUsage)
    : await readWhole(upstreamCall, onDiscardedUsage);
}

async function readFirstContent(
  upstreamCall: UpstreamCall,
  onDiscardedUsage: OnDiscardedUsage,
): Promise<StartedStream> {
  const { dialect, encodeTarget, host, deadlines } = upstreamCall;
  const reader = new StreamReader(dialect.decodeStream(encodeTarget.issuer));
  const started: StartedStream = { call: upstreamCall, chunks: [], events: [], reader };
  const at = host.now() + deadlines.firstContent;
  const what = `the provider said no word within ${deadlines.firstContent / 1000} s`;
  let size = 0;
  try {
    for await (const chunk of readChunks(upstreamCall, { due: () => ({ at, what }), isFinished: () => false })) {
      size += chunk.length;
      if (size > MAX_HELD_BYTES)
        throw new GatewayError("provider.execution_failed", `the provider said no word in ${size} bytes`);
      const read = reader.push(chunk);
      started.chunks.push(chunk);
      started.events.push(...read);
      if (reader.accumulated.error !== undefined) throw reader.accumulated.error;
      if (reader.isFinished || read.some(({ decoded }) => decoded.some(isContent))) return started;
    }
    started.events.push(...reader.end());
    if (reader.accumulated.error !== undefined) throw reader.accumulated.error;
    return started;
  } catch (thrown) {
    onDiscardedUsage(reader.usage, reader.accumulated.model);
    throw new EmptyStreamError(toStreamError(thrown));
  }
}

/** A stream that broke off before its first word. When no other target helps, it is told where it happened: in a stream. */
export class EmptyStreamError extends GatewayError {
  constructor(error: GatewayError) {
    super(error.code, error.message, error);
  }
}

/** Something of the answer itself. That a text or a thought begins says nothing yet. */
const isContent = (event: StreamEvent): boolean => {
  if (event.type === "open") return event.block.kind !== "text" && event.block.kind !== "thinking";
  return event.type === "delta" || event.type === "close" || event.type === "end";
};

async function readWhole(upstreamCall: UpstreamCall, onDiscardedUsage: OnDiscardedUsage): Promise<WholeAnswer> {
  const bytes = await readAll(upstreamCall).catch((cause: unknown) => {
    throw toStreamError(cause);
  });
  return { call: upstreamCall, bytes, response: decodeWhole(upstreamCall, bytes, onDiscardedUsage) };
}

/** A host that streams unasked is understood all the same. */
function decodeWhole(
  { dialect, encodeTarget, upstream }: UpstreamCall,
  bytes: Uint8Array,
  onDiscardedUsage: OnDiscardedUsage,
): ModelResponse {
  if (isEventStream(upstream)) {
    const decoder = dialect.decodeStream(encodeTarget.issuer);
    const events = [...decodeSse(bytes).flatMap((event) => decoder.push(event)), ...decoder.end()];
    return reportingUsage(
      () => fold(events),
      () => onDiscardedUsage(decoder.usage, ""),
    );
  }
  const body = tryParseJson(decodeUtf8(bytes));
  if (body === undefined) throw new GatewayError("provider.execution_failed", "the provider's answer is not JSON");
  return reportingUsage(
    () => dialect.decodeResponse(body, encodeTarget.issuer),
    () => isObject(body) && onDiscardedUsage(dialect.usageOf(body), ""),
  );
}

/** What is no answer is counted on the way out. */
function reportingUsage<T>(work: () => T, count: () => void): T {
  try {
    return work();
  } catch (thrown) {
    count();
    throw thrown;
  }
}
