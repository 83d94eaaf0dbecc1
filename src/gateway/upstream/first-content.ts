import { fold } from "../../canonical/accumulator.ts";
import { GatewayError } from "../../canonical/error.ts";
import { findFailure } from "../../canonical/failed-answer.ts";
import { restoreResponse } from "../../canonical/tool-names.ts";
import type { ModelResponse, StreamEvent, Usage } from "../../canonical/types.ts";
import { decodeUtf8 } from "../../wire/bytes.ts";
import { isObject, tryParseJson } from "../../wire/json.ts";
import { decodeSse } from "../../wire/sse.ts";
import { toStreamError } from "../call/stream-errors.ts";
import { isEventStream, type UpstreamCall } from "../call/upstream-call.ts";
import { idleLimit, readAll, readChunks } from "./body-reader.ts";
import { readRefusal } from "./refusal.ts";
import { restoreTools } from "./restore-tools.ts";
import { type ReadEvent, StreamReader } from "./stream-reader.ts";

/** An answer that was accepted from one target: a whole one, or a stream up to its first content. */
export type UpstreamAnswer = WholeAnswer | StartedStream;
/** `bytes`: the body as received. */
export type WholeAnswer = { call: UpstreamCall; bytes: Uint8Array; response: ModelResponse };

/** `chunks`: bytes received so far, none of them sent to the client. `events`: the whole events in these bytes. */
export type StartedStream = { call: UpstreamCall; chunks: Uint8Array[]; events: ReadEvent[]; reader: StreamReader };

/**
 * Limit of the bytes before the first content. The longest known are two echoes of the request in a Responses stream.
 */
const MAX_HELD_BYTES = 8 * 1024 * 1024;

/** Receives the usage of an answer that is discarded and the model's name in it, "" if it has none. */
type OnDiscardedUsage = (usage: Usage, model: string) => void;

/**
 * Reads an upstream's answer up to its first content, or all of it if it is no stream. Until then the call can be sent
 * to another target, as the client has received nothing.
 *
 * Throws the provider's refusal, `EmptyStreamError` if a stream breaks before its content, or
 * `provider.execution_failed` for an unreadable body; `onDiscardedUsage` receives the usage reported by then.
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

/** Reads a stream until an event has content, the answer is complete, or it fails. */
async function readFirstContent(
  upstreamCall: UpstreamCall,
  onDiscardedUsage: OnDiscardedUsage,
): Promise<StartedStream> {
  const { call, dialect, encodeTarget, aliases, host, deadlines } = upstreamCall;
  const reader = new StreamReader(restoreTools(dialect.decodeStream(encodeTarget.issuer, call.id), aliases));
  const started: StartedStream = { call: upstreamCall, chunks: [], events: [], reader };
  const at = host.now() + deadlines.firstContent;
  const what = `the provider sent no content within ${deadlines.firstContent / 1000} s`;
  const whenFailing = idleLimit(upstreamCall, reader);
  const limit = {
    due: (lastReadAt: number) => (reader.isFailing ? whenFailing.due(lastReadAt) : { at, what }),
    isFinished: () => reader.isFailing,
  };
  let size = 0;
  try {
    for await (const chunk of readChunks(upstreamCall, limit)) {
      size += chunk.length;
      if (size > MAX_HELD_BYTES)
        throw new GatewayError("provider.execution_failed", `the provider sent no content in ${size} bytes`);
      const read = reader.push(chunk);
      started.chunks.push(chunk);
      started.events.push(...read);
      if (reader.accumulated.error !== undefined) throw reader.accumulated.error;
      // A failed answer is read to its end: its usage may follow, and nothing of it has been sent.
      if (reader.isFailing) continue;
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

/**
 * A stream broke before its first content. If no other target helps, the error is returned as a stream as well, because
 * the client expects one.
 */
export class EmptyStreamError extends GatewayError {
  constructor(error: GatewayError) {
    super(error.code, error.message, error);
  }
}

/** Whether an event has content. The opening of a text or reasoning block has none yet. */
export const isContent = (event: StreamEvent): boolean => {
  if (event.type === "open") return event.block.kind !== "text" && event.block.kind !== "thinking";
  return event.type === "delta" || event.type === "close" || event.type === "end";
};

/** Reads and decodes a whole answer. */
async function readWhole(upstreamCall: UpstreamCall, onDiscardedUsage: OnDiscardedUsage): Promise<WholeAnswer> {
  const bytes = await readAll(upstreamCall).catch((cause: unknown) => {
    throw toStreamError(cause);
  });
  const response = decodeWhole(upstreamCall, bytes, onDiscardedUsage);
  const failure = findFailure(response);
  if (failure === undefined) return { call: upstreamCall, bytes, response };
  onDiscardedUsage(response.usage, response.model);
  throw failure;
}

/**
 * Decodes a body, also that of a provider that streams although it was not requested to. The body decides on its format:
 * some hosts send JSON or a requested stream under another content type.
 */
function decodeWhole(
  { call, dialect, encodeTarget, aliases, upstream, request }: UpstreamCall,
  bytes: Uint8Array,
  onDiscardedUsage: OnDiscardedUsage,
): ModelResponse {
  const text = decodeUtf8(bytes);
  if (isEventStream(upstream) ? !/^\s*[[{]/.test(text) : request.stream && /^\s*(data|event|id)?:/.test(text)) {
    const decoder = restoreTools(dialect.decodeStream(encodeTarget.issuer, call.id), aliases);
    const events = [...decodeSse(bytes).flatMap((event) => decoder.push(event)), ...decoder.end()];
    return reportUsageOnError(
      () => fold(events),
      () => onDiscardedUsage(decoder.usage, ""),
    );
  }
  const body = tryParseJson(text);
  if (body === undefined) throw new GatewayError("provider.execution_failed", "the provider's answer is not JSON");
  return reportUsageOnError(
    () => restoreResponse(dialect.decodeResponse(body, encodeTarget.issuer, call.id), aliases),
    () => isObject(body) && onDiscardedUsage(dialect.usageOf(body), ""),
  );
}

/** Runs `work`; if it throws, `report` is called before the error is thrown on. */
function reportUsageOnError<T>(work: () => T, report: () => void): T {
  try {
    return work();
  } catch (thrown) {
    report();
    throw thrown;
  }
}
