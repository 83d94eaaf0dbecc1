import { fold } from "../../canonical/accumulator.ts";
import { GatewayError } from "../../canonical/error.ts";
import { findFailure } from "../../canonical/failed-answer.ts";
import type { ModelResponse, StreamEvent, Usage } from "../../canonical/types.ts";
import { concatBytes, decodeUtf8, encodeUtf8, withoutBom } from "../../wire/bytes.ts";
import { isObject, JsonError, tryParseJson } from "../../wire/json.ts";
import { decodeSse } from "../../wire/sse.ts";
import type { CallLog } from "../call/call-log.ts";
import { toStreamError } from "../call/stream-errors.ts";
import { answersJson, isEventStream, type UpstreamCall } from "../call/upstream-call.ts";
import { idleLimit, readAll, readChunks } from "./body-reader.ts";
import { createDecoder, decodeBody } from "./decoders.ts";
import { readRefusal } from "./refusal.ts";
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
  log: CallLog,
  onDiscardedUsage: OnDiscardedUsage,
): Promise<UpstreamAnswer> {
  const { upstream, request } = upstreamCall;
  if (!upstream.ok) throw await readRefusal(upstreamCall, log);
  const isStream =
    request.stream && request.outside.asList !== true && isEventStream(upstream) && upstream.body !== null;
  const answer = isStream
    ? await readFirstContent(upstreamCall, log, onDiscardedUsage)
    : await readWhole(upstreamCall, log, onDiscardedUsage);
  const response = "response" in answer ? answer.response : answer.reader.accumulated.response;
  await upstreamCall.shield?.judgeAnswer(response?.messages ?? []).catch((denied: unknown) => {
    if (response !== undefined) onDiscardedUsage(response.usage, response.model);
    throw denied;
  });
  return answer;
}

/**
 * Reads a stream until an event has content, the answer is complete, or it fails. JSON under the content type of a stream
 * is a whole answer.
 */
