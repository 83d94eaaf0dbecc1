import { GatewayError } from "../canonical/error.ts";
import type { Loss, Usage } from "../canonical/types.ts";
import { DIALECTS } from "../dialects/index.ts";
import { limitAttempt } from "../gateway/call/attempt-limits.ts";
import { CallLog } from "../gateway/call/call-log.ts";
import type { Call, CallHost } from "../gateway/call/call.ts";
import type { Operation } from "../gateway/call/operation.ts";
import { isEventStream } from "../gateway/call/upstream-call.ts";
import { strictModeError } from "../gateway/generation.ts";
import { handleCall } from "../gateway/path.ts";
import { readAll } from "../gateway/upstream/body-reader.ts";
import { readRefusal } from "../gateway/upstream/refusal.ts";
import type { Estimate } from "../keys/budget/grant-pool.ts";
import { withCredential } from "../providers/auth.ts";
import { buildHeaders, fetchOf } from "../providers/request.ts";
import { attempt } from "../routing/attempt.ts";
import type { Target } from "../routing/locate.ts";
import type { CallStart } from "../session/calls.ts";
import type { Context } from "../session/session.ts";
import type { ParsedRequest } from "../surfaces/request.ts";
import { decodeUtf8 } from "../wire/bytes.ts";
import { type Json, type JsonObject, tryParseJson } from "../wire/json.ts";
import { estimateEndpoint } from "./estimate.ts";
import { type EndpointUpstream, recordCompleted, relayAnswer } from "./relay-answer.ts";

/** A request of an endpoint that does not generate text. `id`: the value of `surface` in its call records. */
export type EndpointCall = {
  id: string;
  call: Call;
  request: Pick<ParsedRequest, "surface" | "model" | "rhone" | "stream">;
  /** The request for one target. Throws `request.unprocessable` if the target has no such endpoint. */
  prepare: (target: Target) => PreparedRequest;
  /** Its stream starts as early as a generation's: that of a picture or of speech may take as long as the whole. */
  isEarly?: boolean;
  /** Whether the body can be sent again. Absent: always. */
  canRepeat?: () => boolean;
};

/** A request for one target, which may speak another dialect there than for generations. `path`: below its base URL. */
export type PreparedRequest = {
  target: Target;
  path: string;
  body: EndpointBody;
  losses: Loss[];
  /** Converts the answer to the caller's format; absent if its bytes are relayed. Throws `provider.execution_failed`. */
  translate?: ((body: Json) => TranslatedAnswer) | undefined;
};

/** `open`: the body of one attempt, which may be a stream that is read once. */
type EndpointBody = { text: string } | { contentType: string; open: () => Uint8Array | ReadableStream<Uint8Array> };
type TranslatedAnswer = { value: JsonObject; usage: Usage };

/** An accepted answer: its body is still to be relayed, or was read and translated. */
type EndpointAnswer = { call: EndpointUpstream; translated?: TranslatedAnswer };

/** Handles an endpoint's request along the path of every call. Never throws: an error is returned as a response. */
export async function callEndpoint(endpointCall: EndpointCall, host: CallHost): Promise<Response> {
  const { request } = endpointCall;
  const rhone = { on_disconnect: host.router.config.defaults.onDisconnect, ...request.rhone };
  return await handleCall(new EndpointOperation({ ...endpointCall, request: { ...request, rhone } }, host));
}

class EndpointOperation implements Operation<EndpointAnswer> {
  readonly call: Call;
  readonly host: CallHost;
  readonly log: CallLog;
  readonly endpoint: string;
  readonly request: EndpointCall["request"];
  readonly #endpoint: EndpointCall;
  readonly #prepared = new Map<Target, PreparedRequest>();

  constructor(endpoint: EndpointCall, host: CallHost) {
    const { call, request, id } = endpoint;
    this.call = call;
    this.host = host;
    this.log = new CallLog(call, { ...request, surface: { id } }, host.lifetime.now, host.shield);
    this.endpoint = id;
    this.request = request;
    this.#endpoint = endpoint;
  }

  start(started: CallStart): Promise<Context> {
    return this.host.store.start(() => ({ messages: [] }), started);
  }

