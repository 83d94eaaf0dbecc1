import { StreamAccumulator, unfold } from "../../canonical/accumulator.ts";
import type { GatewayError } from "../../canonical/error.ts";
import type { ModelResponse } from "../../canonical/types.ts";
import { concatBytes } from "../../wire/bytes.ts";
import type { CallLog } from "../call/call-log.ts";
import { CANCELLED, CLIENT_LEFT, toStreamError } from "../call/stream-errors.ts";
import { clientCopyOf, findUsageOption, passesBytes, toReplyContext } from "../call/upstream-call.ts";
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
  /** The last part of the answer; the started stream before the first one. */
  #last: Pick<AnswerPart, "call" | "response">;

  constructor(started: StartedStream, services: ReplyServices) {
    this.#started = started;
    this.#services = services;
    this.#writer = createWriter(started, services.log);
    this.#last = started;
    const { call, request } = started.call;
    this.#output = createReplyOutput(services.store.recorderFor?.(call.id), () => {
      if (request.rhone.on_disconnect === "cancel") this.#last.call.cancel();
    });
  }

  get body(): ReadableStream<Uint8Array> {
    return this.#output.body;
  }

  async run(recover: Recover | undefined): Promise<void> {
    const { log } = this.#services;
    const hasEndedEarly = (): boolean => this.#findEarlyEnd() !== undefined;
    const timer = keepAlive(this.#started.call.request.surface.dialect.id, (ping) => this.#output.ping(ping));
    try {
      for await (const part of readWithRecovery(this.#started, recover, { log, hasEndedEarly })) {
        timer.onData();
        this.#last = part;
        if (part.isJoined) this.#writer = this.#writer.withoutBytes();
        await this.#send(encodeEvents(part, this.#writer, this.#services));
      }
      const earlyEnd = this.#findEarlyEnd();
      if (earlyEnd !== undefined) throw earlyEnd;
      const { call, response } = this.#last;
      const record = await settle(call, response!, this.#services).catch((cause: unknown) => {
        throw toStorageError(cause);
      });
      await this.#send(this.#writer.end(log.toRhoneObject(record)));
    } catch (thrown) {
      await this.#fail(this.#findEarlyEnd() ?? toStreamError(thrown));
    } finally {
      timer.stop();
      await this.#output.close();
    }
  }

  /** Records what the client has received, and sends the error. */
  async #fail(cause: GatewayError): Promise<void> {
    const { log } = this.#services;
    const { call, response } = this.#last;
    call.cancel();
    const isJoined = log.isRecovered && response !== undefined;
    const [broken, received] = isJoined
      ? [call, { accumulated: accumulate(response), usage: response.usage }]
      : [this.#started.call, this.#started.reader];
    // After a failed recovery, the received text is the first target's, so the record names that one.
    log.nameTarget(broken.destination.target);
    // If the failure cannot be recorded, the session's watchdog finds the call; the client receives the error either
    // way.
    await settleBroken(broken, cause, received, this.#services).catch(() => {});
    await this.#send(this.#writer.fail(cause));
  }

  /**
   * Why the reply ends before its provider's answer does: cancellation, or a client that left with `on_disconnect:
   * "cancel"`.
   */
  #findEarlyEnd(): GatewayError | undefined {
    const { cancelled, clientLeft } = this.#services.lifetime;
    if (cancelled?.aborted) return CANCELLED;
    const hasLeft = this.#output.isGone || clientLeft?.aborted === true;
    return hasLeft && this.#started.call.request.rhone.on_disconnect === "cancel" ? CLIENT_LEFT : undefined;
  }

  async #send(bytes: Uint8Array): Promise<void> {
    await this.#output.send(bytes, this.#writer.numberer.takeCount());
  }
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
