import { GatewayError, invalid } from "../canonical/error.ts";
import { computeCostMicros } from "../canonical/usage.ts";
import type { Caller } from "../keys/caller.ts";
import { allowsModel } from "../keys/permissions.ts";
import { loadPrices } from "../providers/prices.ts";
import { type Candidates, findCandidates, rankTargets, type RoutingRequest } from "../routing/candidates.ts";
import { toPolicyChanges } from "../routing/config.ts";
import type { Hedge } from "../routing/failover.ts";
import { healthKeyOf, targetKeyOf, type Target } from "../routing/locate.ts";
import type { Context } from "../session/session.ts";
import type { CallHost } from "./call/call.ts";
import type { Accepted, Operation } from "./call/operation.ts";

/** What routing depends on. */
type RoutedRequest = Operation<Accepted>["request"];

/** The models, providers and policy that a request names for its routing. */
export function toRoutingRequest({
  model,
  rhone: { routing = {} },
}: Pick<RoutedRequest, "model" | "rhone">): RoutingRequest {
  const { models = [], fallbacks = [], providers } = routing;
  return { model, models, fallbacks, ...(providers && { providers }), ...toPolicyChanges(routing) };
}

/**
 * Sorts the candidates into the order in which the call tries them. Targets that can verify sealed items of the history
 * (signed reasoning) come first, as other issuers would have to drop them.
 */
export async function rankCandidates(
  { host: { router, lifetime }, endpoint }: Operation<Accepted>,
  candidates: Candidates,
  { history, parent }: Context,
): Promise<[Target, ...Target[]]> {
  const isCheapest = candidates.policy.strategy === "least_cost";
  const costs = isCheapest
    ? await estimateTypicalCosts(candidates, new Date(lifetime.now()))
    : new Map<string, number>();
  const sealers = history.flatMap(({ sealed, issuer }) => (sealed && issuer !== undefined ? [issuer] : []));
  return rankTargets(candidates, {
    // With a tool call pending, the last issuer's reasoning must go back with the tool's result.
    issuers: (parent?.open ?? []).length > 0 ? sealers.slice(-1) : sealers,
    latencyOf: (target) => router.breakers.health(healthKeyOf(target, endpoint)).latency,
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
 * The second target that starts when the first one is slow. Undefined without `routing.hedge`, when the hedge may cost
 * more than its `max_cost_micros_usd`, and when no second one can take the call. `targets`: those of the allowed ones that
 * can. Throws `request.invalid` if no target other than the first one is allowed.
 */
export async function planHedge(
  operation: Operation<Accepted>,
  allowed: readonly Target[],
  targets: readonly Target[],
  context: Context,
): Promise<Hedge | undefined> {
  const { request, host } = operation;
  const { hedge } = request.rhone.routing ?? {};
  if (hedge === undefined) return undefined;
  const named = hedge.model === undefined ? undefined : await locateHedge(hedge.model, request, host);
  if (!(named ?? allowed).some((one) => isSecond(one, allowed)))
    throw invalid("rhone.routing.hedge", "expected a second target: name it in hedge.model, or give models");
  const target = (named ?? targets).find((one) => isSecond(one, targets));
  if (!isSecond(target, targets)) return undefined;
  const maxCost = hedge.max_cost_micros_usd;
  const expectCost = (): Promise<number> => operation.expectCost(target, operation.countBytes(context));
  if (maxCost !== undefined && (await expectCost()) > maxCost) return undefined;
  // The plan's own object, if it has this target: failover compares by identity to skip a target that failed as hedge.
  const planned = targets.find((one) => targetKeyOf(one) === targetKeyOf(target)) ?? target;
  return { afterMs: hedge.after_ms, target: planned };
}

const isSecond = (target: Target | undefined, [first]: readonly Target[]): target is Target =>
  target !== undefined && targetKeyOf(target) !== targetKeyOf(first!);

/** The targets of the hedge's model, which may be a route. Throws `request.invalid` naming `rhone.routing.hedge.model`. */
async function locateHedge(model: string, { surface }: RoutedRequest, host: CallHost): Promise<Target[]> {
  const { config } = host.router;
  const found = findCandidates({ model }, surface.dialect.id, { config, providers: host.providers });
  const { all } = await found.catch((cause: Error) => {
    throw invalid("rhone.routing.hedge.model", cause.message.replace(/^model: /, ""));
  });
  return all.map(({ target }) => target);
}

/** The targets that the caller's key may use. Throws `model.not_allowed` if there are none. */
export function filterAllowedTargets(
  caller: Caller,
  { model, rhone: { routing = {} } }: RoutedRequest,
  targets: readonly [Target, ...Target[]],
): [Target, ...Target[]] {
  // A model name that the key allows may be routed anywhere the deployment decides. With other names in `routing`, the
  // caller decides, so each target has to be allowed by itself.
  const { models, fallbacks, providers, hedge } = routing as Record<string, unknown>;
  const isNameAlone = [models, fallbacks, providers, hedge].every((value) => value === undefined);
  const [first, ...rest] = targets.filter((target) => allowsModel(caller, isNameAlone ? model : "", target));
  if (first !== undefined) return [first, ...rest];
  throw new GatewayError("model.not_allowed", `model: the key may not use ${model.slice(0, 200)}`, { param: "model" });
}
