import { GatewayError, invalid } from "../canonical/error.ts";
import { computeCostMicros } from "../canonical/usage.ts";
import { loadCatalogue } from "../providers/catalogue.ts";
import { loadPrices } from "../providers/prices.ts";
import { type Candidates, rankTargets, type RoutingRequest } from "../routing/candidates.ts";
import { toPolicyChanges } from "../routing/config.ts";
import type { FailoverServices, Hedge } from "../routing/failover.ts";
import { healthKeyOf, targetKeyOf, locate, type Target } from "../routing/locate.ts";
import type { Context } from "../session/session.ts";
import type { ParsedRequest } from "../surfaces/request.ts";
import { sleep } from "../wire/time.ts";
import type { CallHost } from "./call/call.ts";
import type { PreparedCall } from "./dispatch.ts";

/** The models, providers and policy that a request names for its routing. */
export function toRoutingRequest({ model, rhone: { routing = {} } }: ParsedRequest): RoutingRequest {
  const { models = [], fallbacks = [], providers } = routing;
  return { model, models: [...models, ...fallbacks], ...(providers && { providers }), ...toPolicyChanges(routing) };
}

/**
 * Sorts the candidates into the order in which the call tries them. Targets that can verify sealed items of the history
 * (signed reasoning) come first, as other issuers would have to drop them.
 */
export async function rankCandidates(
  candidates: Candidates,
  { history, parent }: Context,
  { router, now }: CallHost,
): Promise<[Target, ...Target[]]> {
  const isCheapest = candidates.policy.strategy === "least_cost";
  const costs = isCheapest ? await estimateTypicalCosts(candidates, new Date(now())) : new Map<string, number>();
  const sealers = history.flatMap(({ sealed, issuer }) => (sealed && issuer !== undefined ? [issuer] : []));
  return rankTargets(candidates, {
    // With a tool call pending, the last issuer's reasoning must go back with the tool's result.
    issuers: (parent?.open ?? []).length > 0 ? sealers.slice(-1) : sealers,
    latencyOf: (target) => router.breakers.health(healthKeyOf(target)).latency,
    costOf: (target) => costs.get(targetKeyOf(target)),
    random: router.random,
  });
}

/** Tokens of a typical call. Its price at each target decides which target `least_cost` takes as the cheapest. */
const TYPICAL_USAGE = { fresh: 3_000, output: 1_000 };

/** Micro-dollars of a typical call by target key. Targets without a known price are left out. */
async function estimateTypicalCosts({ all }: Candidates, at: Date): Promise<Map<string, number>> {
  const costs = await Promise.all(
    all.map(async ({ target }) => {
      const prices = await loadPrices(target.provider);
      const cost = computeCostMicros(TYPICAL_USAGE, prices([target.model], at));
      return cost === undefined ? [] : [[targetKeyOf(target), cost] as const];
    }),
  );
  return new Map(costs.flat());
}

/**
 * The second target that starts when the first one is slow. Empty without `routing.hedge`, and when the hedge may cost
 * more than its `max_cost_micros_usd`. Throws `request.invalid` if no target other than the first one is available.
 */
export async function planHedge(
  request: ParsedRequest,
  targets: readonly Target[],
  { providers, now }: CallHost,
): Promise<{ hedge?: Hedge }> {
  const { hedge } = request.rhone.routing ?? {};
  if (hedge === undefined) return {};
  const target = hedge.model === undefined ? targets[1] : await locateHedge(hedge.model, request, providers);
  if (target === undefined || targetKeyOf(target) === targetKeyOf(targets[0]!))
    throw invalid("rhone.routing.hedge", "expected a second target: name it in hedge.model, or give models");
  const maxCost = hedge.max_cost_micros_usd;
  if (maxCost !== undefined && (await estimateCost(request, target, new Date(now()))) > maxCost) return {};
  // The plan's own object, if it has this target: failover compares by identity to skip a target that failed as hedge.
  const planned = targets.find((one) => targetKeyOf(one) === targetKeyOf(target)) ?? target;
  return { hedge: { afterMs: hedge.after_ms, target: planned } };
}

/** Locates the hedge's model. The error of `locate` is reported at `rhone.routing.hedge.model`. */
const locateHedge = (model: string, { surface }: ParsedRequest, providers: CallHost["providers"]): Promise<Target> =>
  locate(model, surface.dialect.id, providers).catch((cause: Error) => {
    throw invalid("rhone.routing.hedge.model", cause.message.replace(/^model: /, ""));
  });

/** Output assumed for a request without a bound on its output. Tokens. */
const TYPICAL_OUTPUT = 1_000;

/** Upper bound of the call's cost at a target, in micro-dollars; infinite for a model without a known price. */
async function estimateCost({ text, request }: ParsedRequest, { provider, model }: Target, at: Date): Promise<number> {
  const prices = await loadPrices(provider);
  const { maxOutput = TYPICAL_OUTPUT } = request;
  // Tokenizers average four bytes a token.
  const cost = computeCostMicros({ fresh: Math.ceil(text.length / 4), output: maxOutput }, prices([model], at));
  return cost ?? Number.POSITIVE_INFINITY;
}

/**
 * Runs `work` with the services of failover. Their signal aborts with `callSignal`, or with `provider.timeout` when the
 * call's total deadline passes.
 */
export async function withDeadline<T>(
  { host, log, giveUpAt, policy }: PreparedCall,
  callSignal: AbortSignal,
  work: (services: FailoverServices) => Promise<T>,
): Promise<T> {
  const total = new AbortController();
  const seconds = policy.deadlines.total / 1000;
  const timeoutError = new GatewayError("provider.timeout", `no provider has answered within the call's ${seconds} s`);
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

/**
 * The context window in tokens; NaN for a model that is not in the catalogue, so that no comparison with it is true.
 */
async function readContextWindow({ provider, model }: Target, { providers }: CallHost): Promise<number> {
  const { models } = await loadCatalogue(providers);
  const known = models.find((one) => one.provider === provider && one.id === model);
  return known?.context ?? Number.NaN;
}
