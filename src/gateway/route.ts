import { GatewayError, invalid } from "../canonical/error.ts";
import { costMicros } from "../canonical/usage.ts";
import { catalogueOf } from "../providers/catalogue.ts";
import { pricesOf } from "../providers/prices.ts";
import { changesOf } from "../routing/config.ts";
import type { Hedge, FailoverServices } from "../routing/failover.ts";
import { healthKeyOf, keyOf, locate, type Target } from "../routing/locate.ts";
import { type Candidates, rankTargets, type RoutingRequest } from "../routing/candidates.ts";
import type { Context } from "../session/session.ts";
import type { ParsedRequest } from "../surfaces/request.ts";
import type { CallHost } from "./call/call.ts";
import type { PreparedCall } from "./dispatch.ts";
import { sleep } from "../wire/time.ts";

/** What a call says of where it wants to go. */
export function routingRequest({ model, rhone: { routing = {} } }: ParsedRequest): RoutingRequest {
  const { models = [], fallbacks = [], providers } = routing;
  return { model, models: [...models, ...fallbacks], ...(providers && { providers }), ...changesOf(routing) };
}

/** The targets in the order in which this call tries them. */
export async function rankCandidates(
  candidates: Candidates,
  { history, parent }: Context,
  { router, now }: CallHost,
): Promise<[Target, ...Target[]]> {
  const isCheapest = candidates.policy.strategy === "least_cost";
  const costs = isCheapest ? await estimateTypicalCosts(candidates, new Date(now())) : new Map<string, number>();
  const sealers = history.flatMap(({ sealed, issuer }) => (sealed && issuer !== undefined ? [issuer] : []));
  return rankTargets(candidates, {
    // A tool's result belongs to the thoughts behind its call.
    issuers: (parent?.open ?? []).length > 0 ? sealers.slice(-1) : sealers,
    latencyOf: (target) => router.breakers.health(healthKeyOf(target)).latency,
    costOf: (target) => costs.get(keyOf(target)),
    random: router.random,
  });
}

/** A call like most: what it costs tells which of two models is the cheaper one. */
const TYPICAL_USAGE = { fresh: 3_000, output: 1_000 };

async function estimateTypicalCosts({ all }: Candidates, at: Date): Promise<Map<string, number>> {
  const known = await Promise.all(
    all.map(async ({ target }) => {
      const prices = await pricesOf(target.provider);
      const cost = costMicros(TYPICAL_USAGE, prices([target.model], at));
      return cost === undefined ? [] : [[keyOf(target), cost] as const];
    }),
  );
  return new Map(known.flat());
}

/** The second target that starts when the first is silent. Throws `request.invalid` where there is none. */
export async function planHedge(
  request: ParsedRequest,
  targets: readonly Target[],
  { providers, now }: CallHost,
): Promise<{ hedge?: Hedge }> {
  const { hedge } = request.rhone.routing ?? {};
  if (hedge === undefined) return {};
  const target = hedge.model === undefined ? targets[1] : await locateHedge(hedge.model, request, providers);
  if (target === undefined || keyOf(target) === keyOf(targets[0]!))
    throw invalid("rhone.routing.hedge", "expected a second target: name it in hedge.model, or give models");
  const maxCost = hedge.max_cost_micros_usd;
  if (maxCost !== undefined && (await estimateCost(request, target, new Date(now()))) > maxCost) return {};
  // The plan's own, where it is one of them: it is not tried again when it has failed as the hedge.
  const planned = targets.find((one) => keyOf(one) === keyOf(target)) ?? target;
  return { hedge: { afterMs: hedge.after_ms, target: planned } };
}

const locateHedge = (model: string, { surface }: ParsedRequest, providers: CallHost["providers"]): Promise<Target> =>
  locate(model, surface.dialect.id, providers).catch((cause: Error) => {
    throw invalid("rhone.routing.hedge.model", cause.message.replace(/^model: /, ""));
  });

/** An answer of unknown length is taken for this long. Tokens. */
const TYPICAL_OUTPUT = 1_000;

/** What a call may cost at a target at most, as far as can be told before: nothing is known of a model without a price. */
async function estimateCost({ text, request }: ParsedRequest, { provider, model }: Target, at: Date): Promise<number> {
  const prices = await pricesOf(provider);
  const { maxOutput = TYPICAL_OUTPUT } = request;
  // Four bytes a token is what tokenizers come to.
  const cost = costMicros({ fresh: Math.ceil(text.length / 4), output: maxOutput }, prices([model], at));
  return cost ?? Number.POSITIVE_INFINITY;
}

/** Does the work with what the loop of attempts needs of the call and its host, until nobody waits for it any longer. */
export async function withDeadline<T>(
  { host, log, giveUpAt, policy }: PreparedCall,
  callSignal: AbortSignal,
  work: (services: FailoverServices) => Promise<T>,
): Promise<T> {
  const total = new AbortController();
  const seconds = policy.deadlines.total / 1000;
  const timeoutError = new GatewayError(
    "provider.timeout",
    `no provider has answered within the ${seconds} s that a call has`,
  );
  const timer = setTimeout(() => total.abort(timeoutError), Math.max(0, giveUpAt - host.now()));
  const { breakers, random } = host.router;
  try {
    return await work({
      breakers,
      now: host.now,
      sleep,
      random,
      logAttempt: (attempt) => log.attempts.push(attempt),
      isLarger: async (target, than) => (await readContextWindow(target, host)) > (await readContextWindow(than, host)),
      signal: AbortSignal.any([callSignal, total.signal]),
    });
  } finally {
    clearTimeout(timer);
  }
}

/** Tokens; of a model that the catalogue does not know, no number that could be compared. */
async function readContextWindow({ provider, model }: Target, { providers }: CallHost): Promise<number> {
  const { models } = await catalogueOf(providers);
  const known = models.find((one) => one.provider === provider && one.id === model);
  return known?.context ?? Number.NaN;
}
