import { GatewayError } from "../../canonical/error.ts";
import type {
  Amount,
  Grant,
  GrantRequest,
  Rates,
  LedgerRefusal,
  Settlement,
  GrantResult,
  GrantReturn,
} from "./ledger.ts";
import type { UsageReport } from "./wait-queue.ts";

/** How long what is settled may wait for more of it on its way to the account's object. Milliseconds. */
const FLUSH_MS = 1_000;
/** How often one request looks after a grant. It lasts five seconds. */
const MAX_ROUNDS = 6;
/** Accounts remembered by an isolate before it looks for some to forget. */
const MAX_POCKETS = 5_000;

/** The object of an account. `report` is heard before anything is taken. */
export type AccountClient = {
  take: (account: string, need: GrantRequest, report: UsageReport) => Promise<AccountReply>;
  report: (account: string, report: UsageReport) => Promise<void>;
};

/**
 * `free`: nothing is counted there, until then. `tags`: those that have accounts of their own, in an organisation's
 * answer.
 */
export type AccountReply = (GrantResult | { free: number }) & { tags?: readonly string[] };

/** What is set aside for one call, in each account it is charged to. It stands in the call's record. */
export type Hold = Amount & { account: string; grant: string };
export type Reservation = { parts: Hold[]; rates: Rates };

export type Estimate = Omit<GrantRequest, "calls">;

/** Whom a call is charged to: a key, the keys above it, their organisation, and those of the call's tags that it counts. */
export type ChargedAccounts = { key: string; above: readonly string[]; organization: string; tags: readonly string[] };

type Tools = { till: AccountClient; later: (work: Promise<unknown>) => void };

type AccountGrants = {
  /** What is left of it. */
  grant: Grant | undefined;
  /** How many calls it was for. */
  size: number;
  usedAt: number;
  freeUntil: number;
  tags: readonly string[];
  settled: Settlement[];
  unused: GrantReturn[];
  /** When a flush is due, and until when a refill is under way, should nothing have killed them. */
  flushAt: number;
  refillUntil: number;
};

/** Accounts are named by their objects, and by what in them is meant. A tag may hold any character, an id may not. */
const tagAccount = (organization: string, tag: string): string => `${organization}#${tag}`;
const payerAccount = (key: string): string => `${key}^`;

/** The inverse. `isPayer`: a key that is charged for one that it made. */
export function accountOf(name: string): { id: string; tag?: string; isPayer: boolean } {
  const hash = name.indexOf("#");
  if (hash > 0) return { id: name.slice(0, hash), tag: name.slice(hash + 1), isPayer: false };
  const isPayer = name.endsWith("^");
  return { id: isPayer ? name.slice(0, -1) : name, isPayer };
}

/**
 * An isolate's side of all accounts: it reserves against the grants that it holds and asks an account's object only for
 * new ones. Knows no platform class, so that it can be shared by all objects and requests of an isolate: what belongs
 * to one request is handed in.
 */
export class GrantPool {
  readonly #pockets = new Map<string, AccountGrants>();
  readonly #now: () => number;
  readonly #sleep: (ms: number) => Promise<void>;

  constructor(now: () => number, sleep: (ms: number) => Promise<void>) {
    this.#now = now;
    this.#sleep = sleep;
  }

  /** Sets aside what a call may take, everywhere or nowhere. Throws `budget.exceeded`, `rate.limited`, or `auth.*` of a key that is no more. */
  async reserve(
    call: string,
    { key, above, organization, tags }: ChargedAccounts,
    wanted: Estimate,
    tools: Tools,
  ): Promise<Reservation> {
    const parts: Hold[] = [];
    try {
      await this.#reserveAll([key, ...above.map(payerAccount), organization], wanted, tools, parts);
      const counted = this.#pocketOf(organization).tags;
      const tagged = [...new Set(tags)].filter((tag) => counted.includes(tag));
      if (tagged.length > 0)
        await this.#reserveAll(
          tagged.map((tag) => tagAccount(organization, tag)),
          wanted,
          tools,
          parts,
        );
    } catch (thrown) {
      // Not as the call's own: it may ask again.
      this.settle(`${call}/refused`, parts, { micros: 0, tokens: 0 }, tools);
      throw thrown;
    }
    return { parts, rates: this.#ratesOf(key) };
  }

