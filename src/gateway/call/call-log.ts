import type { GatewayError } from "../../canonical/error.ts";
import type { Loss, Usage } from "../../canonical/types.ts";
import { computeCostMicros } from "../../canonical/usage.ts";
import type { Reservation } from "../../keys/budget/grant-pool.ts";
import type { Rates } from "../../keys/budget/grant.ts";
import { loadPrices, type PriceList } from "../../providers/prices.ts";
import type { Target } from "../../routing/locate.ts";
import type { CallStart } from "../../session/calls.ts";
import type { Context } from "../../session/session.ts";
import { type Attempt, type CallRecord, type DiscardedUsage, runIdOf } from "../../store/records.ts";
import type { ParsedRequest } from "../../surfaces/request.ts";
import { storesContent } from "../../surfaces/rhone.ts";
import { withPrefix } from "../../wire/id.ts";
import { withoutUndefined } from "../../wire/json.ts";
import { cutText } from "../../wire/surrogates.ts";
import type { CallShield } from "../shield/call-shield.ts";
import { discardedCostMicros, priceFor, sumDiscarded } from "./attempt-cost.ts";
import type { Call } from "./call.ts";
import { computeCharge } from "./charge.ts";
import { withoutContent } from "./unstored.ts";

/**
 * What is logged about a call while it runs; the source of its record and of the `rhone` object in its answer. What is
 * logged of an attempt stays with it.
 */
export class CallLog {
  readonly #call: Call;
  readonly #request: LoggedRequest;
  readonly #now: () => number;
  readonly #shield: CallShield | undefined;
  /** Attempts that have ended. */
  readonly #attempts: Attempt[] = [];
  readonly #started: StartedAttempt[] = [];
  #current: Pick<StartedAttempt, "losses"> & Partial<StartedAttempt> = { losses: [] };
  #context: Context | undefined;
  #reserved: { reservation: Reservation | undefined; bytes: number } | undefined;
  #rates: Rates = {};
  #recovery: Recovery | undefined;
  #publicResponse: { id: string; indexed: Promise<void> | undefined } | undefined;
  #isSettled = false;

  constructor(call: Call, request: LoggedRequest, now: () => number, shield?: CallShield) {
    this.#shield = shield;
    this.#call = call;
    this.#request = request;
    this.#now = now;
  }

  get now(): number {
    return this.#now();
  }

  /** The target that the record and the headers name. */
  get target(): Target | undefined {
    return this.#current.target;
  }

  /** What of the call could not be represented at that target, and of its answer at the client. */
  get losses(): readonly Loss[] {
    return this.#current.losses;
  }

  /** The key's rate limits, known after a refusal as well. */
  get rates(): Rates {
    return this.#rates;
  }

  /** Whether another target has continued the stream. */
  get isRecovered(): boolean {
    return this.#recovery !== undefined;
  }

  /** The provider's id of a stored response, if the client received it. */
  get publicResponseId(): string | undefined {
    return this.#publicResponse?.id;
  }

  /** Resolves when the response can be found by that id. */
  get indexed(): Promise<void> | undefined {
    return this.#publicResponse?.indexed;
  }

  /** The answer is durable. */
  get isSettled(): boolean {
    return this.#isSettled;
  }

  /** `context`: the session's state at the start of the call. */
  addContext(context: Context): void {
    this.#context = context;
  }

  /** `reservation`: undefined if no account of the key has a limit. `bytes`: all that the model reads, for the charge if the provider reports no usage. */
  addReservation(reservation: Reservation | undefined, bytes: number): void {
    this.#reserved = { reservation, bytes };
    this.addRates(reservation?.rates ?? {});
  }

  addRates(rates: Rates): void {
    this.#rates = rates;
  }

  /** Logs an attempt that has ended. */
  addAttempt(attempt: Attempt): void {
    this.#attempts.push(attempt);
  }

  addRecovery(recovery: Recovery): void {
    this.#recovery = recovery;
  }

