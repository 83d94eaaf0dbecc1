import { GatewayError, toGatewayError } from "../canonical/error.ts";
import { logInternalError } from "../canonical/log-internal-error.ts";
import type { Message } from "../canonical/types.ts";
import { requireModel } from "../keys/permissions.ts";
import { type Candidates, findCandidates } from "../routing/candidates.ts";
import type { Target } from "../routing/locate.ts";
import type { Context } from "../session/session.ts";
import type { Accepted, CallPlan, Operation } from "./call/operation.ts";
import { CLIENT_LEFT } from "./call/stream-errors.ts";
import { type Outcome, respondWithin } from "./reply/early-response.ts";
import { buildErrorResponse, buildErrorStream, withHeaders } from "./reply/headers.ts";
import { recordFailure } from "./reply/settle.ts";
import { reserveCost } from "./reserve.ts";
import { filterAllowedTargets, planHedge, rankCandidates, toRoutingRequest } from "./route.ts";
import { EmptyStreamError } from "./upstream/first-content.ts";
import { UpstreamRefusal } from "./upstream/refusal.ts";
import { type Send, sendWithFailover } from "./upstream/send.ts";

/**
 * The path of every call. Each stage does its part and passes the call, with what it has found out, to the next one.
 * Admission of the caller and parsing come before: the body names the session in whose object the path runs.
 */
const STAGES: readonly [
  Stage<Received, Admitted>,
  Stage<Admitted, Admitted>,
  Stage<Admitted, Located>,
  Stage<Located, Located>,
  Stage<Located, Resumed>,
  Stage<Resumed, Routed>,
  Stage<Routed, Routed>,
  Stage<Routed, Answered>,
  Stage<Answered, never>,
] = [
  admit, // The client may leave, the call may be cancelled, and a slow answer starts early.
  report, // An error of any later stage becomes the client's response and a record.
  locate, // Which targets could answer.
  shield, // What the shield denies goes no further.
  resume, // The call starts in its session and gets the context that it continues.
  route, // In which order the targets are tried, of those that the key may use.
  reserve, // The most that the call may cost is taken from its budgets.
  send, // The answer of one target is accepted.
  reply, // The client gets the answer; before its last byte, the call is recorded and its cost settled.
];

type Received = { operation: Operation<Accepted> };
/** `signal`: aborts the attempts when the client has left with `on_disconnect: "cancel"`, or the call is cancelled. */
type Admitted = Received & { signal: AbortSignal };
type Located = Admitted & { candidates: Candidates };
type Resumed = Located & { context: Context };
type Routed = Admitted & { context: Context; plan: CallPlan };
type Answered = Routed & { answer: Accepted; send: Send };

/** One stage: its part of a call, with the rest of the path as `next`. */
type Stage<Before, After> = (call: Before, next: Next<After>) => Promise<Outcome>;
type Next<After> = (call: After) => Promise<Outcome>;

/** Handles one call and returns the client's response. Errors are returned as responses in the surface's form. */
export async function handleCall(operation: Operation<Accepted>): Promise<Response> {
  // The types of neighbours are checked where the stages are listed.
  const run = (i: number, call: never): Promise<Outcome> =>
    (STAGES[i] as Stage<never, never>)(call, (after) => run(i + 1, after));
  return (await run(0, { operation } as never)).response;
}

async function admit({ operation }: Received, next: Next<Admitted>): Promise<Outcome> {
  const { call, host, request } = operation;
  const { clientLeft, cancelled, waitUntil } = host.lifetime;
  const disconnect = new AbortController();
  const onClientLeft = (): void => {
    if (request.rhone.on_disconnect === "cancel") disconnect.abort(CLIENT_LEFT);
  };
  if (clientLeft?.aborted) onClientLeft();
  clientLeft?.addEventListener("abort", onClientLeft, { once: true });
  const signal = cancelled === undefined ? disconnect.signal : AbortSignal.any([disconnect.signal, cancelled]);
  const outcome = next({ operation, signal });
  const { surface } = request;
  const reply = operation.replyContext?.bind(operation);
  const headers = { "x-rhone-session-id": call.sessionId, "x-rhone-call-id": call.id };
  const response =
    reply === undefined
      ? (await outcome).response
      : await respondWithin(outcome, { surface, reply, headers, waitUntil, onClientLeft });
  if (!clientLeft?.aborted) return { response };
  // The client has left. A body that is neither read nor cancelled would keep the upstream call open.
  await response.body?.cancel();
  return { response: new Response(null) };
}

