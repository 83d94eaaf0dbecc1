import { GatewayError } from "../../canonical/error.ts";
import type { ToolAliases } from "../../canonical/tool-names.ts";
import type { Loss } from "../../canonical/types.ts";
import type { EncodeTarget, ModelTraits, ReplyContext, StreamUsage, WireDialect } from "../../dialects/dialect.ts";
import { DIALECTS } from "../../dialects/index.ts";
import type { CarriedItems } from "../../keys/carried-items.ts";
import type { Deadlines } from "../../routing/config.ts";
import { issuerOf, type Target } from "../../routing/locate.ts";
import type { Context } from "../../session/session.ts";
import { type ParsedRequest, readOption } from "../../surfaces/request.ts";
import { withPrefix } from "../../wire/id.ts";
import { isObject } from "../../wire/json.ts";
import type { SealThought } from "../shield/answer-shield.ts";
import type { CallShield } from "../shield/call-shield.ts";
import type { Call } from "./call.ts";

/** A call at one target, with its upstream's response: the facts from which the client's answer is made. */
export type UpstreamCall = {
  call: Call;
  request: ParsedRequest;
  context: Context;
  destination: Destination;
  /** The sealed reasoning that the organisation's clients carry. */
  carried: CarriedItems;
  shield?: CallShield | undefined;
  /** What could not be represented at the target. */
  losses: Loss[];
  limits: CallLimits;
  /** The upstream's response. */
  upstream: Response;
  /** Aborts the request to the upstream. */
  cancel: () => void;
  /** The answer is a step of a run: its events are read, and no client gets them as they are. */
  isStep?: true;
};

/** A target as encoders and decoders see it. `aliases`: the tools that it knows under another name or in another form. */
export type Destination = {
  target: Target;
  dialect: WireDialect;
  encodeTarget: EncodeTarget & { issuer: string };
  aliases?: ToolAliases;
};

/** A call's time limits. `giveUpAt`: its total deadline, or that of a whole answer if earlier, in Unix milliseconds. */
export type CallLimits = Deadlines & { giveUpAt: number; now: () => number };

/** A target with its dialect; quirks and issuer come from its provider. `traits`: of its model, for a translated request. */
export const toDestination = (
  target: Target,
  { open }: Pick<CarriedItems, "open">,
  traits?: ModelTraits,
): Destination => ({
  target,
  dialect: DIALECTS[target.dialect],
  encodeTarget: { ...toEncodeTarget(target), ...(traits?.reasons !== false && { open }), ...(traits && { traits }) },
});

/** The part of a target that encoders depend on: dialect, model, issuer of sealed items, quirks. */
export function toEncodeTarget(target: Target): EncodeTarget & { issuer: string } {
  const { provider, model, dialect } = target;
  return { dialect, model, issuer: issuerOf(target), ...(provider.quirks && { quirks: provider.quirks }) };
}

/**
 * Whether the client receives the provider's own bytes: both have the same dialect and the same mode (stream or whole).
 */
export function passesBytes(
  upstreamCall: Pick<UpstreamCall, "request" | "call" | "destination" | "upstream" | "isStep">,
): boolean {
  const { request, call, upstream, isStep } = upstreamCall;
  if (isStep) return false;
  // A background response was promised under the gateway's id, so the provider's id must not appear in it.
  if (!isSameDialect(upstreamCall) || call.response?.background === true) return false;
  // The answer calls tools in another form than the client knows.
  if (upstreamCall.destination.aliases !== undefined) return false;
  return isEventStream(upstream) === (request.stream && request.outside.asList !== true);
}

/** Whether the answer's text is JSON. A request that is only relayed is not decoded for that: its provider is the judge of it. */
export function answersJson({ request }: Pick<UpstreamCall, "request">): boolean {
  try {
    return (request.request.format?.type ?? "text") !== "text";
  } catch (thrown) {
    if (thrown instanceof GatewayError) return false;
    throw thrown;
  }
}

/** How a client's copy of an answer is made. */
export const clientCopyOf = (upstreamCall: UpstreamCall): { seal: SealThought | undefined; isJson: boolean } => ({
  seal: sealThoughtFor(upstreamCall),
  isJson: answersJson(upstreamCall),
});

/** How a client carries a thought of its own wire that it does not see as it was signed. Absent for other wires. */
export function sealThoughtFor({ request, destination, carried }: UpstreamCall): SealThought | undefined {
  if (request.surface.dialect.id !== "anthropic" || destination.dialect.id !== "anthropic") return undefined;
  return (item) => carried.wrap({ dialect: "anthropic", item, seal: destination.encodeTarget.issuer });
}

/** Whether the upstream answers with server-sent events. */
export const isEventStream = (upstream: Response): boolean =>
  upstream.headers.get("content-type")?.toLowerCase().includes("event-stream") === true;

/** Whether caller and provider have the same dialect. */
export const isSameDialect = ({
  request,
  destination,
}: {
  request: Pick<ParsedRequest, "surface">;
  destination: Pick<Destination, "dialect">;
}): boolean => request.surface.dialect.id === destination.dialect.id;

/**
 * The option that makes the provider report usage in a stream, if the caller did not set it and the event can be hidden
 * from the client: the stream is decoded and annotated anyway, or no client gets it, and the provider accepts the option.
 */
export function findUsageOption({
  request,
  call,
  destination: { dialect, encodeTarget },
  isStep,
}: Pick<UpstreamCall, "request" | "call" | "destination" | "isStep">): StreamUsage | undefined {
  const isHidden =
    isStep === true || (call.annotate && call.contextMode === "stateful" && call.conversation === undefined);
  const mayAdd = isHidden && request.stream && encodeTarget.quirks?.streamUsage === true;
  const { streamUsage } = dialect;
  if (!mayAdd || streamUsage === undefined) return undefined;
  return request.members.some(({ key }) => key === streamUsage.member[0]) ? undefined : streamUsage;
}

/** What encoders need beyond the answer itself: creation time in seconds, the response's id, the request. */
export function toReplyContext(
  upstreamCall: Pick<UpstreamCall, "request"> & {
    call: Pick<Call, "id" | "sessionId" | "createdAt">;
  } & Partial<Pick<UpstreamCall, "destination" | "carried">>,
  id = withPrefix(upstreamCall.call.id, "resp"),
): ReplyContext {
  const { request, call, destination, carried } = upstreamCall;
  return {
    created: Math.floor(call.createdAt / 1000),
    id,
    ...(destination !== undefined && { model: destination.target.model }),
    get includeUsage() {
      return requestsUsage(request);
    },
    call: { id: call.id, sessionId: call.sessionId },
    ...(carried !== undefined && carriesReasoning(request) && { carry: carried.wrap }),
    // Decoded only for a wire that repeats it.
    get request() {
      return request.request;
    },
  };
}

/** Whether the client sends reasoning back: on Messages always, on Responses if it asks for its encrypted content. */
function carriesReasoning(request: ParsedRequest): boolean {
  if (request.surface.id === "messages") return true;
  const included = request.surface.id === "responses" ? readOption(request, "include") : undefined;
  return Array.isArray(included) && included.includes("reasoning.encrypted_content");
}

/** OpenAI Chat's `stream_options.include_usage`. */
function requestsUsage(request: ParsedRequest): boolean {
  const options = readOption(request, "stream_options");
  return isObject(options) && options.include_usage === true;
}
