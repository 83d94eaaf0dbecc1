import { GatewayError, invalid } from "../canonical/error.ts";
import type { Dialect } from "../canonical/types.ts";
import type { Provider } from "../providers/provider.ts";
import { type Config, type PolicyChanges, resolveAlias, type RoutingPolicy, withChanges } from "./config.ts";
import { issuerOf, locate, locateAt, type Target, targetKeyOf } from "./locate.ts";

/** The routing part of a request. `models`, then `fallbacks`: alternatives to `model`, in order of preference. */
export type RoutingRequest = PolicyChanges & {
  model: string;
  models?: readonly string[];
  fallbacks?: readonly string[];
  /** Ids of the providers that may be used, in order of preference; absent: all. */
  providers?: readonly string[];
};

/** A possible target. All targets of a lower tier are tried before those of a higher one. `weight`: see `shuffleByWeight`. */
export type Candidate = { target: Target; tier: number; weight: number };

/** The possible targets of a call, and the policy for trying them. */
export type Candidates = { all: readonly [Candidate, ...Candidate[]]; policy: RoutingPolicy };

/**
 * Finds all targets for a call. Each requested name is an alias, a route of the configuration, or a model. Throws
 * `model.not_found` for `model`, `request.invalid` for an invalid name in `rhone.routing`.
 */
export async function findCandidates(
  { model, models = [], fallbacks = [], providers: ids, ...changes }: RoutingRequest,
  surface: Dialect,
  { config, providers }: { config: Config; providers: ReadonlyMap<string, Provider> },
): Promise<Candidates> {
  const allowed = ids?.map((id, i) => requireProvider(id, i, providers));
  const find = (name: string): Promise<Candidate[]> => expand(name, surface, { config, providers, allowed });
  const first = await find(model);
  const findOthers = (names: readonly string[], member: string): Promise<Candidate[]>[] =>
    names.map((name, i) => find(name).catch((cause) => rethrowAsInvalid(cause, `rhone.routing.${member}[${i}]`)));
  const others = await Promise.all([...findOthers(models, "models"), ...findOthers(fallbacks, "fallbacks")]);
  // A request for the fastest or cheapest target ranks all of its models together; otherwise each model gets tiers of its own.
  const isRanked = changes.strategy !== undefined && changes.strategy !== "weighted";
  const lists = [first, ...others].map((list, rank) =>
    list.map((candidate) => (isRanked ? candidate : { ...candidate, tier: candidate.tier + rank * TIERS })),
  );
  const [head, ...rest] = removeDuplicates(lists.flat());
  if (head === undefined) throw invalid("rhone.routing.providers", `none of them serves ${JSON.stringify(model)}`);
  const route = findConfiguredRoute(model, config);
  const policy = withChanges(withChanges(config.policy, route?.changes ?? {}), changes);
  return { all: [head, ...rest], policy };
}

/** Distance between the tiers of two models, larger than any tier of a route. */
const TIERS = 1_000_000;

/** `allowed`: the providers that may be used, in order; undefined: all. */
type Lookup = { config: Config; providers: ReadonlyMap<string, Provider>; allowed: Provider[] | undefined };

/** The candidates of one name. Throws `model.not_found`. */
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
    route.targets.map(async ({ model: at, ...rest }) => ({
      target: await locate(resolveAlias(at, config.aliases), surface, providers),
      ...rest,
    })),
  );
  const usable = found.flatMap((result) => (result.status === "fulfilled" ? [result.value] : []));
  // A route is usable if at least one of its targets is.
  if (usable.length === 0) throw found.find((result) => result.status === "rejected")!.reason;
  return filterAllowed(usable, allowed);
}

const findConfiguredRoute = (name: string, { aliases, routes }: Config): ReturnType<Config["routes"]["get"]> =>
  routes.get(resolveAlias(name, aliases).toLowerCase());

/** Removes other providers; the order of the allowed ones is added to the tiers. */
function filterAllowed(candidates: Candidate[], allowed: readonly Provider[] | undefined): Candidate[] {
  if (allowed === undefined) return candidates;
  const rank = ({ target }: Candidate): number => allowed.indexOf(target.provider);
  return candidates
    .filter((candidate) => rank(candidate) >= 0)
    .map((candidate) => ({ ...candidate, tier: candidate.tier + rank(candidate) }));
}

/** Keeps the first candidate of each target. */
function removeDuplicates(candidates: readonly Candidate[]): Candidate[] {
  const seen = new Map(candidates.toReversed().map((candidate) => [targetKeyOf(candidate.target), candidate]));
  return candidates.filter((candidate) => seen.get(targetKeyOf(candidate.target)) === candidate);
}

function requireProvider(id: string, i: number, providers: ReadonlyMap<string, Provider>): Provider {
  const found = providers.get(id.toLowerCase());
  if (found !== undefined) return found;
  throw invalid(`rhone.routing.providers[${i}]`, `there is no provider ${JSON.stringify(id)}; see GET /v1/models`);
}

/** An alternative that is not found makes the request invalid. `at`: path of the member that names it. */
function rethrowAsInvalid(cause: unknown, at: string): never {
  if (!(cause instanceof GatewayError)) throw cause;
  throw invalid(at, cause.message.replace(/^model: /, ""));
}

/** Input of the ranking besides the candidates. */
export type Ranking = {
  /** The issuer of each sealed item in the session's history, with repetitions. */
  issuers: readonly string[];
  /** Milliseconds to the first content; undefined: not measured. */
  latencyOf: (target: Target) => number | undefined;
  /** Any number that increases with the price; undefined: unknown. */
  costOf: (target: Target) => number | undefined;
  /** A random number in [0, 1). */
  random: () => number;
};

/**
 * The targets in the order in which they are tried: those that can open most of the session's sealed items first, then by
 * tier, then by the policy's strategy.
 */
export function rankTargets({ all, policy: { strategy } }: Candidates, ranking: Ranking): [Target, ...Target[]] {
  const { issuers, latencyOf, costOf } = ranking;
  const shuffled = strategy === "weighted" ? shuffleByWeight(all, ranking.random) : [...all];
  const measure = { weighted: () => 0, least_latency: latencyOf, least_cost: costOf }[strategy];
  const countSeals = ({ target }: Candidate): number => {
    const issuer = issuerOf(target);
    return issuers.filter((sealedBy) => sealedBy === issuer).length;
  };
  // A target without a measurement is first for `least_latency`, so that it gets one, and last for `least_cost`.
  const unmeasured = strategy === "least_cost" ? Number.POSITIVE_INFINITY : 0;
  const keys = new Map(shuffled.map((candidate) => [candidate, measure(candidate.target) ?? unmeasured]));
  const sorted = shuffled.toSorted(
    (a, b) => countSeals(b) - countSeals(a) || a.tier - b.tier || compareNumbers(keys.get(a)!, keys.get(b)!),
  );
  return sorted.map(({ target }) => target) as [Target, ...Target[]];
}

/** A comparator for numbers that may be infinite: the difference of two infinities is NaN. */
const compareNumbers = (a: number, b: number): number => (a === b ? 0 : a - b);

/** A random order. Each position is drawn from the remaining candidates with probability proportional to the weight. */
function shuffleByWeight(candidates: readonly Candidate[], random: () => number): Candidate[] {
  const remaining = [...candidates];
  const shuffled: Candidate[] = [];
  while (remaining.length > 0) {
    let at = random() * remaining.reduce((sum, { weight }) => sum + weight, 0);
    const found = remaining.findIndex(({ weight }) => (at -= weight) < 0);
    shuffled.push(...remaining.splice(Math.max(0, found), 1));
  }
  return shuffled;
}
