import { GatewayError, toGatewayError } from "../canonical/error.ts";
import { logInternalError } from "../canonical/log-internal-error.ts";
import type { Message } from "../canonical/types.ts";
import { requireModel } from "../keys/permissions.ts";
import { findCandidates } from "../routing/candidates.ts";
import { failOver, type FailoverPlan } from "../routing/failover.ts";
import type { Target } from "../routing/locate.ts";
import type { ParsedRequest } from "../surfaces/request.ts";
import { CallLog } from "./call/call-log.ts";
import type { Call, CallHost } from "./call/call.ts";
import { CLIENT_LEFT } from "./call/stream-errors.ts";
import { toTurnInput } from "./call/turn-input.ts";
import { toReplyContext } from "./call/upstream-call.ts";
import { dispatch, type PreparedCall, upstreamCallTo } from "./dispatch.ts";
import { pairWithHistory } from "./paired-results.ts";
import { type Outcome, respondWithin } from "./reply/early-response.ts";
import { buildErrorResponse, buildErrorStream, withHeaders } from "./reply/headers.ts";
import type { Recover } from "./reply/recovery.ts";
import { reply } from "./reply/reply.ts";
import { settleFailure } from "./reply/settle.ts";
import { filterAllowedTargets, reserve } from "./reserve.ts";
import { planHedge, rankCandidates, toRoutingRequest, withDeadline } from "./route.ts";
import { EmptyStreamError, type UpstreamAnswer } from "./upstream/first-content.ts";
import { UpstreamRefusal } from "./upstream/refusal.ts";

/**
 * Handles one generation call and returns the client's response. Every surface uses it, for streamed and for whole
 * answers, in the Worker (stateless) and in a session's Durable Object.
 *
 * The order is: select and rank targets, start the call in its session, reserve the budget, send with failover, reply.
 * Errors are returned as responses in the surface's format; the function does not throw.
 */
export async function handleCall(call: Call, parsed: ParsedRequest, host: CallHost): Promise<Response> {
  const { onDisconnect } = host.router.config.defaults;
  const request = { ...parsed, rhone: { on_disconnect: onDisconnect, ...parsed.rhone } };
  const disconnect = new AbortController();
  const onClientLeft = (): void => {
    if (request.rhone.on_disconnect === "cancel") disconnect.abort(CLIENT_LEFT);
  };
  if (host.clientLeft?.aborted) onClientLeft();
  host.clientLeft?.addEventListener("abort", onClientLeft, { once: true });
  const signal =
    host.cancelled === undefined ? disconnect.signal : AbortSignal.any([disconnect.signal, host.cancelled]);
  const outcome = respond(call, request, host, signal);
  const isStreamed = request.stream && request.outside.asList !== true;
  const response = isStreamed
    ? await respondWithin(outcome, earlyResponseOptions(call, request, host, onClientLeft))
    : (await outcome).response;
  if (!host.clientLeft?.aborted) return response;
  // The client has left. A body that is neither read nor cancelled would keep the upstream call open.
  await response.body?.cancel();
  return new Response(null);
}

/**
 * What `respondWithin` needs to answer before the upstream does: headers and reply context that depend on no target.
 */
const earlyResponseOptions = (
  call: Call,
  request: ParsedRequest,
  host: CallHost,
  onClientLeft: () => void,
): Parameters<typeof respondWithin>[1] => ({
  surface: request.surface,
  reply: () => toReplyContext({ call, request }),
  headers: { "x-rhone-session-id": call.sessionId, "x-rhone-call-id": call.id },
  waitUntil: host.waitUntil,
  onClientLeft,
});

/**
 * The call's outcome: the response and, if the call failed, its error. `signal` aborts the attempts when the client has
 * left (with `on_disconnect: "cancel"`) or the call is cancelled.
 */
async function respond(call: Call, request: ParsedRequest, host: CallHost, signal: AbortSignal): Promise<Outcome> {
  const log = new CallLog(call, request, host);
  let prepared: PreparedCall | undefined;
  let firstTarget: Target | undefined;
  try {
    const candidates = await findCandidates(toRoutingRequest(request), request.surface.dialect.id, {
      config: host.router.config,
      providers: host.providers,
    });
    log.target = candidates.all[0].target;
    const context = await host.start(toTurnInput(request), log.toCallStart());
    log.context = context;
    const { policy } = candidates;
    prepared = {
      call,
      request: pairWithHistory(request, context),
      host,
      log,
      context,
      policy,
      giveUpAt: call.createdAt + policy.deadlines.total,
    };
    const targets = filterAllowedTargets(call.caller, request, await rankCandidates(candidates, context, host));
    log.target = targets[0];
    [firstTarget] = targets;
    const plan: FailoverPlan = { targets, policy, ...(await planHedge(request, targets, host)) };
    if (plan.hedge !== undefined) requireModel(call.caller, plan.hedge.target.model, plan.hedge.target);
    await reserve(prepared, plan.hedge === undefined ? targets : [...targets, plan.hedge.target]);
    // `appended`: messages after the caller's own; used by recovery to have another model continue a broken stream.
    const send = (remaining: FailoverPlan, appended?: readonly Message[]): Promise<UpstreamAnswer> =>
      withDeadline(prepared!, signal, (services) =>
        failOver(remaining, (target, options) => dispatch(prepared!, target, options, appended), services),
      );
    const answer = await send(plan);
    const { call: upstreamCall } = answer;
    log.startAttempt(upstreamCall.target, upstreamCall.losses);
    const recover = policy.midstream === "continue" ? createRecovery(send, plan, upstreamCall.target) : undefined;
    return { response: withHeaders(await reply(answer, recover), upstreamCall, upstreamCall.upstream.headers) };
  } catch (thrown) {
    const error = toGatewayError(thrown);
    // The cause goes to the log only: it may contain internals that a caller must not see.
    if (error.code === "internal") logInternalError(call.id, error.cause);
    // After all attempts failed, the error returned is the first target's; the model and provider headers must match
    // it.
    if (firstTarget !== undefined) log.target = firstTarget;
    if (prepared !== undefined) await settleFailure(upstreamCallTo(prepared, log.target!), error);
    // A call refused before it started in a session is recorded as well, under the id that the response carries.
    else await host.fail(log.toRecord("failed", { error })).catch(() => {});
    const upstream = error instanceof UpstreamRefusal ? error.headers : undefined;
    const response =
      error instanceof EmptyStreamError
        ? buildErrorStream(request.surface, error, toReplyContext({ call, request }))
        : buildErrorResponse(request.surface, error, call.id);
    return { response: withHeaders(response, { call, request, log }, upstream), error };
  }
}

/**
 * Builds the recovery function of a stream: it runs the rest of the plan, without the target that failed, with the text
 * received so far as an assistant message. It throws `provider.unavailable` when no target is left.
 */
function createRecovery(
  send: (remaining: FailoverPlan, appended: readonly Message[]) => Promise<UpstreamAnswer>,
  plan: FailoverPlan,
  failed: Target,
): Recover {
  const [next, ...others] = plan.targets.filter((target) => target !== failed);
  return async (appended) => {
    if (next === undefined)
      throw new GatewayError("provider.unavailable", "no other target is left to continue the answer");
    return await send({ targets: [next, ...others], policy: plan.policy }, appended);
  };
}
