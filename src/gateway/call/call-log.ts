import type { GatewayError } from "../../canonical/error.ts";
import type { Loss, Usage } from "../../canonical/types.ts";
import { computeCostMicros } from "../../canonical/usage.ts";
import type { Reservation } from "../../keys/budget/grant-pool.ts";
import type { Rates } from "../../keys/budget/grant.ts";
import { loadPrices, type PriceList } from "../../providers/prices.ts";
import type { Provider } from "../../providers/provider.ts";
import type { Target } from "../../routing/locate.ts";
import type { CallStart } from "../../session/calls.ts";
import type { Context } from "../../session/session.ts";
import { type Attempt, type CallRecord, type DiscardedUsage, runIdOf } from "../../store/records.ts";
import type { ParsedRequest } from "../../surfaces/request.ts";
import { withPrefix } from "../../wire/id.ts";
import { discardedCostMicros, priceFor, sumDiscarded } from "./attempt-cost.ts";
import type { Call } from "./call.ts";
import { computeCharge } from "./charge.ts";

/** What is logged about a call while it runs; the source of its record and of the `rhone` object in its answer. */
export class CallLog {
  readonly attempts: Attempt[] = [];
  losses: Loss[] = [];
  /** When the current attempt's first byte arrived, in Unix milliseconds. */
  firstByteAt: number | undefined;
  /** The target of the current or last attempt. */
  target: Target | undefined;
  /** Set if the stream broke and another target continued it. `from`: key of the first target. */
  recovered: { from: string; after_chars: number; how: "restart" | "continuation" } | undefined;
  /** The provider's id of a stored response, if the client received it. */
  publicResponseId: string | undefined;
  /** The answer is durable. */
  isSettled = false;
  /** The session's state at the start of the call. */
  context: Context | undefined;
  /** Undefined if no account of the key has a limit. */
  reservation: Reservation | undefined;
  /** Bytes that the model reads; estimates its input if the provider reports no usage. */
  bytesSent = 0;
  /** The key's rate limits, set after a refusal as well. */
  rates: Rates = {};
  /** Resolves when the response can be found by its provider's id. Starts when that id arrives. */
  indexed: Promise<void> | undefined;
  /**
   * Resolves when the call's cost can be computed. Loading starts with the attempt, so neither its start nor its end
   * waits.
   */
  pricesLoaded: Promise<void> = Promise.resolve();
  #dispatchedAt: number | undefined;
  #prices: PriceList | undefined;
  readonly #call: Call;
  readonly #request: LoggedRequest;
  readonly #now: () => number;

  constructor(call: Call, request: LoggedRequest, now: () => number) {
    this.#call = call;
    this.#request = request;
    this.#now = now;
  }

  get now(): number {
    return this.#now();
  }

  /** Logs an attempt that has ended. */
  addAttempt(attempt: Attempt): void {
    this.attempts.push(attempt);
  }

  /** Adds losses of the answer; those found while it arrived are added once. */
  addLosses(found: readonly Loss[] = []): void {
    this.losses.push(...found.filter((loss) => !this.losses.includes(loss)));
  }

  /** Logs the first byte of the current attempt, once. */
  markFirstByte(): void {
    this.firstByteAt ??= this.#now();
  }

  /**
   * Logs that the call is sent to a target, with the losses of that translation. Losses and first byte of an earlier
   * attempt no longer count.
   */
  startAttempt(target: Target, losses: Loss[]): void {
    this.target = target;
    this.losses = losses;
    this.firstByteAt = undefined;
    this.#dispatchedAt ??= this.#now();
    this.pricesLoaded = this.#loadPrices(target.provider);
  }

  /**
   * Marks the attempt that had started to answer as failed. The returned function adds the attempt's usage and cost
   * once it is known that they are discarded.
   */
  markFailed({ code, message }: GatewayError): (discarded: DiscardedUsage) => void {
    const at = this.attempts.findLastIndex(({ error }) => error === undefined);
    const add = (changes: Partial<Attempt>): void => {
      const attempt = this.attempts[at];
      if (attempt !== undefined) this.attempts[at] = { ...attempt, ...changes };
    };
    add({ error: code, reason: message.slice(0, 500) });
    return add;
  }

