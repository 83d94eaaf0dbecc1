import { type Attempt, type DiscardedUsage, type CallRecord, runIdOf } from "../../store/records.ts";
import type { Loss, Usage } from "../../canonical/types.ts";
import type { Target } from "../../routing/locate.ts";
import type { Context } from "../../session/session.ts";
import type { Reservation } from "../../keys/budget/grant-pool.ts";
import type { Rates } from "../../keys/budget/ledger.ts";
import { type PriceList, pricesOf } from "../../providers/prices.ts";
import type { Call, CallHost } from "./call.ts";
import type { GatewayError } from "../../canonical/error.ts";
import type { Provider } from "../../providers/provider.ts";
import type { CallStart } from "../../session/calls.ts";
import { priceFor, sumDiscarded, discardedCostMicros } from "./attempt-cost.ts";
import { costMicros } from "../../canonical/usage.ts";
import { withPrefix } from "../../wire/id.ts";
import { computeCharge } from "./charge.ts";
import type { ParsedRequest } from "../../surfaces/request.ts";

/** What is noted of a call while it runs. */
export class CallLog {
  readonly attempts: Attempt[] = [];
  losses: Loss[] = [];
  firstByteAt: number | undefined;
  target: Target | undefined;
  /** The stream broke off after it had begun, and another target went on with it. */
  recovered: { from: string; after_chars: number; how: "restart" | "continuation" } | undefined;
  /** A kept response's id as the provider names it, and the client was told it. */
  publicResponseId: string | undefined;
  /** The answer is durable. */
  isSettled = false;
  context: Context | undefined;
  /** What was set aside for the call, where somebody counts; and how much was sent, should nobody count that. Bytes. */
  reservation: Reservation | undefined;
  bytesSent = 0;
  /** How the key's limits stand, in a refusal, too. */
  rates: Rates = {};
  /** Resolves when the answer is found by its provider's own id. Begun when that is heard. */
  indexed: Promise<void> | undefined;
  /** Resolves when the call can be priced. Begun when it is sent, so that neither its start nor its end waits for it. */
  pricesLoaded: Promise<void> = Promise.resolve();
  #dispatchedAt: number | undefined;
  #prices: PriceList | undefined;
  readonly #call: Call;
  readonly #request: LoggedRequest;
  readonly #host: LoggedHost;

  constructor(call: Call, request: LoggedRequest, host: LoggedHost) {
    this.#call = call;
    this.#request = request;
    this.#host = host;
  }

  get now(): number {
    return this.#host.now();
  }

  /** The call goes to this target now, which cannot hold all of it. What an earlier one said no longer counts. */
  startAttempt(target: Target, losses: Loss[]): void {
    this.target = target;
    this.losses = losses;
    this.firstByteAt = undefined;
    this.#dispatchedAt ??= this.#host.now();
    this.pricesLoaded = this.#loadPrices(target.provider);
  }

  /** The attempt that had begun to answer came to nothing. Gives what notes its waste, once that is known to be one. */
  markFailed({ code, message }: GatewayError): (discarded: DiscardedUsage) => void {
    const at = this.attempts.findLastIndex(({ error }) => error === undefined);
    const add = (changes: Partial<Attempt>): void => {
      const attempt = this.attempts[at];
      if (attempt !== undefined) this.attempts[at] = { ...attempt, ...changes };
    };
    add({ error: code, reason: message.slice(0, 500) });
    return add;
  }

  async #loadPrices(provider: Provider): Promise<void> {
    this.#prices = await pricesOf(provider);
  }

  toCallStart(): CallStart {
    const { id, sessionId, caller, createdAt } = this.#call;
    const { surface, stream, model, rhone } = this.#request;
    const { contextMode } = this.#host;
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

  /** `said`: what the answer said of itself; absent when there was none. `heard`: how much of it came, in characters. */
  toRecord(
    status: CallRecord["status"],
    outcome: { model?: string; finish?: string; usage?: Usage; error?: GatewayError; heard?: number },
  ): CallRecord {
    const { model = this.target?.model, finish, usage = {}, error, heard = 0 } = outcome;
    const endedAt = this.#host.now();
    const at = new Date(this.#call.createdAt);
    const price = this.target && this.#prices && priceFor(this.target, outcome.model, this.#prices, at);
    const cost = costMicros(usage, price);
    const { reservation, bytesSent: sent } = this;
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
          sent,
          heard,
          wasted: sumDiscarded(this.attempts),
        }),
      }),
      endedAt,
    };
  }

  /** The `rhone` object of an answer: while it begins, and with its record when it has ended. */
  toRhoneObject(record?: CallRecord): object {
    const { id, sessionId } = this.#call;
    const { target, context } = this;
    const discardedMicros = discardedCostMicros(this.attempts);
    return {
      session_id: sessionId,
      turn_id: withPrefix(id, "turn"),
      call_id: id,
      run_id: runIdOf(id),
      context: { mode: this.#host.contextMode, turns: context?.parent?.depth ?? 0 },
      routing: {
        model: record?.model ?? target?.model,
        provider: target?.provider.id,
        attempts: this.attempts.length,
        ...(this.recovered !== undefined && { recovered: this.recovered }),
        ...(discardedMicros !== undefined && { wasted_cost_micros_usd: discardedMicros }),
      },
      ...(record?.costMicrosUsd !== undefined && { cost_micros_usd: record.costMicrosUsd }),
      ...(this.losses.length > 0 && { losses: this.losses }),
      latency_ms: { gateway: this.#latency().gateway, upstream_first_byte: this.#latency().firstByte },
    };
  }

  #latency(): { gateway: number; firstByte?: number } {
    const { firstByteAt } = this;
    const dispatchedAt = this.#dispatchedAt ?? this.#host.now();
    const gateway = dispatchedAt - this.#call.createdAt;
    return firstByteAt === undefined ? { gateway } : { gateway, firstByte: firstByteAt - dispatchedAt };
  }
}

/** What of a request and its host stands in a record, be it a generation or not. */
export type LoggedRequest = Pick<ParsedRequest, "stream" | "model" | "rhone"> & { surface: { id: string } };

export type LoggedHost = Pick<CallHost, "contextMode" | "now">;
