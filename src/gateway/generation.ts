import { type GatewayError, unprocessable } from "../canonical/error.ts";
import type { Message } from "../canonical/types.ts";
import type { ReplyContext } from "../dialects/dialect.ts";
import { mayTranslateTools, translatesTools } from "../dialects/fit-tools.ts";
import type { Estimate } from "../keys/budget/grant-pool.ts";
import { loadCatalogue } from "../providers/catalogue.ts";
import { buildRequest, fetchOf } from "../providers/request.ts";
import { attempt } from "../routing/attempt.ts";
import type { Target } from "../routing/locate.ts";
import type { CallStart } from "../session/calls.ts";
import type { Context } from "../session/session.ts";
import type { DiscardedUsage } from "../store/records.ts";
import type { ParsedRequest } from "../surfaces/request.ts";
import { listUnknownMembers } from "../surfaces/unknown-members.ts";
import { appendMember, splice } from "../wire/splice.ts";
import { priceDiscarded } from "./call/attempt-cost.ts";
import { limitAttempt } from "./call/attempt-limits.ts";
import { CallLog } from "./call/call-log.ts";
import type { Call, CallHost } from "./call/call.ts";
import type { Operation } from "./call/operation.ts";
import { toInputStep, toTurnInput } from "./call/turn-input.ts";
import {
  findUsageOption,
  isSameDialect,
  toDestination,
  toReplyContext,
  type UpstreamCall,
} from "./call/upstream-call.ts";
import { type Continued, continueRequest } from "./continued-request.ts";
import { countBytes, estimateGeneration, expectCost } from "./estimate.ts";
import { handleCall } from "./path.ts";
import { type AnswerSink, readStep } from "./read-step.ts";
import type { Recover } from "./reply/recovery.ts";
import { reply } from "./reply/reply.ts";
import { encodeBody, type ProviderBody, spliceBody } from "./request-body.ts";
import { awaitFirstContent, type UpstreamAnswer } from "./upstream/first-content.ts";

/**
 * Handles one generation call and returns the client's response. Every surface uses it, for streamed and for whole
 * answers, in the Worker (stateless) and in a session's Durable Object. Never throws. `sink`: gets the answer instead of a
 * client; the response is then empty, or that of an error.
 */
export async function generate(
  call: Call,
  parsed: ParsedRequest,
  host: CallHost,
  sink?: AnswerSink,
): Promise<Response> {
  const { onDisconnect } = host.router.config.defaults;
  const request = parsed.withOptions({ rhone: { on_disconnect: onDisconnect, ...parsed.rhone } });
  const isStreamed = request.stream && request.outside.asList !== true;
  const Kind = isStreamed && sink === undefined ? StreamedGeneration : Generation;
  return await handleCall(new Kind(call, request, host, sink));
}

/** A request for a model's answer. */
class Generation implements Operation<UpstreamAnswer> {
  readonly call: Call;
  readonly host: CallHost;
  readonly log: CallLog;
  /** From `start` on with one result for every call of the reply before it. */
  request: ParsedRequest;
  readonly #sink: AnswerSink | undefined;

  constructor(call: Call, request: ParsedRequest, host: CallHost, sink?: AnswerSink) {
    this.call = call;
    this.host = host;
    this.#sink = sink;
    this.log = new CallLog(call, request, host.lifetime.now, host.shield);
    this.request = request;
  }

  async start(started: CallStart): Promise<Context> {
    const { store } = this.host;
    const startedIn = await store.start(() => toTurnInput(this.request), started);
    const { request, context } = continueRequest(this.request, startedIn);
    this.request = request;
    store.onInput?.(toInputStep(request, context).input);
    return context;
  }

  prepareFor(targets: readonly Target[]): void {
    const { dialect } = this.request.surface;
    // The embedded provider takes anything, so a request to it is judged here.
    const isTranslated = ({ dialect: to, provider }: Target): boolean => to !== dialect.id || provider.id === "demo";
    if (targets.every(isTranslated)) listUnknownMembers(this.request);
    if (targets.some((target) => isTranslated(target) || mayTranslateTools(target.provider))) void this.request.meaning;
  }

  countBytes(context: Context): number {
    return countBytes(this.request, context);
  }

  estimate(target: Target, bytes: number): Promise<Estimate> {
    return estimateGeneration(this.request, target, bytes, { ...this.host, at: new Date(this.call.createdAt) });
  }

  expectCost(target: Target, bytes: number): Promise<number> {
    return expectCost(this.request, target, bytes, new Date(this.host.lifetime.now()));
  }

