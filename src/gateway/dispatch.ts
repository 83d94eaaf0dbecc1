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
import { type Answering, isRelay, unaskedUsage } from "./reply/settle.ts";
import type { Asked } from "../surfaces/request.ts";
import type { Call, Host, Notes } from "./call/call.ts";
import { reach, type Reached } from "./upstream/answer.ts";
import { type Restored, restoreBytes, restoreMeaning } from "./request-body.ts";
import { wasteOf } from "./call/attempt-cost.ts";

/** A call that has its place in a session and is on its way to its targets. */
export type Pending = {
  call: Call;
  asked: Asked;
  host: Host;
  notes: Notes;
  context: Context;
  policy: RoutingPolicy;
  until: number;
};

/**
 * One try at one target: asked in its own terms, and heard until its answer is one. `said`: messages behind the
 * caller's own.
 */
export async function dispatch(
  pending: Pending,
  place: Target,
  { signal, onStatus, onDiscardedUsage: onWaste }: Parameters<AttemptFn<Reached>>[1],
  said: readonly Message[] = [],
): Promise<Reached> {
  const { asked, notes, policy } = pending;
  const { deadlines } = policy;
  const unanswered = answeringAt(pending, place);
  const { body, losses } = restored(unanswered, said);
  const request = await upstreamRequest(unanswered, body);
  const answering = { ...unanswered, losses: [...(pending.context.losses ?? []), ...losses, ...request.losses] };
  notes.aim(place, answering.losses);
  const [loss] = answering.losses;
  if (asked.rhone.strict && loss !== undefined) throw strictly(loss.at);
  const { response, cancel } = await attempt(place, request, {
    fetch: fetchOf(place.provider),
    // A whole answer has no headers before it is finished.
    headersMs: asked.stream ? deadlines.headers : deadlines.headers + deadlines.firstContent,
    signal,
  });
  onStatus(response.status);
  let waste: Promise<DiscardedUsage> | undefined;
  try {
    return await reach({ ...answering, upstream: response, cancel }, (usage, model) => {
      waste = wasteOf(place, usage, model, new Date(pending.call.createdAt));
    });
  } catch (thrown) {
    cancel();
    onWaste((await waste) ?? {});
    throw thrown;
  }
}

/** As it stands before its upstream has answered. */
export function answeringAt(pending: Pending, place: Target): Answering {
  const { policy, ...rest } = pending;
  const dialect = DIALECTS[place.dialect];
  const unanswered = { losses: [], upstream: new Response(null), cancel: () => {} };
  return { ...rest, ...unanswered, place, dialect, target: encodeTarget(place), deadlines: policy.deadlines };
}

/** A target as the encoders want to know it. */
export function encodeTarget(place: Target): EncodeTarget & { issuer: string } {
  const { provider, model, dialect } = place;
  return { dialect, model, issuer: issuerOf(place), ...(provider.quirks && { quirks: provider.quirks }) };
}

/** The caller's bytes where they can be kept, else what they mean. */
function restored(answering: Answering, said: readonly Message[]): Restored {
  const { asked, context, dialect, target } = answering;
  const { instructions } = context;
  const isKept =
    said.length === 0 && isRelay(answering) && (instructions === undefined || instructions.dialect === dialect.id);
  return isKept
    ? restoreBytes(asked, context, target, unaskedUsage(answering))
    : restoreMeaning(asked, context, dialect, target, said);
}

/** The body in the provider's own terms, signed as it wants it. */
function upstreamRequest({ call, asked, place }: Answering, body: string): ReturnType<typeof buildRequest> {
  const { provider, model, dialect } = place;
  const asSse = !(asked.outside.asList && asked.surface.dialect.id === dialect);
  return buildRequest(provider, { model, dialect, stream: asked.stream, asSse }, { body, client: call.headers });
}

export const strictly = (at: string): GatewayError =>
  new GatewayError("request.unprocessable", `${at}: the provider cannot hold it, and rhone.strict is set`, {
    param: at,
  });
