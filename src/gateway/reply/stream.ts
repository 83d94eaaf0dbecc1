import { StreamAccumulator, unfold } from "../../canonical/accumulator.ts";
import type { GatewayError } from "../../canonical/error.ts";
import type { ModelResponse } from "../../canonical/types.ts";
import type { CallRecord } from "../../store/records.ts";
import { concatBytes } from "../../wire/bytes.ts";
import type { CallLog } from "../call/call-log.ts";
import { CANCELLED, CLIENT_LEFT, toStreamError } from "../call/stream-errors.ts";
import {
  clientCopyOf,
  findUsageOption,
  passesBytes,
  toReplyContext,
  type UpstreamCall,
} from "../call/upstream-call.ts";
import { keepAlive } from "../output/keep-alive.ts";
import { createReplyOutput, type ReplyOutput } from "../output/recorder.ts";
import { isContent, type StartedStream } from "../upstream/first-content.ts";
import { type AnswerPart, readWithRecovery } from "./answer-parts.ts";
import { removeFinishReason } from "./finish-reason.ts";
import { EVENT_STREAM } from "./headers.ts";
import type { Recover } from "./recovery.ts";
import { createResumedEncoder } from "./resumed-encoder.ts";
import { publishResponseId, type ReplyServices, settle, settleBroken, toStorageError } from "./settle.ts";
import { type EventWriter, RelayWriter, TranslationWriter, type WriterOptions } from "./writers.ts";

/**
 * Answers with a stream whose events all pass through JavaScript: each is decoded, and the stream's end is held back
 * until the turn is durable. `recover`: continues the answer at another target after a break.
 */
export function streamReply(started: StartedStream, services: ReplyServices, recover?: Recover): Response {
  services.log.addLosses(started.reader.accumulated.losses);
  const reply = new StreamedReply(started, services);
  services.lifetime.waitUntil(reply.run(recover));
  return new Response(reply.body, { headers: { "content-type": EVENT_STREAM } });
}

/** One streamed reply: sends the answer, settles, then sends the end, or the error. */
class StreamedReply {
  readonly #started: StartedStream;
  readonly #services: ReplyServices;
  readonly #output: ReplyOutput;
  #writer: EventWriter;
  /** The call whose answer is being read: another target's after a break. */
  #call: UpstreamCall;

  constructor(started: StartedStream, services: ReplyServices) {
    this.#started = started;
    this.#services = services;
    this.#writer = createWriter(started, services.log);
    this.#call = started.call;
    const { call, request } = started.call;
    this.#output = createReplyOutput(services.store.recorderFor?.(call.id), () => {
      if (request.rhone.on_disconnect === "cancel") this.#call.cancel();
    });
  }

  get body(): ReadableStream<Uint8Array> {
    return this.#output.body;
  }

  async run(recover: Recover | undefined): Promise<void> {
    const { log } = this.#services;
    const timer = keepAlive(this.#started.call.request.surface.dialect.id, (ping) => this.#output.ping(ping));
    try {
      await readToEnd(this.#started, recover, this.#services, {
        hasLeft: () => this.#output.isGone,
        onPart: async (part) => {
          timer.onData();
          this.#call = part.call;
          if (part.isJoined) this.#writer = this.#writer.withoutBytes();
          await this.#send(encodeEvents(part, this.#writer, this.#services));
        },
        onEnd: (record) => this.#send(this.#writer.end(log.toRhoneObject(record))),
        onError: (error) => this.#send(this.#writer.fail(error)),
      });
    } finally {
      timer.stop();
      await this.#output.close();
    }
  }

  async #send(bytes: Uint8Array): Promise<void> {
    await this.#output.send(bytes, this.#writer.numberer.takeCount());
  }
}

/** What gets a streamed answer. `hasLeft`: nothing reads it any more. `onEnd`: all of it is durable. */
export type AnswerReceiver = {
  hasLeft?: () => boolean;
  onPart: (part: AnswerPart) => Promise<void> | void;
  onEnd: (record: CallRecord) => Promise<void> | void;
  onError: (error: GatewayError) => Promise<void> | void;
};