async function readFirstContent(
  upstreamCall: UpstreamCall,
  log: CallLog,
  onDiscardedUsage: OnDiscardedUsage,
): Promise<UpstreamAnswer> {
  const { limits } = upstreamCall;
  const reader = new StreamReader(
    createDecoder(upstreamCall),
    upstreamCall.shield?.answer.editor(answersJson(upstreamCall)),
  );
  const started: StartedStream = { call: upstreamCall, chunks: [], events: [], reader };
  const at = limits.now() + limits.firstContent;
  const what = `the provider sent no content within ${Math.round(limits.firstContent / 100) / 10} s`;
  const whenFailing = idleLimit(upstreamCall, reader);
  const isFailing = (): boolean => reader.isFailing || reader.hasFailed;
  // A failed answer is read to its end: its usage may follow, and nothing of it has been sent. A judged one is judged whole.
  const isAwaited = (): boolean => isFailing() || upstreamCall.shield?.judgesAnswers === true;
  const limit = {
    due: (lastReadAt: number) => (isFailing() ? whenFailing.due(lastReadAt) : { at, what }),
    isFinished: isFailing,
  };
  let size = 0;
  try {
    for await (const chunk of readChunks(upstreamCall, log, limit)) {
      size += chunk.length;
      if (size > MAX_HELD_BYTES)
        throw new GatewayError("provider.execution_failed", `the provider sent no content in ${size} bytes`);
      const read = reader.push(chunk);
      started.chunks.push(chunk);
      started.events.push(...read);
      if (isAwaited()) continue;
      if (reader.isFinished || read.some(({ decoded }) => decoded.some(isContent))) return started;
    }
    const bytes = concatBytes(started.chunks);
    if (isJson(bytes)) return toWholeAnswer(upstreamCall, bytes, onDiscardedUsage);
    started.events.push(...reader.end());
    if (reader.accumulated.error !== undefined) throw reader.accumulated.error;
    return started;
  } catch (thrown) {
    if (Object.keys(reader.usage).length > 0) onDiscardedUsage(reader.usage, reader.accumulated.model);
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
async function readWhole(
  upstreamCall: UpstreamCall,
  log: CallLog,
  onDiscardedUsage: OnDiscardedUsage,
): Promise<WholeAnswer> {
  const bytes = await readAll(upstreamCall, log).catch((cause: unknown) => {
    throw toStreamError(cause);
  });
  return toWholeAnswer(upstreamCall, bytes, onDiscardedUsage);
}

/**
 * The answer of a whole body. The body decides on its format: some hosts send JSON or a stream under another content type.
 */
function toWholeAnswer(upstreamCall: UpstreamCall, body: Uint8Array, onDiscardedUsage: OnDiscardedUsage): WholeAnswer {
  const { upstream } = upstreamCall;
  const bytes = screenWhole(withoutBom(body), upstreamCall, onDiscardedUsage);
  const isStream = isEventStream(upstream) ? !isJson(bytes) : /^\s*(data|event|id|retry)?:/.test(decodeUtf8(bytes));
  const isLabelled = isStream === isEventStream(upstream);
  const call = isLabelled ? upstreamCall : { ...upstreamCall, upstream: relabel(upstream, isStream) };
  const response = decodeWhole(call, bytes, onDiscardedUsage);
  const failure = findFailure(response);
  if (failure === undefined) return { call, bytes, response };
  onDiscardedUsage(response.usage, response.model);
  throw failure;
}

/** A whole answer behind the shield, also one that is the events of a stream. What is denied has been paid for all the same. */
function screenWhole(body: Uint8Array, upstreamCall: UpstreamCall, onDiscardedUsage: OnDiscardedUsage): Uint8Array {
  const { shield } = upstreamCall;
  if (shield?.answer.isChanged !== true) return body;
  const answers = answersJson(upstreamCall);
  const editor = shield.answer.editor(answers)!;
  try {
    if (isJson(body)) return encodeUtf8(shield.answer.screen(decodeUtf8(body), answers));
    const events = [...decodeSse(body).flatMap((event) => editor.push(event)), ...editor.end()];
    return concatBytes(events.map(({ raw }) => raw));
  } catch (thrown) {
    // What is no JSON is refused where it is decoded.
    if (thrown instanceof JsonError) return body;
    const json = tryParseJson(decodeUtf8(body));
    if (isObject(json)) onDiscardedUsage(upstreamCall.destination.dialect.usageOf(json), "");
    throw thrown;
  }
}

/** Whether a body can only be JSON: no line of a stream starts so. */
const isJson = (bytes: Uint8Array): boolean => /^\uFEFF?\s*[[{]/.test(decodeUtf8(bytes));

/** The upstream's response with the content type of what its body is. */
function relabel(upstream: Response, isStream: boolean): Response {
  const headers = new Headers(upstream.headers);
  headers.set("content-type", isStream ? "text/event-stream" : "application/json");
  return new Response(null, { headers });
}

/** Decodes a body by the content type of the upstream's response. */
function decodeWhole(upstreamCall: UpstreamCall, bytes: Uint8Array, onDiscardedUsage: OnDiscardedUsage): ModelResponse {
  const text = decodeUtf8(bytes);
  if (isEventStream(upstreamCall.upstream)) {
    const decoder = createDecoder(upstreamCall);
    const events = [...decodeSse(bytes).flatMap((event) => decoder.push(event)), ...decoder.end()];
    return reportUsageOnError(
      () => fold(events),
      () => onDiscardedUsage(decoder.usage, ""),
    );
  }
  const body = tryParseJson(text);
  if (body === undefined) throw new GatewayError("provider.execution_failed", "the provider's answer is not JSON");
  return reportUsageOnError(
    () => decodeBody(upstreamCall, body),
    () => isObject(body) && onDiscardedUsage(upstreamCall.destination.dialect.usageOf(body), ""),
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
