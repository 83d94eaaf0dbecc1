import type { GatewayError } from "../canonical/error.ts";
import type { Loss, Usage } from "../canonical/types.ts";
import { costMicros } from "../canonical/usage.ts";
import type { Outside } from "../dialects/dialect.ts";
import { type PriceList, pricesOf } from "../providers/price.ts";
import type { Provider } from "../providers/provider.ts";
import type { Target } from "../routing/plan.ts";
import type { Started } from "../session/calls.ts";
import type { Context, Instructions, Said, Step } from "../session/session.ts";
import type { Passage } from "../session/turns.ts";
import { type Attempt, type CallRecord, runIdOf } from "../store/records.ts";
import { renamed } from "../wire/id.ts";
import type { Asked } from "./ask.ts";
import type { SurfaceId } from "./surface.ts";

/** Who calls: a key and its organisation. */
export type Caller = { org: string; keyId: string };

/** One call, before anything is known of its body. `annotate`: whether answers carry the `rhone` object. */
export type Call = {
  id: string;
  sessionId: string;
  caller: Caller;
  headers: Headers;
  annotate: boolean;
  createdAt: number;
};

/**
 * Where a call is handled: in its session's object, or in the Worker when it is stateless. What differs is handed in.
 * What `commit` and `fail` resolve to is durable.
 */
export type Host = {
  contextMode: CallRecord["contextMode"];
  providers: ReadonlyMap<string, Provider>;
  now: () => number;
  /** Keeps the host awake until then, also when the client has left. */
  keepAlive: (work: Promise<unknown>) => void;
  begin: (said: Said, started: Started) => Context;
  commit: (record: CallRecord, step: Step) => Promise<void>;
  fail: (record: CallRecord, received?: string) => Promise<void>;
};

/** A call on its way to its session. `isNew`: the session begins with it. */
export type Envelope = Omit<Call, "headers"> & {
  headers: [string, string][];
  surface: SurfaceId;
  outside: Outside;
  text: string;
  isNew: boolean;
};

/** A stateless call that the Worker has handled, with what was said in it. `input` is the whole transcript. */
export type Handled = {
  record: CallRecord;
  isNew: boolean;
  received?: string;
  said?: { input: Passage; output: Passage & { issuer: string }; instructions?: Instructions };
};

/** What of a request and its host stands in a record, be it a generation or not. */
type NotedRequest = Pick<Asked, "stream" | "model" | "rhone"> & { surface: { id: string } };
type NotedHost = Pick<Host, "contextMode" | "now">;

/** What is noted of a call while it runs. */
export class Notes {
  readonly attempts: Attempt[] = [];
  readonly losses: Loss[] = [];
  firstByteAt: number | undefined;
  target: Target | undefined;
  /** The answer is durable. */
  isSettled = false;
  context: Context | undefined;
  /** Resolves when the call can be priced. Begun when it is sent, so that neither its start nor its end waits for it. */
  priced: Promise<void> = Promise.resolve();
  #dispatchedAt: number | undefined;
  #prices: PriceList | undefined;
  readonly #call: Call;
  readonly #asked: NotedRequest;
  readonly #host: NotedHost;

  constructor(call: Call, asked: NotedRequest, host: NotedHost) {
    this.#call = call;
    this.#asked = asked;
    this.#host = host;
  }

  get dispatchedAt(): number | undefined {
    return this.#dispatchedAt;
  }

  set dispatchedAt(at: number) {
    this.#dispatchedAt = at;
    if (this.target !== undefined) this.priced = this.#price(this.target.provider);
  }

  async #price(provider: Provider): Promise<void> {
    this.#prices = await pricesOf(provider);
  }

  started(): Started {
    const { id, sessionId, caller, createdAt } = this.#call;
    const { surface, stream, model, rhone } = this.#asked;
    const { contextMode } = this.#host;
    const metadata = rhone.metadata === undefined ? {} : { metadata: rhone.metadata };
    return {
      id,
      sessionId,
      ...caller,
      surface: surface.id,
      stream,
      contextMode,
      modelAsked: model,
      createdAt,
      ...metadata,
    };
  }

  /** `said`: what the answer said of itself; absent when there was none. */
  record(
    status: CallRecord["status"],
    said: { model?: string; finish?: string; usage?: Usage; error?: GatewayError },
  ): CallRecord {
    const { model = this.target?.model, finish, usage = {}, error } = said;
    const endedAt = this.#host.now();
    const cost = this.#costOf(usage, said.model);
    return {
      ...this.started(),
      status,
      ...(status === "completed" && { turnId: renamed(this.#call.id, "turn") }),
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
      endedAt,
    };
  }

  /** The `rhone` object of an answer: while it begins, and with its record when it has ended. */
  rhone(record?: CallRecord): object {
    const { id, sessionId } = this.#call;
    const { target, context } = this;
    return {
      session_id: sessionId,
      turn_id: renamed(id, "turn"),
      call_id: id,
      run_id: runIdOf(id),
      context: { mode: this.#host.contextMode, turns: context?.parent?.depth ?? 0 },
      routing: { model: record?.model ?? target?.model, provider: target?.provider.id, attempts: this.attempts.length },
      ...(record?.costMicrosUsd !== undefined && { cost_micros_usd: record.costMicrosUsd }),
      ...(this.losses.length > 0 && { losses: this.losses }),
      latency_ms: { gateway: this.#latency().gateway, upstream_first_byte: this.#latency().firstByte },
    };
  }

  /** The name of what answered says more than an alias does, or the name of somebody's deployment. */
  #costOf(usage: Usage, answered: string | undefined): number | undefined {
    const asked = this.target?.model;
    const names = this.target?.provider.pricedAsAsked ? [asked, answered] : [answered, asked];
    const known = names.filter((name) => name !== undefined);
    return costMicros(usage, this.#prices?.(known, new Date(this.#call.createdAt)));
  }

  #latency(): { gateway: number; firstByte?: number } {
    const { dispatchedAt = this.#host.now(), firstByteAt } = this;
    const gateway = dispatchedAt - this.#call.createdAt;
    return firstByteAt === undefined ? { gateway } : { gateway, firstByte: firstByteAt - dispatchedAt };
  }
}