async function report(admitted: Admitted, next: Next<Admitted>): Promise<Outcome> {
  const { operation } = admitted;
  try {
    return await next(admitted);
  } catch (thrown) {
    const { call, request } = operation;
    const error = toGatewayError(thrown);
    // The cause goes to the log only: it may contain internals that a caller must not see.
    if (error.code === "internal") logInternalError(call.id, error.cause);
    // The client receives the error even if the failure cannot be recorded.
    await recordFailure(operation, error).catch((cause: unknown) => logInternalError(call.id, cause));
    const response =
      error instanceof EmptyStreamError && operation.replyContext !== undefined
        ? buildErrorStream(request.surface, error, operation.replyContext())
        : buildErrorResponse(request.surface, error, call.id);
    const upstream = error instanceof UpstreamRefusal ? error.headers : undefined;
    return { response: withHeaders(response, operation, upstream), error };
  }
}

async function locate({ operation, signal }: Admitted, next: Next<Located>): Promise<Outcome> {
  const { request, host, log } = operation;
  const services = { config: host.router.config, providers: host.providers };
  const candidates = await findCandidates(toRoutingRequest(request), request.surface.dialect.id, services);
  log.nameTarget(candidates.all[0].target);
  return await next({ operation, signal, candidates });
}

/** The request was screened before it was parsed, so that no stage sees what is replaced. */
async function shield(located: Located, next: Next<Located>): Promise<Outcome> {
  located.operation.host.shield?.requireAllowed();
  return await next(located);
}

async function resume(located: Located, next: Next<Resumed>): Promise<Outcome> {
  const { operation } = located;
  const context = await operation.start(operation.log.toCallStart());
  operation.log.addContext(context);
  return await next({ ...located, context });
}

async function route({ operation, signal, candidates, context }: Resumed, next: Next<Routed>): Promise<Outcome> {
  const { call, request, log, endpoint } = operation;
  const ranked = await rankCandidates(operation, candidates, context);
  const allowed = filterAllowedTargets(call.caller, request, ranked);
  const targets = operation.filterTargets?.(allowed) ?? allowed;
  log.nameTarget(targets[0]);
  const hedge = await planHedge(operation, allowed, targets, context);
  if (hedge !== undefined) requireModel(call.caller, hedge.target.model, hedge.target);
  operation.prepareFor?.(hedge === undefined ? targets : [...targets, hedge.target]);
  const plan = { targets, policy: candidates.policy, ...(hedge && { hedge }), ...(endpoint && { endpoint }) };
  return await next({ operation, signal, context, plan });
}

async function reserve(routed: Routed, next: Next<Routed>): Promise<Outcome> {
  await reserveCost(routed);
  return await next(routed);
}

async function send(routed: Routed, next: Next<Answered>): Promise<Outcome> {
  const { operation, plan } = routed;
  const { log } = operation;
  const sendAlong: Send = (remaining, appended) => sendWithFailover(routed, remaining, appended);
  await operation.host.shield?.judgeRequest();
  const answering = sendAlong(plan);
  // What is only observed costs the client nothing: it is looked at while the provider works.
  if (operation.host.shield !== undefined) setTimeout(() => operation.host.shield?.observe(), 0);
  const answer = await answering;
  // A hedge that lost may have started its attempt after this one.
  log.nameTarget(answer.call.destination.target);
  return await next({ ...routed, answer, send: sendAlong });
}

async function reply({ operation, plan, answer, send: sendAlong }: Answered): Promise<Outcome> {
  const { destination, upstream } = answer.call;
  const recover =
    plan.policy.midstream === "continue" ? createRecovery(sendAlong, plan, destination.target) : undefined;
  const response = await operation.reply(answer, recover);
  return { response: withHeaders(response, operation, upstream.headers) };
}

/**
 * Builds the recovery function of a stream: it runs the rest of the plan, without the target that failed, with the text
 * received so far as an assistant message. It throws `provider.unavailable` when no target is left.
 */
function createRecovery(
  sendAlong: Send,
  { targets, policy }: CallPlan,
  failed: Target,
): (appended: readonly Message[]) => Promise<Accepted> {
  const [next, ...others] = targets.filter((target) => target !== failed);
  return async (appended) => {
    if (next === undefined)
      throw new GatewayError("provider.unavailable", "no other target is left to continue the answer");
    return await sendAlong({ targets: [next, ...others], policy }, appended);
  };
}
