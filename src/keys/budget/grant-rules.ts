import type { Amount, GrantRequest, LedgerRefusal, Rates, RateState } from "./grant.ts";
import type { Period } from "./periods.ts";

/** A grant reserves for more than its first call at most one part in this many of what is left: no other isolate can use it. */
const GRANT_SHARE = 32;
/** Calls in one grant where nothing is limited. */
const MAX_CALLS = 10_000;

/** An account's balance when a grant is requested. `largest`: a decaying maximum of the cost of calls, in micro-dollars. */
export type Balance = {
  now: number;
  rates: Rates;
  /** Calls of open grants, and their limit. */
  running: number;
  concurrency: number | undefined;
  /** The hard budget with the least money left; undefined if there is none. */
  budget: BudgetBalance | undefined;
  largest: number;
};

/** `limit`, `spent`, `held`: micro-dollars. `resetAt`: Unix milliseconds, infinite for a budget without a period. */
export type BudgetBalance = { period: Period; limit: number; spent: number; held: number; resetAt: number };

/** Why a call may not run. `wait`: outstanding reservations, if returned, would make it fit. */
type GrantRefusal = { refused: LedgerRefusal; wait?: boolean };

type Rule = (request: GrantRequest, balance: Balance) => GrantRefusal | undefined;

/** Rates come before concurrency, and the budget last: a call that only has to wait is not refused for its price. */
const RULES: readonly Rule[] = [checkRequests, checkTokens, checkConcurrency, checkPrice, checkBudget];

/** The first rule that refuses the request; undefined if one call of it may run. */
export function checkGrant(request: GrantRequest, balance: Balance): GrantRefusal | undefined {
  for (const rule of RULES) {
    const refusal = rule(request, balance);
    if (refusal !== undefined) return refusal;
  }
  return undefined;
}

/** What a grant for a request that `checkGrant` allows contains. Infinity: not limited. */
export function sizeGrant(request: GrantRequest, balance: Balance): Amount & { calls: number } {
  const { rates, running, concurrency = Infinity, budget } = balance;
  const left = leftOf(budget);
  // The estimate itself, or less for a call without a bound on its output.
  const first = computeReservation(request, left, balance.largest) ?? request.micros;
  const more = Math.min(
    Math.min(request.calls, MAX_CALLS) - 1,
    countMoreCalls((rates.requests?.remaining ?? Infinity) - 1, 1),
    countMoreCalls(concurrency - running - 1, 1),
    countMoreCalls((rates.tokens?.remaining ?? Infinity) - request.tokens, request.tokens),
    first < request.micros ? 0 : countMoreCalls(left - request.micros, request.micros),
  );
  const calls = 1 + Math.max(0, more);
  const micros = calls === 1 ? first : calls * request.micros;
  return {
    calls,
    micros: budget === undefined ? Infinity : micros,
    tokens: rates.tokens === undefined ? Infinity : calls * request.tokens,
  };
}

function checkRequests(_: GrantRequest, { rates, now }: Balance): GrantRefusal | undefined {
  const { requests } = rates;
  if (requests === undefined || requests.remaining >= 1) return undefined;
  return { refused: refuseRate("requests a minute", requests, now, rates) };
}

function checkTokens(request: GrantRequest, { rates, now }: Balance): GrantRefusal | undefined {
  const { tokens } = rates;
  if (tokens === undefined || tokens.remaining >= request.tokens) return undefined;
  return { refused: refuseRate("tokens a minute", tokens, now, rates) };
}

function checkConcurrency(_: GrantRequest, { running, concurrency, rates }: Balance): GrantRefusal | undefined {
  if (concurrency === undefined || running < concurrency) return undefined;
  const message = `the limit of ${concurrency} calls at the same time is reached`;
  return { refused: { code: "rate.limited", message, retryAfterSeconds: 1, rates } };
}

/** A call of unknown cost cannot be held within a hard budget. */
function checkPrice({ isUnpriced }: GrantRequest, { budget, rates }: Balance): GrantRefusal | undefined {
  if (budget === undefined || !isUnpriced) return undefined;
  const message = "model: its price is unknown, and a hard budget requires it: set it in RHONE_PRICES";
  return { refused: { code: "model.not_allowed", message, rates } };
}

function checkBudget(request: GrantRequest, { budget, largest, rates, now }: Balance): GrantRefusal | undefined {
  const left = leftOf(budget);
  if (budget === undefined || computeReservation(request, left, largest) !== undefined) return undefined;
  const { period, limit, held, spent, resetAt } = budget;
  const state = `${spent} of ${limit} micro-dollars spent, ${held} in use`;
  const message =
    left > 0
      ? `the call may cost more than is left of the ${period} budget: ${state}; a lower output limit may fit`
      : `the ${period} budget is spent: ${state}`;
  const retry = Number.isFinite(resetAt) ? { retryAfterSeconds: Math.ceil((resetAt - now) / 1000) } : {};
  const wait = held > 0 && computeReservation(request, left + held, largest) !== undefined;
  return { refused: { code: "budget.exceeded", message, ...retry, rates }, ...(wait && { wait }) };
}

/** Micro-dollars that are neither spent nor reserved. */
export const leftOf = (budget: Pick<BudgetBalance, "limit" | "spent" | "held"> | undefined): number =>
  budget === undefined ? Infinity : budget.limit - budget.spent - budget.held;

/**
 * Micro-dollars to reserve for a call: its estimate if that fits; undefined if the call is refused. A call without a limit
 * of output may also get a part of what is left: much more than recent calls cost, so that some can run at the same time,
 * or all of it before the first call has settled.
 */
function computeReservation({ micros, least }: GrantRequest, left: number, largest: number): number | undefined {
  if (micros <= left) return micros;
  if (least === undefined || left <= 0 || left < Math.max(least, largest)) return undefined;
  return largest === 0 ? left : Math.min(left, Math.max(least, 4 * largest, Math.floor(left / 8)));
}

/** How many calls of `each` fit in a grant's share of what is left. */
const countMoreCalls = (left: number, each: number): number =>
  each <= 0 ? Infinity : Math.floor(left / GRANT_SHARE / each);

function refuseRate(what: string, { limit, resetAt }: RateState, now: number, rates: Rates): LedgerRefusal {
  const retryAfterSeconds = Math.max(1, Math.ceil((resetAt - now) / 1000));
  return { code: "rate.limited", message: `the limit of ${limit} ${what} is reached`, retryAfterSeconds, rates };
}
