import { GatewayError, toGatewayError } from "../canonical/error.ts";
import type { Message } from "../canonical/types.ts";
import { failOver, type FailoverPlan } from "../routing/failover.ts";
import type { Target } from "../routing/locate.ts";
import { candidatesOf } from "../routing/candidates.ts";
import { settleFailure } from "./reply/settle.ts";
import type { ParsedRequest } from "../surfaces/request.ts";
import { type Call, type CallHost } from "./call/call.ts";
import { upstreamCallTo, dispatch, type PreparedCall } from "./dispatch.ts";
import { type Outcome, respondWithin } from "./reply/early-response.ts";
import { UpstreamRefusal } from "./upstream/refusal.ts";
import { type UpstreamAnswer, EmptyStreamError } from "./upstream/answer.ts";
import { reply } from "./reply/reply.ts";
import type { Recover } from "./reply/recovery.ts";
import { allowedTargets, reserve } from "./reserve.ts";
import { errorResponse, errorStream, withHeaders } from "./reply/headers.ts";
import { planHedge, rankCandidates, routingRequest, withDeadline } from "./route.ts";
import { CallLog } from "./call/call-log.ts";
import { CLIENT_LEFT } from "./call/endings.ts";
import { turnInput } from "./call/turn-input.ts";
import { replyContext } from "./call/upstream-call.ts";
import { requireModel } from "../keys/permissions.ts";

/**
 * THE PATH. Every call takes it, from every surface, streamed or whole, in the Worker or in a session's object:
 * where it may go, what was said before, the attempts, the answer. Never throws: an error is an answer, too.
 */
export async function handleCall(call: Call, parsed: ParsedRequest, host: CallHost): Promise<Response> {
  const { onDisconnect } = host.router.config.defaults;
  const request = { ...parsed, rhone: { on_disconnect: onDisconnect, ...parsed.rhone } };
  const left = new AbortController();
  const onClientLeft = (): void => {
    if (request.rhone.on_disconnect === "cancel") left.abort(CLIENT_LEFT);
  };
  if (host.clientLeft?.aborted) onClientLeft();
  host.clientLeft?.addEventListener("abort", onClientLeft, { once: true });
  const signal = host.cancelled === undefined ? left.signal : AbortSignal.any([left.signal, host.cancelled]);
  const outcome = respond(call, request, host, signal);
  const isStreamed = request.stream && request.outside.asList !== true;
  const response = isStreamed
    ? await respondWithin(outcome, earlyResponseOptions(call, request, host, onClientLeft))
    : (await outcome).response;
  if (!host.clientLeft?.aborted) return response;
  // Nobody is there to take it, and a body that is neither read nor given up would hold the call for ever.
  await response.body?.cancel();
  return new Response(null);
}

const earlyResponseOptions = (
  call: Call,
  request: ParsedRequest,
  host: CallHost,
  onClientLeft: () => void,
): Parameters<typeof respondWithin>[1] => ({
  surface: request.surface,
  reply: () => replyContext({ call, request }),
  headers: { "x-rhone-session-id": call.sessionId, "x-rhone-call-id": call.id },
  waitUntil: host.waitUntil,
  onClientLeft,
});

async function respond(call: Call, request: ParsedRequest, host: CallHost, left: AbortSignal): Promise<Outcome> {
  const log = new CallLog(call, request, host);
  let prepared: PreparedCall | undefined;
  let firstTarget: Target | undefined;
  try {
    const candidates = await candidatesOf(routingRequest(request), request.surface.dialect.id, {
      config: host.router.config,
      providers: host.providers,
    });
    log.target = candidates.all[0].target;
    const context = await host.start(turnInput(request), log.toCallStart());
    log.context = context;
    const { policy } = candidates;
    prepared = {
      call,
      request,
      host,
      log,
      context,
      policy,
      giveUpAt: call.createdAt + policy.deadlines.total,
    };
    const targets = allowedTargets(call.caller, request, await rankCandidates(candidates, context, host));
    log.target = targets[0];
    [firstTarget] = targets;
    const plan: FailoverPlan = { targets, policy, ...(await planHedge(request, targets, host)) };
    if (plan.hedge !== undefined) requireModel(call.caller, plan.hedge.target.model, plan.hedge.target);
    await reserve(prepared, plan.hedge === undefined ? targets : [...targets, plan.hedge.target]);
    const send = (remaining: FailoverPlan, appended?: readonly Message[]): Promise<UpstreamAnswer> =>
      withDeadline(prepared!, left, (services) =>
        failOver(remaining, (target, options) => dispatch(prepared!, target, options, appended), services),
      );
    const answer = await send(plan);
    const { call: upstreamCall } = answer;
    log.startAttempt(upstreamCall.target, upstreamCall.losses);
    const recover = policy.midstream === "continue" ? createRecovery(send, plan, upstreamCall.target) : undefined;
    return { response: withHeaders(await reply(answer, recover), upstreamCall, upstreamCall.upstream.headers) };
  } catch (thrown) {
    const error = toGatewayError(thrown);
    // A fault of ours; the caller is told nothing of its inside.
    if (error.code === "internal") console.error("internal error", call.id, error.cause);
    // When nothing has helped, the error is the first target's, and so is the name beside it.
    if (firstTarget !== undefined) log.target = firstTarget;
    if (prepared !== undefined) await settleFailure(upstreamCallTo(prepared, log.target!), error);
    // What is refused before it begins has an id as well, and is on record under it.
    else await host.fail(log.toRecord("failed", { error })).catch(() => {});
    const upstream = error instanceof UpstreamRefusal ? error.headers : undefined;
    const response =
      error instanceof EmptyStreamError
        ? errorStream(request.surface, error, replyContext({ call, request }))
        : errorResponse(request.surface, error, call.id);
    return { response: withHeaders(response, { call, request, log }, upstream), error };
  }
}

/** The targets that have not broken off go on with what one has begun. */
function createRecovery(
  send: (remaining: FailoverPlan, appended: readonly Message[]) => Promise<UpstreamAnswer>,
  plan: FailoverPlan,
  failed: Target,
): Recover {
  const [next, ...others] = plan.targets.filter((target) => target !== failed);
  return async (appended) => {
    if (next === undefined) throw new GatewayError("provider.unavailable", "there is no other target to go on with it");
    return await send({ targets: [next, ...others], policy: plan.policy }, appended);
  };
}
