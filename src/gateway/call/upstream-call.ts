import type { ToolAliases } from "../../canonical/tool-names.ts";
import type { Loss } from "../../canonical/types.ts";
import type { EncodeTarget, ReplyContext, StreamUsage, WireDialect } from "../../dialects/dialect.ts";
import type { Deadlines } from "../../routing/config.ts";
import type { Target } from "../../routing/locate.ts";
import type { Context } from "../../session/session.ts";
import type { ParsedRequest } from "../../surfaces/request.ts";
import { withPrefix } from "../../wire/id.ts";
import type { CallLog } from "./call-log.ts";
import type { Call, CallHost } from "./call.ts";

/** A call at one target, with its upstream's response: the facts from which the client's answer is made. */
export type UpstreamCall = {
  call: Call;
  request: ParsedRequest;
  host: CallHost;
  log: CallLog;
  context: Context;
  /** The target, its dialect and what encoders need of it, and what could not be represented there. */
  target: Target;
  dialect: WireDialect;
  encodeTarget: EncodeTarget & { issuer: string };
  losses: Loss[];
  /** The tools that the target knows under another name or in another form. */
  aliases?: ToolAliases;
  deadlines: Deadlines;
  /** The call's total deadline, in Unix milliseconds. */
  giveUpAt: number;
  /** The upstream's response; empty until it has answered. */
  upstream: Response;
  /** Aborts the request to the upstream. */
  cancel: () => void;
};

/**
 * Whether the client receives the provider's own bytes: both have the same dialect and the same mode (stream or whole).
 */
export function passesBytes(upstreamCall: UpstreamCall): boolean {
  const { request, call, upstream } = upstreamCall;
  // A background response was promised under the gateway's id, so the provider's id must not appear in it.
  if (!isSameDialect(upstreamCall) || call.response?.background === true) return false;
  // The answer calls tools in another form than the client knows.
  if (upstreamCall.aliases !== undefined) return false;
  return isEventStream(upstream) === (request.stream && request.outside.asList !== true);
}

/** Whether the upstream answers with server-sent events. */
export const isEventStream = (upstream: Response): boolean =>
  upstream.headers.get("content-type")?.toLowerCase().includes("event-stream") === true;

/** Whether caller and provider have the same dialect. */
export const isSameDialect = ({ request, dialect }: UpstreamCall): boolean => request.surface.dialect.id === dialect.id;

/**
 * The option that makes the provider report usage in a stream, if the caller did not set it and the event can be hidden
 * from the client: the stream is decoded and annotated anyway, and the provider accepts the option.
 */
export function findUsageOption({ request, call, host, dialect, encodeTarget }: UpstreamCall): StreamUsage | undefined {
  const mayAdd =
    call.annotate && request.stream && host.contextMode === "stateful" && encodeTarget.quirks?.streamUsage === true;
  const { streamUsage } = dialect;
  if (!mayAdd || streamUsage === undefined) return undefined;
  return request.members.some(({ key }) => key === streamUsage.member[0]) ? undefined : streamUsage;
}

/** What encoders need beyond the answer itself: creation time in seconds, response id, the request. */
export function toReplyContext({
  request,
  call,
  encodeTarget,
}: Pick<UpstreamCall, "request" | "call"> & Partial<Pick<UpstreamCall, "encodeTarget">>): ReplyContext {
  return {
    created: Math.floor(call.createdAt / 1000),
    id: withPrefix(call.id, "resp"),
    ...(encodeTarget !== undefined && { model: encodeTarget.model }),
    includeUsage: requestsUsage(request),
    call: { id: call.id, sessionId: call.sessionId },
    request: request.request,
  };
}

/** OpenAI Chat's `stream_options.include_usage`. */
function requestsUsage({ body }: ParsedRequest): boolean {
  const options = Object(body.stream_options) as { include_usage?: unknown };
  return options.include_usage === true;
}
