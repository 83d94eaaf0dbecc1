import type { Call, CallHost } from "./call.ts";
import type { ParsedRequest } from "../../surfaces/request.ts";
import type { CallLog } from "./call-log.ts";
import type { Context } from "../../session/session.ts";
import type { Target } from "../../routing/locate.ts";
import type { WireDialect, EncodeTarget, StreamUsage, ReplyContext } from "../../dialects/dialect.ts";
import type { Loss } from "../../canonical/types.ts";
import type { Deadlines } from "../../routing/config.ts";
import { withPrefix } from "../../wire/id.ts";

/** A call whose upstream has answered: all that turning this answer into the client's needs. */
export type UpstreamCall = {
  call: Call;
  request: ParsedRequest;
  host: CallHost;
  log: CallLog;
  context: Context;
  /** Where it was asked, on which wire, how, and what could not be said there. */
  target: Target;
  dialect: WireDialect;
  encodeTarget: EncodeTarget & { issuer: string };
  losses: Loss[];
  deadlines: Deadlines;
  /** When the call as a whole is given up, in Unix milliseconds. */
  giveUpAt: number;
  upstream: Response;
  cancel: () => void;
};

/** Whether the client gets the provider's own bytes: both speak the same wire, in the same mode. */
export function passesBytes(upstreamCall: UpstreamCall): boolean {
  const { request, call, upstream } = upstreamCall;
  // A background response was promised under an id of ours before its provider was asked.
  if (!isSameDialect(upstreamCall) || call.response?.background === true) return false;
  return isEventStream(upstream) === (request.stream && request.outside.asList !== true);
}

export const isEventStream = (upstream: Response): boolean =>
  upstream.headers.get("content-type")?.includes("event-stream") === true;

/** Caller and provider speak the same wire. */
export const isSameDialect = ({ request, dialect }: UpstreamCall): boolean => request.surface.dialect.id === dialect.id;

/**
 * A stream's token counts are asked for though the caller did not, and hidden from it again: where its stream is
 * looked at anyway, and the host is known to take the question.
 */
export function addedUsageOption({
  request,
  call,
  host,
  dialect,
  encodeTarget,
}: UpstreamCall): StreamUsage | undefined {
  const mayAdd =
    call.annotate && request.stream && host.contextMode === "stateful" && encodeTarget.quirks?.streamUsage === true;
  const { streamUsage } = dialect;
  if (!mayAdd || streamUsage === undefined) return undefined;
  return request.members.some(({ key }) => key === streamUsage.member[0]) ? undefined : streamUsage;
}

export function replyContext({ request, call }: Pick<UpstreamCall, "request" | "call">): ReplyContext {
  return {
    created: Math.floor(call.createdAt / 1000),
    id: withPrefix(call.id, "resp"),
    includeUsage: asksForUsage(request),
    call: { id: call.id, sessionId: call.sessionId },
    request: request.request,
  };
}

/** Chat's `stream_options.include_usage`. */
function asksForUsage({ body }: ParsedRequest): boolean {
  const options = Object(body.stream_options) as { include_usage?: unknown };
  return options.include_usage === true;
}
