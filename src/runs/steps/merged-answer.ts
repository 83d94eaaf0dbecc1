import { StreamAccumulator } from "../../canonical/accumulator.ts";
import type { GatewayError } from "../../canonical/error.ts";
import { endOf, type MergeOptions, StepMerger } from "../../canonical/step-merger.ts";
import type { Opaque, StreamEvent } from "../../canonical/types.ts";
import type { ReplyContext } from "../../dialects/dialect.ts";
import type { CallLog } from "../../gateway/call/call-log.ts";
import type { Call } from "../../gateway/call/call.ts";
import { clientCopyOf, toReplyContext, type UpstreamCall } from "../../gateway/call/upstream-call.ts";
import { keepAlive } from "../../gateway/output/keep-alive.ts";
import { createReplyOutput, type ReplyOutput } from "../../gateway/output/recorder.ts";
import { respondWithin } from "../../gateway/reply/early-response.ts";
import { buildErrorResponse, EVENT_STREAM, withHeaders } from "../../gateway/reply/headers.ts";
import { encodeWhole } from "../../gateway/reply/reply.ts";
import { TranslationWriter } from "../../gateway/reply/writers.ts";
import type { SessionHost } from "../../gateway/session/call-runs.ts";
import { NO_EVENT } from "../../gateway/upstream/stream-reader.ts";
import type { CallRecord } from "../../store/records.ts";
import type { ParsedRequest } from "../../surfaces/request.ts";
import { withPrefix } from "../../wire/id.ts";
import type { StepReceiver } from "./step-form.ts";

/** The client's call and its request, without the tools that the gateway adds. `onClientLeft`: its client has left the stream. */
type AnsweredCall = {
  call: Call;
  request: ParsedRequest;
  host: SessionHost;
  merging: MergeOptions;
  onClientLeft: () => void;
};

/** A stream that has started. */
type OpenStream = { writer: TranslationWriter; output: ReplyOutput; alive: ReturnType<typeof keepAlive> };

/** The one answer that a client gets to its call, out of the answers of the steps of a run. */
export class MergedAnswer implements StepReceiver {
  readonly #parts: AnsweredCall;
  readonly #merger: StepMerger;
  readonly #merged = new StreamAccumulator();
  readonly #outcome = Promise.withResolvers<{ response: Response; error?: GatewayError }>();
  #first: { call: UpstreamCall; log: CallLog } | undefined;
  #log: CallLog | undefined;
  #stream: OpenStream | undefined;
  #refused: Response | undefined;

  constructor(parts: AnsweredCall) {
    this.#parts = parts;
    this.#merger = new StepMerger(parts.merging);
  }

  /** The client's response: when the answer starts or, if it is no stream, when it is whole. */
  async respond(): Promise<Response> {
    const { call, request, host, onClientLeft } = this.#parts;
    if (!this.#isStreamed) return (await this.#outcome.promise).response;
    return await respondWithin(this.#outcome.promise, {
      surface: request.surface,
      reply: () => toReplyContext({ call, request }),
      headers: idHeaders(call),
      waitUntil: host.lifetime.waitUntil,
      onClientLeft,
    });
  }