  /** The prices of the provider at the time of the attempt. */
  async #loadPrices(provider: Provider): Promise<void> {
    this.#prices = await loadPrices(provider);
  }

  /** The part of the record that is known before any attempt. */
  toCallStart(): CallStart {
    const { id, sessionId, caller, createdAt, contextMode } = this.#call;
    const { surface, stream, model, rhone } = this.#request;
    const metadata = rhone.metadata === undefined ? {} : { metadata: rhone.metadata };
    return {
      id,
      sessionId,
      org: caller.org,
      keyId: caller.keyId,
      surface: surface.id,
      stream,
      contextMode,
      modelAsked: model,
      createdAt,
      ...metadata,
    };
  }

  /**
   * The call's record. `outcome`: what the answer reports; empty if there was none. `receivedChars`: length of the
   * output received, used for the charge if usage is unknown.
   */
  toRecord(
    status: CallRecord["status"],
    outcome: { model?: string; finish?: string; usage?: Usage; error?: GatewayError; receivedChars?: number },
  ): CallRecord {
    const { model = this.target?.model, finish, usage = {}, error, receivedChars = 0 } = outcome;
    const endedAt = this.#now();
    const at = new Date(this.#call.createdAt);
    const price = this.target && this.#prices && priceFor(this.target, outcome.model, this.#prices, at);
    const cost = computeCostMicros(usage, price);
    const { reservation, bytesSent: sentBytes } = this;
    return {
      ...this.toCallStart(),
      status,
      ...(status === "completed" && { turnId: withPrefix(this.#call.id, "turn") }),
      ...(model !== undefined && { model }),
      ...(this.target !== undefined && { provider: this.target.provider.id }),
      ...(finish !== undefined && { finishReason: finish }),
      usage,
      ...(cost !== undefined && { costMicrosUsd: cost }),
      latency: { ...this.#latency(), total: endedAt - this.#call.createdAt },
      attempts: this.attempts,
      losses: this.losses,
      ...(error !== undefined && {
        error: { code: error.code, message: error.message.slice(0, 2000), status: error.status },
      }),
      ...(reservation && {
        charge: computeCharge(reservation.parts, {
          cost,
          usage,
          price,
          sentBytes,
          receivedChars,
          discardedMicros: sumDiscarded(this.attempts),
        }),
      }),
      endedAt,
    };
  }

  /** The `rhone` object: at the start of an answer, or with the record at its end. */
  toRhoneObject(record?: CallRecord): object {
    const { id, sessionId } = this.#call;
    const { target, context } = this;
    const discardedMicros = discardedCostMicros(this.attempts);
    return {
      session_id: sessionId,
      turn_id: withPrefix(id, "turn"),
      call_id: id,
      run_id: runIdOf(id),
      context: { mode: this.#call.contextMode, turns: context?.parent?.depth ?? 0 },
      routing: {
        model: record?.model ?? target?.model,
        provider: target?.provider.id,
        attempts: this.attempts.length,
        ...(this.recovered !== undefined && { rescued: this.recovered }),
        ...(discardedMicros !== undefined && { wasted_cost_micros_usd: discardedMicros }),
      },
      ...(record?.costMicrosUsd !== undefined && { cost_micros_usd: record.costMicrosUsd }),
      ...(this.losses.length > 0 && { losses: this.losses }),
      latency_ms: { gateway: this.#latency().gateway, upstream_first_byte: this.#latency().firstByte },
    };
  }

  /**
   * Milliseconds: `gateway` until the first attempt was sent, `firstByte` from there to the last attempt's first byte.
   */
  #latency(): { gateway: number; firstByte?: number } {
    const { firstByteAt } = this;
    const dispatchedAt = this.#dispatchedAt ?? this.#now();
    const gateway = dispatchedAt - this.#call.createdAt;
    return firstByteAt === undefined ? { gateway } : { gateway, firstByte: firstByteAt - dispatchedAt };
  }
}

/** What a record holds of a request, for generations and for other endpoints. */
type LoggedRequest = Pick<ParsedRequest, "stream" | "model" | "rhone"> & { surface: { id: string } };
