import type { GatewayError } from "../../canonical/error.ts";
import type { Loss, Usage } from "../../canonical/types.ts";
import { costMicros } from "../../canonical/usage.ts";
import type { PathParams } from "../../dialects/dialect.ts";
import type { Rates } from "../../keys/budget/ledger.ts";
import type { Policy } from "../../keys/policy.ts";
import type { Reservation } from "../../keys/budget/grant-pool.ts";
import { type PriceList, pricesOf } from "../../providers/prices.ts";
import type { Provider } from "../../providers/provider.ts";
import type { Target } from "../../routing/locate.ts";
import type { Router } from "../../routing/router.ts";
import type { CallStart } from "../../session/calls.ts";
import type { StoredResponse } from "../../session/stored-responses.ts";
import type { Context, Instructions, TurnInput, CompletedTurn } from "../../session/session.ts";
import type { WireItems } from "../../session/turns.ts";
import { type Attempt, type CallRecord, runIdOf, type DiscardedUsage } from "../../store/records.ts";
import { withPrefix } from "../../wire/id.ts";
import type { ParsedRequest } from "../../surfaces/request.ts";
import { computeCharge, type Budgets } from "./charge.ts";
import type { StreamRecorder } from "../output/recorder.ts";
import type { ResponsesState } from "../responses/state.ts";
import type { SurfaceId } from "../../surfaces/index.ts";
import { sumDiscarded, priceFor, discardedCostMicros } from "./attempt-cost.ts";

/**
 * Who calls: a key and its organisation. `policy`: what the key may do; absent, everything: it is the bootstrap key.
 * `payers`: the keys that made it, which are charged as well. It crosses to a session's object.
 */
export type Caller = {
  org: string;
  keyId: string;
  policy?: Policy;
  payers?: string[];
  /** Of a client token: it speaks for this session alone, until then, in Unix milliseconds. */
  session?: string;
  expiresAt?: number;
};

/** One call, before anything is known of its body. `annotate`: whether answers carry the `rhone` object. */
export type Call = {
  id: string;
  sessionId: string;
  caller: Caller;
  headers: Headers;
  annotate: boolean;
  createdAt: number;
  /** On OpenAI's Responses surface: the state that the caller asks for. */
  response?: ResponsesState;
};

/**
 * Where a call is handled: in its session's object, or in the Worker when it is stateless. What differs is handed in.
 * What `commit` and `fail` resolve to is durable.
 */
export type CallHost = {
  contextMode: CallRecord["contextMode"];
  providers: ReadonlyMap<string, Provider>;
  router: Router;
  now: () => number;
  /** Sets aside what the call may cost, and settles what it did. */
  budgets: Budgets;
  /** Keeps the host awake until then, also when the client has left. */
  waitUntil: (work: Promise<unknown>) => void;
  /** Says that the call is to be stopped, whoever still listens. */
  cancelled?: AbortSignal;
  /** Says that the client has left, as far as the platform notices; from when the answer begins its body says it, too. */
  clientLeft?: AbortSignal;
  /** Hears a whole answer as its client is told it. */
  onBody?: (call: string, body: Uint8Array) => void;
  /** Where the stream of a call is kept; absent: nowhere. */
  recorderFor?: (call: string) => StreamRecorder;
  begin: (said: TurnInput, started: CallStart) => Promise<Context>;
  commit: (record: CallRecord, step: CompletedTurn, kept?: StoredResponse) => Promise<void>;
  fail: (record: CallRecord, received?: string, kept?: StoredResponse) => Promise<void>;
  /** Has a response found by the id that its provider gave it. What it resolves to is durable. */
  indexResponse?: (id: string) => Promise<void>;
};

/** A call on its way to its session. `isNew`: the session begins with it. */
export type SessionCall = Omit<Call, "headers"> & {
  headers: [string, string][];
  surface: SurfaceId;
  outside: PathParams;
  /** As bytes where it is large: a value that crosses to an object has a limit, a stream has none. */
  text: string | ReadableStream<Uint8Array>;
  isNew: boolean;
};

/** A stateless call that the Worker has handled, with what was said in it. `input` is the whole transcript. */
export type StatelessCall = {
  record: CallRecord;
  isNew: boolean;
  received?: string;
  said?: { input: WireItems; output: WireItems & { issuer: string }; instructions?: Instructions };
  kept?: StoredResponse;
};

/** What of a request and its host stands in a record, be it a generation or not. */
type NotedRequest = Pick<ParsedRequest, "stream" | "model" | "rhone"> & { surface: { id: string } };
type NotedHost = Pick<CallHost, "contextMode" | "now">;

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
  readonly #asked: NotedRequest;
  readonly #host: NotedHost;

  constructor(call: Call, request: NotedRequest, host: NotedHost) {
    this.#call = call;
    this.#asked = request;
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
    this.pricesLoaded = this.#price(target.provider);
  }

  /** The attempt that had begun to answer came to nothing. Gives what notes its waste, once that is known to be one. */
  markFailed({ code, message }: GatewayError): (waste: DiscardedUsage) => void {
    const at = this.attempts.findLastIndex(({ error }) => error === undefined);
    const add = (more: Partial<Attempt>): void => {
      const made = this.attempts[at];
      if (made !== undefined) this.attempts[at] = { ...made, ...more };
    };
    add({ error: code, reason: message.slice(0, 500) });
    return add;
  }

  async #price(provider: Provider): Promise<void> {
    this.#prices = await pricesOf(provider);
  }

  toCallStart(): CallStart {
    const { id, sessionId, caller, createdAt } = this.#call;
    const { surface, stream, model, rhone } = this.#asked;
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
    said: { model?: string; finish?: string; usage?: Usage; error?: GatewayError; heard?: number },
  ): CallRecord {
    const { model = this.target?.model, finish, usage = {}, error, heard = 0 } = said;
    const endedAt = this.#host.now();
    const at = new Date(this.#call.createdAt);
    const price = this.target && this.#prices && priceFor(this.target, said.model, this.#prices, at);
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
    const wasted = discardedCostMicros(this.attempts);
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
        ...(wasted !== undefined && { wasted_cost_micros_usd: wasted }),
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