/** Reads a streamed answer to its end and settles it or, after an error, what was received of it. */
export async function readToEnd(
  started: StartedStream,
  recover: Recover | undefined,
  services: ReplyServices,
  receiver: AnswerReceiver,
): Promise<void> {
  const { log } = services;
  const findEnd = (): GatewayError | undefined => findEarlyEnd(started.call, services, receiver);
  let last: Pick<AnswerPart, "call" | "response"> = started;
  try {
    const hasEndedEarly = (): boolean => findEnd() !== undefined;
    for await (const part of readWithRecovery(started, recover, { log, hasEndedEarly })) {
      last = part;
      await receiver.onPart(part);
    }
    const earlyEnd = findEnd();
    if (earlyEnd !== undefined) throw earlyEnd;
    const record = await settle(last.call, last.response!, services).catch((cause: unknown) => {
      throw toStorageError(cause);
    });
    await receiver.onEnd(record);
  } catch (thrown) {
    const cause = findEnd() ?? toStreamError(thrown);
    await settlePart(started, last, cause, services);
    await receiver.onError(cause);
  }
}

/**
 * Why an answer ends before its provider's does: cancellation, or a client that left with `on_disconnect: "cancel"`.
 */
function findEarlyEnd(
  { request }: UpstreamCall,
  { lifetime: { cancelled, clientLeft } }: ReplyServices,
  { hasLeft }: AnswerReceiver,
): GatewayError | undefined {
  if (cancelled?.aborted) return CANCELLED;
  const isLeft = hasLeft?.() === true || clientLeft?.aborted === true;
  return isLeft && request.rhone.on_disconnect === "cancel" ? CLIENT_LEFT : undefined;
}

/** Records what was received of an answer that has ended with an error. `last`: its last part. */
async function settlePart(
  started: StartedStream,
  { call, response }: Pick<AnswerPart, "call" | "response">,
  cause: GatewayError,
  services: ReplyServices,
): Promise<void> {
  const { log } = services;
  call.cancel();
  const isJoined = log.isRecovered && response !== undefined;
  const [broken, received] = isJoined
    ? [call, { accumulated: accumulate(response), usage: response.usage }]
    : [started.call, started.reader];
  // After a failed recovery, the received text is the first target's, so the record names that one.
  log.nameTarget(broken.destination.target);
  // If the failure cannot be recorded, the session's watchdog finds the call; the client receives the error either
  // way.
  await settleBroken(broken, cause, received, services).catch(() => {});
}

/** A whole answer as if it had just been read. */
function accumulate(response: ModelResponse): StreamAccumulator {
  const accumulated = new StreamAccumulator();
  for (const event of unfold(response)) accumulated.push(event);
  return accumulated;
}

/** The client's bytes of a part, for one write. */
function encodeEvents({ call, events }: AnswerPart, writer: EventWriter, services: ReplyServices): Uint8Array {
  const parts = events.map(({ event, decoded, isFinishing, isFailing, isBehindEnd }) => {
    if (isBehindEnd) return NOTHING;
    for (const one of decoded) if (one.type === "start") publishResponseId(call, one.id, services);
    // The content of the failing event is sent; the word for the failure is held back and gives way to the error.
    if (isFailing && decoded.some(isContent)) return writer.push(removeFinishReason(event), decoded, false);
    return writer.push(event, decoded, isFinishing);
  });
  return concatBytes(parts);
}

const NOTHING = new Uint8Array(0);

/**
 * Whether a stream of the client's dialect has to be encoded anew, because it has no start from which clients read the id
 * of the response (Responses). A stream that the client wants unchanged has not.
 */
export const lacksStart = ({ call: { call, request }, reader }: StartedStream): boolean =>
  call.annotate && request.surface.dialect.complete !== undefined && reader.accumulated.id === "";

/** The writer for the first answer: the provider's bytes if the client reads the same dialect, else a translation. */
function createWriter(started: StartedStream, log: CallLog): EventWriter {
  const { call: upstreamCall } = started;
  const options: WriterOptions = {
    surface: upstreamCall.request.surface.dialect,
    reply: toReplyContext(upstreamCall),
    hides: findUsageOption(upstreamCall)?.isUsageEvent,
    editor: upstreamCall.shield?.answer.clientEditor(clientCopyOf(upstreamCall)),
    ...(upstreamCall.call.annotate && { rhone: log.toRhoneObject() }),
  };
  return passesBytes(upstreamCall) && !lacksStart(started)
    ? new RelayWriter(options, (last) => createResumedEncoder(started, last, log))
    : new TranslationWriter(options);
}
