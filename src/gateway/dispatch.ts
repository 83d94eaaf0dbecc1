import { GatewayError } from "../canonical/error.ts";
import type { Message } from "../canonical/types.ts";
import type { EncodeTarget } from "../dialects/dialect.ts";
import { DIALECTS } from "../dialects/index.ts";
import { fetchOf, buildRequest } from "../providers/request.ts";
import { attempt } from "../routing/attempt.ts";
import type { RoutingPolicy } from "../routing/config.ts";
import type { AttemptFn } from "../routing/failover.ts";
import { issuerOf, type Target } from "../routing/locate.ts";
import type { Context } from "../session/session.ts";
import type { DiscardedUsage } from "../store/records.ts";
import type { ParsedRequest } from "../surfaces/request.ts";
import type { Call, CallHost } from "./call/call.ts";
import { awaitFirstContent, type UpstreamAnswer } from "./upstream/answer.ts";
import { type ProviderBody, spliceBody, encodeBody } from "./request-body.ts";
import { discardedCost } from "./call/attempt-cost.ts";
import type { CallLog } from "./call/call-log.ts";
import { type UpstreamCall, isSameDialect, addedUsageOption } from "./call/upstream-call.ts";

/** A call that has its place in a session and is on its way to its targets. */
export type PreparedCall = {
  call: Call;
  request: ParsedRequest;
  host: CallHost;
  log: CallLog;
  context: Context;
  policy: RoutingPolicy;
  giveUpAt: number;
};

/**
 * One try at one target: asked in its own terms, and heard until its answer is one. `said`: messages behind the
 * caller's own.
 */
export async function dispatch(
  prepared: PreparedCall,
  target: Target,
  { signal, onStatus, onDiscardedUsage }: Parameters<AttemptFn<UpstreamAnswer>>[1],
  appended: readonly Message[] = [],
): Promise<UpstreamAnswer> {
  const { request: parsed, log, policy } = prepared;
  const { deadlines } = policy;
  const unsent = upstreamCallTo(prepared, target);
  const { body, losses } = buildBody(unsent, appended);
  const request = await buildUpstreamRequest(unsent, body);
  const upstreamCall = { ...unsent, losses: [...(prepared.context.losses ?? []), ...losses, ...request.losses] };
  log.startAttempt(target, upstreamCall.losses);
  const [loss] = upstreamCall.losses;
  if (parsed.rhone.strict && loss !== undefined) throw strictModeError(loss.at);
  const { response, cancel } = await attempt(target, request, {
    fetch: fetchOf(target.provider),
    // A whole answer has no headers before it is finished.
    headersMs: parsed.stream ? deadlines.headers : deadlines.headers + deadlines.firstContent,
    signal,
  });
  onStatus(response.status);
  let discarded: Promise<DiscardedUsage> | undefined;
  try {
    return await awaitFirstContent({ ...upstreamCall, upstream: response, cancel }, (usage, model) => {
      discarded = discardedCost(target, usage, model, new Date(prepared.call.createdAt));
    });
  } catch (thrown) {
    cancel();
    onDiscardedUsage((await discarded) ?? {});
    throw thrown;
  }
}

/** As it stands before its upstream has answered. */
export function upstreamCallTo(prepared: PreparedCall, target: Target): UpstreamCall {
  const { policy, ...rest } = prepared;
  const dialect = DIALECTS[target.dialect];
  const unsent = { losses: [], upstream: new Response(null), cancel: () => {} };
  return {
    ...rest,
    ...unsent,
    target,
    dialect,
    encodeTarget: toEncodeTarget(target),
    deadlines: policy.deadlines,
  };
}

/** A target as the encoders want to know it. */
export function toEncodeTarget(target: Target): EncodeTarget & { issuer: string } {
  const { provider, model, dialect } = target;
  return { dialect, model, issuer: issuerOf(target), ...(provider.quirks && { quirks: provider.quirks }) };
}

/** The caller's bytes where they can be kept, else what they mean. */
function buildBody(upstreamCall: UpstreamCall, appended: readonly Message[]): ProviderBody {
  const { request, context, dialect, encodeTarget: target } = upstreamCall;
  const { instructions } = context;
  const reusesBytes =
    appended.length === 0 &&
    isSameDialect(upstreamCall) &&
    (instructions === undefined || instructions.dialect === dialect.id);
  return reusesBytes
    ? spliceBody(request, context, target, addedUsageOption(upstreamCall))
    : encodeBody(request, context, dialect, target, appended);
}

/** The body in the provider's own terms, signed as it wants it. */
function buildUpstreamRequest({ call, request, target }: UpstreamCall, body: string): ReturnType<typeof buildRequest> {
  const { provider, model, dialect } = target;
  const asSse = !(request.outside.asList && request.surface.dialect.id === dialect);
  return buildRequest(provider, { model, dialect, stream: request.stream, asSse }, { body, client: call.headers });
}

export const strictModeError = (at: string): GatewayError =>
  new GatewayError("request.unprocessable", `${at}: the provider cannot hold it, and rhone.strict is set`, {
    param: at,
  });
