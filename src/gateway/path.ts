import { GatewayError, toGatewayError } from "../canonical/error.ts";
import type { Message } from "../canonical/types.ts";
import { failOver, type FailoverPlan } from "../routing/failover.ts";
import type { Target } from "../routing/locate.ts";
import { candidatesOf } from "../routing/candidates.ts";
import type { TurnInput } from "../session/session.ts";
import { expectModel } from "../keys/authenticate.ts";
import { replyOf, settleFailure } from "./reply/settle.ts";
import type { Asked } from "../surfaces/request.ts";
import { type Call, type Host, Notes } from "./call/call.ts";
import { answeringAt, dispatch, type Pending } from "./dispatch.ts";
import { LEFT } from "./upstream/stream-reader.ts";
import { type Answer, patiently } from "./reply/early-response.ts";
import { Refusal } from "./upstream/refusal.ts";
import { type Reached, Wordless } from "./upstream/answer.ts";
import { reply } from "./reply/reply.ts";
import type { Rescue } from "./reply/recovery.ts";
import { permitted, reserve } from "./reserve.ts";
import { errorResponse, errorStream, withHeaders } from "./reply/headers.ts";
import { hedgeOf, inOrder, wishOf, withTools } from "./route.ts";

/**
 * THE PATH. Every call takes it, from every surface, streamed or whole, in the Worker or in a session's object:
 * where it may go, what was said before, the attempts, the answer. Never throws: an error is an answer, too.
 */
export async function answer(call: Call, given: Asked, host: Host): Promise<Response> {
  const { onDisconnect } = host.router.config.defaults;
  const asked = { ...given, rhone: { on_disconnect: onDisconnect, ...given.rhone } };
  const left = new AbortController();
  const onGone = (): void => {
    if (asked.rhone.on_disconnect === "cancel") left.abort(LEFT);
  };
  if (host.left?.aborted) onGone();
  host.left?.addEventListener("abort", onGone, { once: true });
  const ends = host.stopped === undefined ? left.signal : AbortSignal.any([left.signal, host.stopped]);
  const answered = respond(call, asked, host, ends);
  const isTold = asked.stream && asked.outside.asList !== true;
  const response = isTold ? await patiently(answered, waitingOf(call, asked, host, onGone)) : (await answered).response;
  if (!host.left?.aborted) return response;
  // Nobody is there to take it, and a body that is neither read nor given up would hold the call for ever.
  await response.body?.cancel();
  return new Response(null);
}

const waitingOf = (call: Call, asked: Asked, host: Host, onGone: () => void): Parameters<typeof patiently>[1] => ({
  surface: asked.surface,
  reply: () => replyOf({ call, asked }),
  headers: { "x-rhone-session-id": call.sessionId, "x-rhone-call-id": call.id },
  keepAwake: host.keepAlive,
  onGone,
});

async function respond(call: Call, asked: Asked, host: Host, left: AbortSignal): Promise<Answer> {
  const notes = new Notes(call, asked, host);
  let pending: Pending | undefined;
  let first: Target | undefined;
  try {
    const candidates = await candidatesOf(wishOf(asked), asked.surface.dialect.id, {
      config: host.router.config,
      providers: host.providers,
    });
    notes.target = candidates.all[0].target;
    const context = await host.begin(saidIn(asked), notes.started());
    notes.context = context;
    const { policy } = candidates;
    pending = { call, asked, host, notes, context, policy, until: call.createdAt + policy.deadlines.total };
    const targets = permitted(call.caller, asked, await inOrder(candidates, context, host));
    notes.target = targets[0];
    [first] = targets;
    const plan: FailoverPlan = { targets, policy, ...(await hedgeOf(asked, targets, host)) };
    if (plan.hedge !== undefined) expectModel(call.caller, plan.hedge.target.model, plan.hedge.target);
    await reserve(pending, plan.hedge === undefined ? targets : [...targets, plan.hedge.target]);
    const go = (way: FailoverPlan, said?: readonly Message[]): Promise<Reached> =>
      withTools(pending!, left, (tools) =>
        failOver(way, (target, how) => dispatch(pending!, target, how, said), tools),
      );
    const reached = await go(plan);
    const { answering } = reached;
    notes.aim(answering.place, answering.losses);
    const rescue = policy.midstream === "continue" ? rescueBy(go, plan, answering.place) : undefined;
    return { response: withHeaders(await reply(reached, rescue), answering, answering.upstream.headers) };
  } catch (thrown) {
    const error = toGatewayError(thrown);
    // A fault of ours; the caller is told nothing of its inside.
    if (error.code === "internal") console.error("internal error", call.id, error.cause);
    // When nothing has helped, the error is the first target's, and so is the name beside it.
    if (first !== undefined) notes.target = first;
    if (pending !== undefined) await settleFailure(answeringAt(pending, notes.target!), error);
    // What is refused before it begins has an id as well, and is on record under it.
    else await host.fail(notes.record("failed", { error })).catch(() => {});
    const upstream = error instanceof Refusal ? error.headers : undefined;
    const response =
      error instanceof Wordless
        ? errorStream(asked.surface, error, replyOf({ call, asked }))
        : errorResponse(asked.surface, error, call.id);
    return { response: withHeaders(response, { call, asked, notes }, upstream), error };
  }
}

/** The targets that have not broken off go on with what one has begun. */
function rescueBy(
  go: (way: FailoverPlan, said: readonly Message[]) => Promise<Reached>,
  plan: FailoverPlan,
  broken: Target,
): Rescue {
  const [next, ...others] = plan.targets.filter((target) => target !== broken);
  return async (said) => {
    if (next === undefined) throw new GatewayError("provider.unavailable", "there is no other target to go on with it");
    return await go({ targets: [next, ...others], policy: plan.policy }, said);
  };
}

/** What a call says, as its session has to know it. */
export function saidIn({ messages, leading, instructions, rhone: { parent } }: Asked): TurnInput {
  return {
    messages: messages.slice(leading),
    ...(instructions !== undefined && { instructions }),
    ...(parent !== undefined && { parent }),
  };
}