  /** A call has ended: what it did not take is free again. */
  settle(call: string, parts: readonly Hold[], took: Amount, tools: Tools): void {
    for (const { account, grant, micros, tokens } of parts) {
      const pocket = this.#pocketOf(account);
      pocket.settled.push({ grant, call, held: { micros, tokens }, took });
      // Where little is left others wait for it.
      this.#flushLater(account, pocket, pocket.size > 1 ? FLUSH_MS : 0, tools);
    }
  }

  /** From what is held where it is held; the others are asked side by side. Parts that were got stand in `parts` whatever happens. */
  async #reserveAll(accounts: readonly string[], wanted: Estimate, tools: Tools, parts: Hold[]): Promise<void> {
    const asked: Promise<void>[] = [];
    for (const account of accounts) {
      const pocket = this.#pocketOf(account);
      if (pocket.freeUntil > this.#now()) continue;
      const part = this.#fromGrant(account, pocket, wanted);
      if (part === undefined) asked.push(this.#ask(account, pocket, wanted, tools, parts));
      else {
        parts.push(part);
        this.#refillSoon(account, pocket, wanted, tools);
      }
    }
    if (asked.length === 0) return;
    const failed = (await Promise.allSettled(asked)).find((result) => result.status === "rejected");
    if (failed !== undefined) throw failed.reason;
  }

  #fromGrant(account: string, pocket: AccountGrants, wanted: Estimate): Hold | undefined {
    const { grant } = pocket;
    const { micros, tokens } = wanted;
    const now = this.#now();
    if (!mayUse(grant, wanted, now)) return undefined;
    pocket.grant = {
      ...grant,
      calls: grant.calls - 1,
      micros: grant.micros - micros,
      tokens: grant.tokens - tokens,
    };
    pocket.usedAt = now;
    return { account, grant: grant.id, micros: Number.isFinite(grant.micros) ? micros : 0, tokens };
  }