  /** A single target is not checked: its attempt throws the same error. */
  filterTargets(targets: [Target, ...Target[]]): [Target, ...Target[]] {
    if (targets.length === 1) return targets;
    const [first, ...rest] = targets.filter((target) => this.#hasEndpoint(target));
    return first === undefined ? targets : [first, ...rest];
  }

  #hasEndpoint(target: Target): boolean {
    try {
      this.#prepare(target);
      return true;
    } catch (thrown) {
      if (thrown instanceof GatewayError && thrown.code === "request.unprocessable") return false;
      throw thrown;
    }
  }

  /** Prepared once: the body may hold a session's whole history. */
  #prepare(target: Target): PreparedRequest {
    const prepared = this.#prepared.get(target) ?? this.#endpoint.prepare(target);
    this.#prepared.set(target, prepared);
    return prepared;
  }

  /** Unknown here: the body differs from target to target, and nothing is charged by its size. */
  countBytes(): number {
    return 0;
  }

  async estimate(target: Target): Promise<Estimate> {
    return await estimateEndpoint({ ...this.#prepare(target), at: new Date(this.#endpoint.call.createdAt) });
  }

  async expectCost(target: Target): Promise<number> {
    const { micros, isUnpriced } = await this.estimate(target);
    return isUnpriced ? Number.POSITIVE_INFINITY : micros;
  }

  canRepeat(): boolean {
    return this.#endpoint.canRepeat?.() ?? true;
  }

  /** Accepts an answer with its headers, or, if it has to be translated, as a whole. */
  async attempt(
    planned: Target,
    { signal, onStatus, isLast }: Parameters<Operation<EndpointAnswer>["attempt"]>[1],
    { limits }: Parameters<Operation<EndpointAnswer>["attempt"]>[2],
  ): Promise<EndpointAnswer> {
    const { call, request } = this;
    const { target, path, body, losses, translate } = this.#prepare(planned);
    this.log.startAttempt(target, losses);
    const [loss] = losses;
    if (request.rhone.strict && loss !== undefined) throw strictModeError(loss.at);
    const upstreamRequest = await buildEndpointRequest(target, path, body, call);
    const kind = { isStream: request.stream, isEarly: request.stream && this.#endpoint.isEarly === true, isLast };
    const own = await limitAttempt(target, kind, limits, this.host.providers);
    const sentAt = limits.now();
    const sending = { fetch: fetchOf(target.provider, this.host.router.fetch), headersMs: own.headers, signal };
    const { response: upstream, cancel } = await attempt(target, upstreamRequest, sending);
    onStatus(upstream.status);
    // Whether the answer to a form is a stream is only known now.
    const wholeMs = isEventStream(upstream) ? Number.POSITIVE_INFINITY : own.whole;
    const destination = { target, dialect: DIALECTS[target.dialect] };
    const upstreamCall: EndpointUpstream = {
      call,
      request,
      destination,
      losses,
      upstream,
      cancel,
      limits: { ...limits, giveUpAt: Math.min(limits.giveUpAt, sentAt + wholeMs) },
    };
    this.log.markFirstByte(target);
    if (!upstream.ok) throw await readRefusal(upstreamCall, this.log);
    if (translate === undefined) return { call: upstreamCall };
    const json = tryParseJson(decodeUtf8(await readAll(upstreamCall, this.log)));
    if (json === undefined) throw new GatewayError("provider.execution_failed", "the provider's answer is not JSON");
    return { call: upstreamCall, translated: translate(json) };
  }

  async reply({ call: upstreamCall, translated }: EndpointAnswer): Promise<Response> {
    const services = { ...this.host, log: this.log };
    if (translated === undefined) return await relayAnswer(upstreamCall, services);
    const { value, usage } = translated;
    this.host.lifetime.waitUntil(recordCompleted(services, usage));
    return new Response(JSON.stringify(value), { headers: { "content-type": "application/json" } });
  }
}

/** Adds URL, headers and credentials to the body. */
async function buildEndpointRequest(
  { provider, dialect }: Target,
  path: string,
  body: EndpointBody,
  { headers: client }: Call,
): ReturnType<typeof withCredential> {
  const headers = buildHeaders(dialect, client);
  if ("contentType" in body) headers.set("content-type", body.contentType);
  const url = `${provider.baseUrl ?? "http://demo.invalid"}${path}`;
  const content = "text" in body ? body.text : body.open();
  return await withCredential(provider, { url, headers, body: content });
}
