import { type GatewayError, unprocessable } from "../canonical/error.ts";
import type { Message } from "../canonical/types.ts";
import type { EncodeTarget } from "../dialects/dialect.ts";
import { translatesTools } from "../dialects/fit-tools.ts";
import { DIALECTS } from "../dialects/index.ts";
import { buildRequest, fetchOf } from "../providers/request.ts";
import { attempt } from "../routing/attempt.ts";
import type { RoutingPolicy } from "../routing/config.ts";
import type { AttemptFn } from "../routing/failover.ts";
import { issuerOf, type Target } from "../routing/locate.ts";
import type { Context } from "../session/session.ts";
import type { DiscardedUsage } from "../store/records.ts";
import type { ParsedRequest } from "../surfaces/request.ts";
import { priceDiscarded } from "./call/attempt-cost.ts";
import type { CallLog } from "./call/call-log.ts";
import type { Call, CallHost } from "./call/call.ts";
import { findUsageOption, isSameDialect, type UpstreamCall } from "./call/upstream-call.ts";
import { encodeBody, type ProviderBody, spliceBody } from "./request-body.ts";
import { awaitFirstContent, type UpstreamAnswer } from "./upstream/first-content.ts";

/**
 * A call that has started in its session and is ready to be sent. `giveUpAt`: the call's total deadline, in Unix
 * milliseconds.
 */
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
 * Sends the call to one target and waits for the first content of its answer.
 *
 * `appended` are messages after the caller's own. Losses of the translation are logged with the attempt. Throws
 * `request.unprocessable` if there are losses and `rhone.strict` is set, the provider's error if it refuses, and a
 * `GatewayError` if the stream breaks before its first content; usage already reported by then is passed to
 * `onDiscardedUsage`.
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
  const { body, losses, ...aliases } = buildBody(unsent, appended);
  const request = await buildUpstreamRequest(unsent, body);
  const upstreamCall = {
    ...unsent,
    ...aliases,
    losses: [...(prepared.context.losses ?? []), ...losses, ...request.losses],
  };
  log.startAttempt(target, upstreamCall.losses);
  const [loss] = upstreamCall.losses;
  if (parsed.rhone.strict && loss !== undefined) throw strictModeError(loss.at);
  const { response, cancel } = await attempt(target, request, {
    fetch: fetchOf(target.provider),
    // A provider sends the headers of a whole answer only when the answer is complete.
    headersMs: parsed.stream ? deadlines.headers : deadlines.headers + deadlines.firstContent,
    signal,
  });
  onStatus(response.status);
  let discarded: Promise<DiscardedUsage> | undefined;
  try {
    return await awaitFirstContent({ ...upstreamCall, upstream: response, cancel }, (usage, model) => {
      discarded = priceDiscarded(target, usage, model, new Date(prepared.call.createdAt));
    });
  } catch (thrown) {
    cancel();
    onDiscardedUsage((await discarded) ?? {});
    throw thrown;
  }
}

/**
 * The upstream call before it is sent: an empty upstream response, no losses, a `cancel` without effect. Also used to
 * record a failure when no target has answered.
 */
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

/** The part of a target that encoders depend on: dialect, model, issuer of sealed items, quirks. */
export function toEncodeTarget(target: Target): EncodeTarget & { issuer: string } {
  const { provider, model, dialect } = target;
  return { dialect, model, issuer: issuerOf(target), ...(provider.quirks && { quirks: provider.quirks }) };
}

/**
 * Reuses the caller's bytes if the provider speaks the caller's dialect, takes its tools, and no message or foreign
 * instruction has to be added; otherwise encodes the decoded request.
 */
function buildBody(upstreamCall: UpstreamCall, appended: readonly Message[]): ProviderBody {
  const { request, context, dialect, encodeTarget } = upstreamCall;
  const { instructions } = context;
  const reusesBytes =
    appended.length === 0 &&
    isSameDialect(upstreamCall) &&
    !translatesTools(request.request, encodeTarget) &&
    (instructions === undefined || instructions.dialect === dialect.id);
  return reusesBytes
    ? spliceBody(request, context, encodeTarget, findUsageOption(upstreamCall))
    : encodeBody(request, context, dialect, encodeTarget, appended);
}

/**
 * Adds URL, headers and credentials to the body. Gemini's list of chunks (`streamGenerateContent` without `alt=sse`) is
 * requested as such only from a Gemini provider; any other stream is server-sent events.
 */
function buildUpstreamRequest({ call, request, target }: UpstreamCall, body: string): ReturnType<typeof buildRequest> {
  const { provider, model, dialect } = target;
  const asSse = !(request.outside.asList && request.surface.dialect.id === dialect);
  return buildRequest(provider, { model, dialect, stream: request.stream, asSse }, { body, client: call.headers });
}

/** The error for a loss in strict mode. `at`: path of the request member that the provider cannot represent. */
export const strictModeError = (at: string): GatewayError =>
  unprocessable(at, "the provider cannot represent it, and rhone.strict is set");