  /** Logs, once, the id of a stored response that the client receives. `index`: makes the response findable by it. */
  addResponseId(id: string, index: () => Promise<void> | undefined): void {
    if (this.#publicResponse !== undefined) return;
    const indexed = index();
    // `indexed` is awaited later; without a handler, a rejection before that would be reported as unhandled.
    indexed?.catch(() => {});
    this.#publicResponse = { id, indexed };
  }

  /** Adds losses of the answer; those found while it arrived are added once. */
  addLosses(found: readonly Loss[] = []): void {
    const { losses } = this.#current;
    losses.push(...found.filter((loss) => !losses.includes(loss)));
  }

  /** Logs the first byte of an attempt at the target, once. */
  markFirstByte(target: Target): void {
    const attempt = this.#findStarted(target);
    if (attempt !== undefined) attempt.firstByteAt ??= this.#now();
  }

  markSettled(): void {
    this.#isSettled = true;
  }

  /** Logs that the call is sent to a target, with the losses of that translation. */
  startAttempt(target: Target, losses: readonly Loss[]): void {
    // Loading the prices starts here, so that neither the start of an attempt nor its end waits.
    const attempt = { target, losses: [...losses], startedAt: this.#now(), prices: loadPrices(target.provider) };
    this.#started.push(attempt);
    this.#current = attempt;
  }

  /**
   * Names the target whose attempt counts: the one that will probably be tried first, until one is; later, if it is not
   * the last that was started, the one that the answer or the error is from.
   */
  nameTarget(target: Target): void {
    this.#current = this.#findStarted(target) ?? { target, losses: [] };
  }

  /** The last attempt at the target: no two targets of a call have the same provider and model. */
  #findStarted({ provider, model }: Target): StartedAttempt | undefined {
    return this.#started.findLast(({ target }) => target.provider === provider && target.model === model);
  }

  /**
   * Marks the attempt that had started to answer as failed. The returned function adds the attempt's usage and cost
   * once it is known that they are discarded.
   */
  markFailed({ code, message }: GatewayError): (discarded: DiscardedUsage) => void {
    const at = this.#attempts.findLastIndex(({ error }) => error === undefined);
    const add = (changes: Partial<Attempt>): void => {
      const attempt = this.#attempts[at];
      if (attempt !== undefined) this.#attempts[at] = { ...attempt, ...changes };
    };
    add({ error: code, reason: cutText(message, 500) });
    return add;
  }

  /** The part of the record that is known before any attempt. */
  toCallStart(): CallStart {
    const { id, sessionId, caller, createdAt, contextMode, conversation, runId } = this.#call;
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
      ...(runId !== undefined && { runId }),
      ...(conversation && { conversation: { ...withoutId(conversation), ...this.#line } }),
    };
  }

  /** What its place in the session adds to the call's conversation. */
  get #line(): Pick<NonNullable<CallRecord["conversation"]>, "isBeside"> {
    return this.#context?.isBeside === true ? { isBeside: true } : {};
  }

  /**
   * The call's record. `outcome`: what the answer reports; empty if there was none. `receivedChars`: length of the
   * output received, used for the charge if usage is unknown.
   */
  async toRecord(
    status: CallRecord["status"],
    outcome: { model?: string; finish?: string; usage?: Usage; error?: GatewayError; receivedChars?: number },
  ): Promise<CallRecord> {
    const { target, losses } = this.#current;
    const { model = target?.model, finish, usage = {}, error, receivedChars = 0 } = outcome;
    const price = await this.#findPrice(outcome.model);
    const cost = computeCostMicros(usage, price);
    const { reservation, bytes: sentBytes = 0 } = this.#reserved ?? {};
    const endedAt = this.#now();
    const record: CallRecord = {
      ...this.toCallStart(),
      status,
      ...(status === "completed" && { turnId: withPrefix(this.#call.id, "turn") }),
      ...withoutUndefined({ model, provider: target?.provider.id, finishReason: finish }),
      usage,
      ...(cost !== undefined && { costMicrosUsd: cost }),
      latency: { ...this.#latency(), total: endedAt - this.#call.createdAt },
      attempts: this.#attempts,
      losses,
      ...(error !== undefined && { error: toRecordedError(error) }),
      ...(reservation && {
        charge: computeCharge(reservation.parts, {
          cost,
          usage,
          price,
          sentBytes,
          receivedChars,
          discardedMicros: sumDiscarded(this.#attempts),
        }),
      }),
      ...withoutUndefined({ safety: this.#shield?.record }),
      endedAt,
    };
    return storesContent(this.#request.rhone) ? record : withoutContent(record);
  }

  /** The price of the attempt that counts. `model`: the model's name in the answer. */
  async #findPrice(model: string | undefined): Promise<ReturnType<PriceList>> {
    const { target, prices } = this.#current;
    return target && prices && priceFor(target, model, await prices, new Date(this.#call.createdAt));
  }

  /** The `rhone` object: at the start of an answer, or with the record at its end. */
  toRhoneObject(record?: CallRecord): object {
    const { id, sessionId } = this.#call;
    const { target, losses } = this.#current;
    const discardedMicros = discardedCostMicros(this.#attempts);
    return {
      session_id: sessionId,
      ...(storesContent(this.#request.rhone) && { turn_id: withPrefix(id, "turn") }),
      call_id: id,
      run_id: runIdOf(this.#call),
      context: this.#toRhoneContext(),
      routing: {
        model: record?.model ?? target?.model,
        provider: target?.provider.id,
        attempts: this.#attempts.length,
        ...(this.#recovery !== undefined && { rescued: this.#recovery }),
        ...(discardedMicros !== undefined && { wasted_cost_micros_usd: discardedMicros }),
      },
      ...(record?.costMicrosUsd !== undefined && { cost_micros_usd: record.costMicrosUsd }),
      ...(losses.length > 0 && { losses }),
      latency_ms: { gateway: this.#latency().gateway, upstream_first_byte: this.#latency().firstByte },
    };
  }

  #toRhoneContext(): object {
    const { contextMode, conversation } = this.#call;
    const context = { mode: contextMode, turns: this.#context?.parent?.depth ?? 0 };
    if (conversation === undefined) return context;
    const { client, recognizedBy, agent } = conversation;
    return { ...context, client, recognized_by: recognizedBy, ...(agent !== undefined && { agent }) };
  }

  /**
   * Milliseconds: `gateway` until the first attempt was sent, `firstByte` from there to the first byte of the attempt that counts.
   */
  #latency(): { gateway: number; firstByte?: number } {
    const { firstByteAt } = this.#current;
    const dispatchedAt = this.#started[0]?.startedAt ?? this.#now();
    const gateway = dispatchedAt - this.#call.createdAt;
    return firstByteAt === undefined ? { gateway } : { gateway, firstByte: firstByteAt - dispatchedAt };
  }
}

function toRecordedError({ code, message, status, retryAfterSeconds }: GatewayError): NonNullable<CallRecord["error"]> {
  const error = { code, message: cutText(message, 2000), status };
  return retryAfterSeconds === undefined ? error : { ...error, retryAfterSeconds };
}

/** What a record has of a conversation. Its id is the client's own, and no other part reads it. */
const withoutId = ({
  id: _,
  ...conversation
}: NonNullable<Call["conversation"]>): NonNullable<CallRecord["conversation"]> => conversation;

/** An attempt that was sent. Times are Unix milliseconds. */
type StartedAttempt = {
  target: Target;
  losses: Loss[];
  startedAt: number;
  firstByteAt?: number;
  prices: Promise<PriceList>;
};

/** How a broken stream was continued at another target. `from`: key of the first one. */
type Recovery = { from: string; after_chars: number; how: "restart" | "continuation" };

/** What a record holds of a request, for generations and for other endpoints. */
type LoggedRequest = Pick<ParsedRequest, "stream" | "model" | "rhone"> & { surface: { id: string } };
