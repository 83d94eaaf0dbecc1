import { GatewayError, invalid } from "../canonical/error.ts";
import type { Dialect } from "../canonical/types.ts";
import type { Provider } from "../providers/provider.ts";
import { type Config, type RoutingPolicy, type PolicyChanges, resolveAlias, withChanges } from "./config.ts";
import { issuerOf, targetKeyOf, locate, locateAt, type Target } from "./locate.ts";

/** What a call says of where it wants to go. `models`: to be tried after `model`, in this order. */
export type RoutingRequest = PolicyChanges & {
  model: string;
  models?: readonly string[];
  /** The only providers that may answer, the first before the others. */
  providers?: readonly string[];
};

/** A target that may answer. All of a lower tier come before any of a higher one. */
export type Candidate = { target: Target; tier: number; weight: number };

/** Where a call may go, and how it is tried. */
export type Candidates = { all: readonly [Candidate, ...Candidate[]]; policy: RoutingPolicy };

/**
 * Every target that a call may go to. Each name of it is an alias, a route of the deployment, or a model. Throws
 * `model.not_found` for the model itself, `request.invalid` for what `rhone.routing` names beside it.
 */
export async function findCandidates(
  { model, models = [], providers: ids, ...changes }: RoutingRequest,
  surface: Dialect,
  { config, providers }: { config: Config; providers: ReadonlyMap<string, Provider> },
): Promise<Candidates> {
  const allowed = ids?.map((id, i) => requireProvider(id, i, providers));
  const find = (name: string): Promise<Candidate[]> => expand(name, surface, { config, providers, allowed });
  const first = await find(model);
  const others = await Promise.all(models.map((name, i) => find(name).catch((cause) => rethrowAsInvalid(cause, i))));
  // Who asks for the fastest or the cheapest of several models means all of them.
  const isRanked = changes.strategy !== undefined && changes.strategy !== "weighted";
  const lists = [first, ...others].map((list, rank) =>
    list.map((one) => (isRanked ? one : { ...one, tier: one.tier + rank * TIERS })),
  );
  const [head, ...rest] = removeDuplicates(lists.flat());
  if (head === undefined) throw invalid("rhone.routing.providers", `none of them serves ${JSON.stringify(model)}`);
  const route = findRoute(model, config);
  const policy = withChanges(withChanges(config.policy, route?.changes ?? {}), changes);
  return { all: [head, ...rest], policy };
}

/** More tiers than any route has. */
const TIERS = 1_000_000;

type Lookup = { config: Config; providers: ReadonlyMap<string, Provider>; allowed: Provider[] | undefined };

async function expand(name: string, surface: Dialect, { config, providers, allowed }: Lookup): Promise<Candidate[]> {
  const model = resolveAlias(name, config.aliases);
  const route = config.routes.get(model.toLowerCase());
  if (route === undefined) {
    const isQualified = providers.has(model.slice(0, model.indexOf("/")).toLowerCase());
    if (allowed !== undefined && !isQualified) {
      const targets = await Promise.all(allowed.map((provider) => locateAt(provider, model, surface)));
      return targets.map((target, tier) => ({ target, tier, weight: 1 }));
    }
    return filterAllowed([{ target: await locate(model, surface, providers), tier: 0, weight: 1 }], allowed);
  }
  const found = await Promise.allSettled(
    route.targets.map(async ({ model: at, ...rest }) => ({ target: await locate(at, surface, providers), ...rest })),
  );
  const usable = found.flatMap((one) => (one.status === "fulfilled" ? [one.value] : []));
  // A route stands as long as one of its targets does.
  if (usable.length === 0) throw found.find((one) => one.status === "rejected")!.reason;
  return filterAllowed(usable, allowed);
}

const findRoute = (name: string, { aliases, routes }: Config): ReturnType<Config["routes"]["get"]> =>
  routes.get(resolveAlias(name, aliases).toLowerCase());

function filterAllowed(candidates: Candidate[], allowed: readonly Provider[] | undefined): Candidate[] {
  if (allowed === undefined) return candidates;
  const rank = ({ target }: Candidate): number => allowed.indexOf(target.provider);
  return candidates.filter((one) => rank(one) >= 0).map((one) => ({ ...one, tier: one.tier + rank(one) }));
}

function removeDuplicates(candidates: readonly Candidate[]): Candidate[] {
  const seen = new Map(candidates.toReversed().map((one) => [targetKeyOf(one.target), one]));
  return candidates.filter((one) => seen.get(targetKeyOf(one.target)) === one);
}

function requireProvider(id: string, i: number, providers: ReadonlyMap<string, Provider>): Provider {
  const found = providers.get(id.toLowerCase());
  if (found !== undefined) return found;
  throw invalid(`rhone.routing.providers[${i}]`, `there is no provider ${JSON.stringify(id)}; see GET /v1/models`);
}

function rethrowAsInvalid(cause: unknown, i: number): never {
  if (!(cause instanceof GatewayError)) throw cause;
  throw invalid(`rhone.routing.models[${i}]`, cause.message.replace(/^model: /, ""));
}

/** What the order of a plan depends on, beside the candidates. */
export type Ranking = {
  /** Who sealed something in the session's history, once for each time. */
  issuers: readonly string[];
  /** Milliseconds to the first content, as far as known. */
  latencyOf: (target: Target) => number | undefined;
  /** Anything that grows with the price. */
  costOf: (target: Target) => number | undefined;
  /** From 0 up to, but without, 1. */
  random: () => number;
};

/** The targets in the order in which they are tried: who can open most of the session's seals, then tier by tier. */
export function rankTargets({ all, policy: { strategy } }: Candidates, ranking: Ranking): [Target, ...Target[]] {
  const { issuers, latencyOf, costOf } = ranking;
  const drawn = strategy === "weighted" ? shuffleByWeight(all, ranking.random) : [...all];
  const measure = { weighted: () => 0, least_latency: latencyOf, least_cost: costOf }[strategy];
  const sealed = ({ target }: Candidate): number => {
    const issuer = issuerOf(target);
    return issuers.filter((one) => one === issuer).length;
  };
  // What was never measured is tried first where it costs time, and last where it may cost money.
  const unknown = strategy === "least_cost" ? Number.POSITIVE_INFINITY : 0;
  const keys = new Map(drawn.map((one) => [one, measure(one.target) ?? unknown]));
  const sorted = drawn.toSorted(
    (a, b) => sealed(b) - sealed(a) || a.tier - b.tier || compareNumbers(keys.get(a)!, keys.get(b)!),
  );
  return sorted.map(({ target }) => target) as [Target, ...Target[]];
}

/** Infinities are equal, their difference is no number. */
const compareNumbers = (a: number, b: number): number => (a === b ? 0 : a - b);

/** A shuffle in which the heavier ones tend to come first: each draw takes one by its share of the weight that is left. */
function shuffleByWeight(candidates: readonly Candidate[], random: () => number): Candidate[] {
  const left = [...candidates];
  const drawn: Candidate[] = [];
  while (left.length > 0) {
    let at = random() * left.reduce((sum, { weight }) => sum + weight, 0);
    const found = left.findIndex(({ weight }) => (at -= weight) < 0);
    drawn.push(...left.splice(Math.max(0, found), 1));
  }
  return drawn;
}