  async #ask(account: string, pocket: AccountGrants, wanted: Estimate, tools: Tools, parts: Hold[]): Promise<void> {
    const answer = await this.#take(account, pocket, wanted, tools);
    if ("refused" in answer) throw refusal(answer.refused);
    if (!("grant" in answer)) return;
    const { grant } = answer;
    const micros = Math.min(wanted.micros, grant.micros);
    parts.push({ account, grant: grant.id, micros: Number.isFinite(grant.micros) ? micros : 0, tokens: wanted.tokens });
    this.#keep(account, pocket, grant, { micros, tokens: wanted.tokens, calls: 1 }, tools);
  }

  async #take(account: string, pocket: AccountGrants, wanted: Estimate, { till }: Tools): Promise<AccountReply> {
    const need = { ...wanted, calls: wishOf(pocket) };
    if (!mayUse(pocket.grant, wanted, this.#now())) this.#retire(pocket);
    const report = drained(pocket);
    try {
      const answer = await till.take(account, need, report);
      if (answer.tags !== undefined) pocket.tags = answer.tags;
      if ("free" in answer) pocket.freeUntil = answer.free;
      return answer;
    } catch (cause) {
      restore(pocket, report);
      throw cause;
    }
  }

  /** What a grant holds beyond the call that it was asked for. */
  #keep(account: string, pocket: AccountGrants, grant: Grant, used: Amount & { calls: number }, tools: Tools): void {
    this.#retire(pocket);
    pocket.size = grant.calls;
    pocket.usedAt = this.#now();
    pocket.grant = {
      ...grant,
      calls: grant.calls - used.calls,
      micros: grant.micros - used.micros,
      tokens: grant.tokens - used.tokens,
    };
    if (pocket.grant.calls > 0) this.#flushLater(account, pocket, grant.expiresAt - this.#now(), tools);
  }

  /** A busy account is asked again before its grant is used up or old, so that no call has to wait for that. */
  #refillSoon(account: string, pocket: AccountGrants, wanted: Estimate, tools: Tools): void {
    const { grant, size } = pocket;
    const now = this.#now();
    if (grant === undefined || size < 2 || pocket.refillUntil > now) return;
    if (grant.calls > size / 4 && grant.expiresAt - now > FLUSH_MS) return;
    pocket.refillUntil = now + FLUSH_MS;
    const refilled = async (): Promise<void> => {
      const answer = await this.#take(account, pocket, wanted, tools);
      pocket.refillUntil = 0;
      if ("grant" in answer) this.#keep(account, pocket, answer.grant, { micros: 0, tokens: 0, calls: 0 }, tools);
    };
    // Should that fail, the next call asks by itself and is told why.
    tools.later(refilled().catch(() => {}));
  }

  #flushLater(account: string, pocket: AccountGrants, delay: number, tools: Tools, round = 0): void {
    const now = this.#now();
    if (pocket.flushAt > now && pocket.flushAt <= now + delay) return;
    pocket.flushAt = now + delay;
    const flushed = async (): Promise<void> => {
      if (delay > 0) await this.#sleep(delay);
      const isDue = pocket.flushAt <= this.#now();
      if (isDue) pocket.flushAt = 0;
      await this.#flush(account, pocket, tools);
      // What others hold on to must not keep this request alive for ever: whoever uses it next goes on.
      if (isDue && pocket.grant !== undefined && pocket.grant.calls > 0 && round < MAX_ROUNDS)
        this.#flushLater(account, pocket, FLUSH_MS, tools, round + 1);
    };
    // What cannot be told now is told with the next report; and by the calls' records, whatever becomes of this isolate.
    tools.later(flushed().catch(() => {}));
  }

  async #flush(account: string, pocket: AccountGrants, { till }: Tools): Promise<void> {
    const now = this.#now();
    const { grant } = pocket;
    if (grant !== undefined && (grant.expiresAt <= now || pocket.usedAt + FLUSH_MS <= now)) this.#retire(pocket);
    const report = drained(pocket);
    if (report.settled.length === 0 && report.unused.length === 0) return;
    try {
      await till.report(account, report);
    } catch (cause) {
      restore(pocket, report);
      throw cause;
    }
  }

  #retire(pocket: AccountGrants): void {
    const { grant } = pocket;
    pocket.grant = undefined;
    if (grant === undefined || grant.calls < 1) return;
    const { id, calls, micros, tokens } = grant;
    pocket.size = Math.max(1, pocket.size - calls);
    pocket.unused.push({ grant: id, calls, micros, tokens });
  }

  /** The object counted before the grant; of the grant, what is not used is still there. */
  #ratesOf(account: string): Rates {
    const { grant, size } = this.#pocketOf(account);
    if (grant === undefined) return {};
    const { requests, tokens } = grant.rates;
    const used = size - grant.calls;
    return {
      ...(requests && { requests: { ...requests, remaining: Math.max(0, requests.remaining - used) } }),
      ...(tokens && { tokens }),
    };
  }

  #pocketOf(account: string): AccountGrants {
    const known = this.#pockets.get(account);
    if (known !== undefined) return known;
    if (this.#pockets.size >= MAX_POCKETS) this.#forget();
    const pocket: AccountGrants = {
      grant: undefined,
      size: 0,
      usedAt: 0,
      freeUntil: 0,
      tags: [],
      settled: [],
      unused: [],
      flushAt: 0,
      refillUntil: 0,
    };
    this.#pockets.set(account, pocket);
    return pocket;
  }

  #forget(): void {
    const now = this.#now();
    for (const [account, { grant, settled, unused, freeUntil }] of this.#pockets) {
      const isIdle = (grant === undefined || grant.expiresAt <= now) && freeUntil <= now;
      if (isIdle && settled.length === 0 && unused.length === 0) this.#pockets.delete(account);
    }
  }
}

function mayUse(grant: Grant | undefined, { micros, tokens, isUnpriced }: Estimate, now: number): grant is Grant {
  if (grant === undefined || grant.expiresAt <= now || grant.calls < 1) return false;
  // Where there is a budget the object says why not.
  if (isUnpriced && Number.isFinite(grant.micros)) return false;
  return grant.micros >= micros && grant.tokens >= tokens;
}

/** Twice as many calls as the last grant was for, when most of them were used; else as many as were used. */
function wishOf({ grant, size }: AccountGrants): number {
  const left = grant?.calls ?? 0;
  return Math.max(1, left <= size / 4 ? size * 2 : size - left);
}

function drained(pocket: AccountGrants): UsageReport {
  const { settled, unused } = pocket;
  pocket.settled = [];
  pocket.unused = [];
  return { settled, unused };
}

function restore(pocket: AccountGrants, { settled, unused }: UsageReport): void {
  pocket.settled.push(...settled);
  pocket.unused.push(...unused);
}

function refusal({ code, message, retryAfterSeconds, rates }: LedgerRefusal): GatewayError {
  return new LimitError(code, message, rates ?? {}, retryAfterSeconds);
}

/** A refusal that says how the limits stand. */
export class LimitError extends GatewayError {
  readonly rates: Rates;

  constructor(code: GatewayError["code"], message: string, rates: Rates, retryAfterSeconds: number | undefined) {
    super(code, message, retryAfterSeconds === undefined ? {} : { retryAfterSeconds });
    this.rates = rates;
  }
}