  get #isStreamed(): boolean {
    const { request } = this.#parts;
    return request.stream && request.outside.asList !== true;
  }

  /** As encoders need it: the client does not see what was added to its request. */
  get reply(): ReplyContext {
    const { call, request } = this.#parts;
    const { destination, carried } = this.#first?.call ?? {};
    return toReplyContext({ call, request, ...(destination && { destination }), ...(carried && { carried }) });
  }

  open(upstreamCall: UpstreamCall, log: CallLog): void {
    this.#log = log;
    if (this.#first !== undefined) return;
    this.#first = { call: upstreamCall, log };
    if (this.#isStreamed) this.#start(upstreamCall, log);
  }

  #start(upstreamCall: UpstreamCall, log: CallLog): void {
    const { call, request, host, onClientLeft } = this.#parts;
    const surface = request.surface.dialect;
    const writer = new TranslationWriter({
      surface,
      reply: this.reply,
      editor: upstreamCall.shield?.answer.clientEditor(clientCopyOf(upstreamCall)),
      ...(call.annotate && { rhone: log.toRhoneObject() }),
    });
    const output = createReplyOutput(host.store.recorderFor?.(call.id), onClientLeft);
    this.#stream = { writer, output, alive: keepAlive(surface.id, (ping) => output.ping(ping)) };
    this.#resolve(new Response(output.body, { headers: { "content-type": EVENT_STREAM } }));
  }

  push(events: readonly StreamEvent[]): void {
    this.#show(events.flatMap((event) => this.#merger.push(event)));
  }

  /** Shows what is of no step, in front of the first, between two, or behind the last. */
  insert(shown: readonly Opaque[]): void {
    this.#show(shown.flatMap((block) => this.#merger.insert(block)));
  }

  onRefused(response: Response): void {
    this.#refused = response;
  }

  #show(events: readonly StreamEvent[]): void {
    for (const event of events) this.#merged.push(event);
    if (this.#stream === undefined) return;
    this.#stream.alive.onData();
    this.#send(this.#stream.writer.push(NO_EVENT, events));
  }

  #send(bytes: Uint8Array): void {
    const { output, writer } = this.#stream!;
    void output.send(bytes, writer.numberer.takeCount());
  }

  /** The answer is whole, and all of it is durable. `record`: of the last step. `costMicros`: of all. */
  async end(record: CallRecord, costMicros: number): Promise<void> {
    this.#show([endOf(this.#merger)]);
    const rhone = this.#toRhoneObject(record, costMicros);
    if (this.#stream !== undefined) {
      this.#send(this.#stream.writer.end(rhone));
      return await this.#close(this.#stream);
    }
    const { request, host, call } = this.#parts;
    const { call: upstreamCall, log } = this.#first!;
    const answered = { ...upstreamCall, call, request };
    const services = { store: host.store, log };
    this.#resolve(encodeWhole(answered, this.#merged.response!, services, call.annotate ? rhone : undefined));
  }

  /** There is no answer, or not all of it. */
  async fail(error: GatewayError): Promise<void> {
    if (this.#stream !== undefined) {
      this.#send(this.#stream.writer.fail(error));
      return await this.#close(this.#stream);
    }
    const { request, call } = this.#parts;
    this.#resolve(this.#refused ?? buildErrorResponse(request.surface, error, call.id), error);
  }

  async #close({ alive, output }: OpenStream): Promise<void> {
    alive.stop();
    await output.close();
  }

  /** What a failed answer stores of itself. */
  get partial(): { accumulated: StreamAccumulator; reply: ReplyContext } {
    return { accumulated: this.#merged, reply: this.reply };
  }

  /** With the headers of an ordinary call, and the run's id. */
  #resolve(response: Response, error?: GatewayError): void {
    const { call, request } = this.#parts;
    const log = this.#first?.log;
    const upstream = this.#first?.call.upstream.headers;
    const answered = log === undefined ? response : withHeaders(response, { call, request, log }, upstream);
    const headers = new Headers(answered.headers);
    for (const [name, id] of Object.entries(idHeaders(call))) headers.set(name, id);
    this.#outcome.resolve({
      response: new Response(answered.body, { status: answered.status, headers }),
      ...(error && { error }),
    });
  }

  #toRhoneObject(record: CallRecord, costMicros: number): object {
    const { call } = this.#parts;
    return {
      ...this.#log!.toRhoneObject(record),
      turn_id: withPrefix(call.id, "turn"),
      call_id: call.id,
      ...(record.costMicrosUsd !== undefined && { cost_micros_usd: costMicros }),
    };
  }
}

const idHeaders = ({ id, sessionId }: Call): Record<string, string> => ({
  "x-rhone-session-id": sessionId,
  "x-rhone-call-id": id,
  "x-rhone-run-id": withPrefix(id, "run"),
});