  /**
   * Waits for the first content of the answer. Losses of the translation are logged with the attempt. Throws
   * `request.unprocessable` if there are losses and `rhone.strict` is set, the provider's error if it refuses, and a
   * `GatewayError` if the stream breaks before its first content; usage already reported by then is passed to
   * `onDiscardedUsage`.
   */
  async attempt(
    target: Target,
    { signal, onStatus, onDiscardedUsage, isLast }: Parameters<Operation<UpstreamAnswer>["attempt"]>[1],
    { context: continued, limits }: Parameters<Operation<UpstreamAnswer>["attempt"]>[2],
    appended: readonly Message[] = [],
  ): Promise<UpstreamAnswer> {
    const { call } = this;
    // A request of the model's own wire is sent as it is; its provider is the judge of it.
    const isTranslated = target.dialect !== this.request.surface.dialect.id;
    const { request: parsed, context } = isTranslated
      ? await this.#restore(continued)
      : { request: this.request, context: continued };
    const traits = isTranslated ? (await loadCatalogue(this.host.providers)).describe(target) : undefined;
    const unsent = {
      call,
      request: parsed,
      context,
      destination: toDestination(target, this.host.carried, traits),
      carried: this.host.carried,
      shield: this.host.shield,
      ...(this.#sink && { isStep: true as const }),
    };
    const { body, losses, ...aliases } = buildBody(unsent, appended);
    const request = await buildUpstreamRequest(unsent, body);
    const all = [...(context.losses ?? []), ...losses, ...request.losses];
    this.log.startAttempt(target, all);
    const [loss] = all;
    if (parsed.rhone.strict && loss !== undefined) throw strictModeError(loss.at);
    const { now } = limits;
    const sentAt = now();
    const own = await limitAttempt(target, { isStream: parsed.stream, isLast }, limits, this.host.providers);
    const sending = { fetch: fetchOf(target.provider, this.host.router.fetch), headersMs: own.headers, signal };
    const { response, cancel } = await attempt(target, request, sending);
    onStatus(response.status);
    const firstContent = Math.min(limits.firstContent, Math.max(0, own.patience - (now() - sentAt)));
    const upstreamCall: UpstreamCall = {
      ...unsent,
      destination: { ...unsent.destination, ...aliases },
      losses: all,
      limits: { ...limits, firstContent, giveUpAt: Math.min(limits.giveUpAt, sentAt + own.whole) },
      upstream: response,
      cancel,
    };
    let discarded: Promise<DiscardedUsage> | undefined;
    try {
      return await awaitFirstContent(upstreamCall, this.log, (usage, model) => {
        discarded = priceDiscarded(target, usage, model, new Date(call.createdAt));
      });
    } catch (thrown) {
      cancel();
      onDiscardedUsage((await discarded) ?? {});
      throw thrown;
    }
  }

  /** The request and its context for another dialect. */
  async #restore(context: Context): Promise<Continued> {
    const restored = await this.host.store.restore?.();
    return restored === undefined
      ? { request: this.request, context }
      : continueRequest(restored.request, restored.context);
  }

  reply(answer: UpstreamAnswer, recover?: Recover): Promise<Response> {
    const services = { ...this.host, log: this.log };
    return this.#sink === undefined
      ? reply(answer, services, recover)
      : readStep(answer, services, this.#sink, recover);
  }
}

/** A generation whose answer is a stream of the surface's events. */
class StreamedGeneration extends Generation {
  replyContext(): ReplyContext {
    return toReplyContext({ call: this.call, request: this.request });
  }
}

/** A call at a target, before it is sent. */
type UnsentCall = Pick<UpstreamCall, "call" | "request" | "context" | "destination" | "carried" | "shield" | "isStep">;

/**
 * Reuses the caller's bytes if the provider speaks the caller's dialect, takes its tools, and no message, tool or foreign
 * instruction has to be added; otherwise encodes the decoded request.
 */
function buildBody(unsent: UnsentCall, appended: readonly Message[]): ProviderBody {
  const { request, context, destination } = unsent;
  const { dialect, encodeTarget } = destination;
  const { instructions } = context;
  const reusesBytes =
    appended.length === 0 &&
    request.addedBytes === undefined &&
    isSameDialect(unsent) &&
    !(mayTranslateTools(encodeTarget) && translatesTools(request.request, encodeTarget)) &&
    (instructions === undefined || instructions.dialect === dialect.id);
  return reusesBytes
    ? spliceBody(request, context, encodeTarget, findUsageOption(unsent))
    : withUsage(encodeBody(request, context, encodeTarget, appended), unsent);
}

/** The body with the option that reports usage: that of an extended request is the client's, which may lack it. */
function withUsage(encoded: ProviderBody, unsent: UnsentCall): ProviderBody {
  const usage = unsent.request.addedBytes !== undefined && isSameDialect(unsent) ? findUsageOption(unsent) : undefined;
  if (usage === undefined) return encoded;
  const [key, json] = usage.member;
  return { ...encoded, body: splice(encoded.body, [appendMember(encoded.body, key, json)]) };
}

/**
 * Adds URL, headers and credentials to the body. Gemini's list of chunks (`streamGenerateContent` without `alt=sse`) is
 * requested as such only from a Gemini provider; any other stream is server-sent events.
 */
function buildUpstreamRequest(
  { call, request, destination }: UnsentCall,
  body: string,
): ReturnType<typeof buildRequest> {
  const { provider, model, dialect } = destination.target;
  const isOwn = request.surface.dialect.id === dialect;
  const asSse = !(request.outside.asList && isOwn);
  // Versions and betas of one wire mean nothing on another.
  const client = isOwn ? call.headers : pickHeaders(call.headers, ["accept"]);
  return buildRequest(provider, { model, dialect, stream: request.stream, asSse }, { body, client });
}

function pickHeaders(headers: Headers, names: readonly string[]): Headers {
  return new Headers(
    names.flatMap((name): [string, string][] => (headers.has(name) ? [[name, headers.get(name)!]] : [])),
  );
}

/** The error for a loss in strict mode. `at`: path of the request member that the provider cannot represent. */
export const strictModeError = (at: string): GatewayError =>
  unprocessable(at, "the provider cannot represent it, and rhone.strict is set");
