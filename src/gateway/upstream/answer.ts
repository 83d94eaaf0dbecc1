import { GatewayError } from "../../canonical/error.ts";
import { fold } from "../../canonical/accumulator.ts";
import type { ModelResponse, StreamEvent, Usage } from "../../canonical/types.ts";
import { decodeUtf8 } from "../../wire/bytes.ts";
import { isObject, tryParseJson } from "../../wire/json.ts";
import { decodeSse } from "../../wire/sse.ts";
import { type Answering, isEventStream } from "../reply/settle.ts";
import { brokenOff, type Heard, Hearing } from "./stream-reader.ts";
import { refusal } from "./refusal.ts";
import { bytesOf, chunksOf } from "./read.ts";

/** An answer that is this target's from here on: all of it, or a stream up to its first content. */
export type Reached = Whole | Begun;
export type Whole = { answering: Answering; bytes: Uint8Array; response: ModelResponse };

/** `chunks`: what has come so far and no client has seen; `heard`: the same as events, but for the last one's beginning. */
export type Begun = { answering: Answering; chunks: Uint8Array[]; heard: Heard[]; hearing: Hearing };

/** More than any provider says before its first word, a Responses stream's two echoes of the request included. */
const MAX_HELD_BYTES = 8 * 1024 * 1024;

/** What a provider has counted of an answer that is none, and the model as it names itself; "" where it did not. */
export type Counted = (usage: Usage, model: string) => void;

/**
 * Holds an upstream's answer back until it is one. Throws what is wrong with it: then nothing of it was said to anyone,
 * and `counted` has been told what it came to.
 */
export async function reach(answering: Answering, counted: Counted): Promise<Reached> {
  const { upstream, asked } = answering;
  if (!upstream.ok) throw await refusal(answering);
  const isStream = asked.stream && asked.outside.asList !== true && isEventStream(upstream) && upstream.body !== null;
  return isStream ? await begin(answering, counted) : await read(answering, counted);
}

async function begin(answering: Answering, counted: Counted): Promise<Begun> {
  const { dialect, target, host, deadlines } = answering;
  const hearing = new Hearing(dialect.decodeStream(target.issuer));
  const begun: Begun = { answering, chunks: [], heard: [], hearing };
  const at = host.now() + deadlines.firstContent;
  const what = `the provider said no word within ${deadlines.firstContent / 1000} s`;
  let size = 0;
  try {
    for await (const chunk of chunksOf(answering, { due: () => ({ at, what }), isFinished: () => false })) {
      size += chunk.length;
      if (size > MAX_HELD_BYTES)
        throw new GatewayError("provider.execution_failed", `the provider said no word in ${size} bytes`);
      const heard = hearing.push(chunk);
      begun.chunks.push(chunk);
      begun.heard.push(...heard);
      if (hearing.folded.error !== undefined) throw hearing.folded.error;
      if (hearing.isFinished || heard.some(({ decoded }) => decoded.some(isContent))) return begun;
    }
    begun.heard.push(...hearing.end());
    if (hearing.folded.error !== undefined) throw hearing.folded.error;
    return begun;
  } catch (thrown) {
    counted(hearing.counted, hearing.folded.model);
    throw new Wordless(brokenOff(thrown));
  }
}

/** A stream that broke off before its first word. When no other target helps, it is told where it happened: in a stream. */
export class Wordless extends GatewayError {
  constructor(error: GatewayError) {
    super(error.code, error.message, error);
  }
}

/** Something of the answer itself. That a text or a thought begins says nothing yet. */
const isContent = (event: StreamEvent): boolean => {
  if (event.type === "open") return event.block.kind !== "text" && event.block.kind !== "thinking";
  return event.type === "delta" || event.type === "close" || event.type === "end";
};

async function read(answering: Answering, counted: Counted): Promise<Whole> {
  const bytes = await bytesOf(answering).catch((cause: unknown) => {
    throw brokenOff(cause);
  });
  return { answering, bytes, response: wholeResponse(answering, bytes, counted) };
}

/** A host that streams unasked is understood all the same. */
function wholeResponse({ dialect, target, upstream }: Answering, bytes: Uint8Array, counted: Counted): ModelResponse {
  if (isEventStream(upstream)) {
    const decoder = dialect.decodeStream(target.issuer);
    const events = [...decodeSse(bytes).flatMap((event) => decoder.push(event)), ...decoder.end()];
    return orCounted(
      () => fold(events),
      () => counted(decoder.usage, ""),
    );
  }
  const body = tryParseJson(decodeUtf8(bytes));
  if (body === undefined) throw new GatewayError("provider.execution_failed", "the provider's answer is not JSON");
  return orCounted(
    () => dialect.decodeResponse(body, target.issuer),
    () => isObject(body) && counted(dialect.usageOf(body), ""),
  );
}

/** What is no answer is counted on the way out. */
function orCounted<T>(work: () => T, count: () => void): T {
  try {
    return work();
  } catch (thrown) {
    count();
    throw thrown;
  }
}
