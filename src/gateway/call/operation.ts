import type { Message } from "../../canonical/types.ts";
import type { ReplyContext } from "../../dialects/dialect.ts";
import type { Estimate } from "../../keys/budget/grant-pool.ts";
import type { RoutingPolicy } from "../../routing/config.ts";
import type { AttemptFn, FailoverPlan } from "../../routing/failover.ts";
import type { Target } from "../../routing/locate.ts";
import type { CallStart } from "../../session/calls.ts";
import type { Context } from "../../session/session.ts";
import type { ParsedRequest } from "../../surfaces/request.ts";
import type { CallLog } from "./call-log.ts";
import type { Call, CallHost } from "./call.ts";
import type { CallLimits, UpstreamCall } from "./upstream-call.ts";

/**
 * What one kind of call does in the stages of the path: a generation, or a request of another endpoint. Methods, so that
 * the path can treat all kinds alike: an answer only ever returns to the operation that has accepted it.
 */
export interface Operation<Answer extends Accepted> {
  readonly call: Call;
  readonly host: CallHost;
  readonly log: CallLog;
  /** The endpoint, if the call is no generation. */
  readonly endpoint?: string;
  /** What routing depends on, and the surface whose form errors have. */
  readonly request: Pick<ParsedRequest, "model" | "rhone" | "surface">;
  /** For an answer that is a stream of the surface's events: it may start before it is known, and errors are events of it. */
  replyContext?(): ReplyContext;
  /** Adds the call to its session. Resolves to the context that it continues. */
  start(started: CallStart): Promise<Context>;
  /** Of several targets, those that can take the call; all if none can. Absent: each can. */
  filterTargets?(targets: [Target, ...Target[]]): [Target, ...Target[]];
  /**
   * Decodes the request if one of these targets gets more of it than its bytes. Throws `request.invalid` where it cannot be
   * decoded. Absent: it has been decoded.
   */
  prepareFor?(targets: readonly Target[]): void;
  /** UTF-8 bytes of everything the model reads. */
  countBytes(context: Context): number;
  /** Upper bound of the call's cost and tokens at one target. `bytes`: from `countBytes`. */
  estimate(target: Target, bytes: number): Promise<Estimate>;
  /** Expected cost at one target in micro-dollars, for the limit of a hedge; infinite without a known price. `bytes`: as above. */
  expectCost(target: Target, bytes: number): Promise<number>;
  /** Sends the call to one target; resolves when its answer is accepted. `appended`: messages after the caller's own. */
  attempt(
    target: Target,
    options: Parameters<AttemptFn<Answer>>[1],
    resumed: { context: Context; limits: CallLimits },
    appended?: readonly Message[],
  ): Promise<Answer>;
  /** Whether the call can be sent again: an uploaded body is read once. Absent: always. */
  canRepeat?(): boolean;
  /** The client's response. The call is recorded and settled before its last byte. `recover`: continues a broken stream. */
  reply(answer: Answer, recover?: (appended: readonly Message[]) => Promise<Answer>): Promise<Response>;
}

/** What the path needs to know of an accepted answer. */
export type Accepted = { call: Pick<UpstreamCall, "losses" | "upstream"> & { destination: { target: Target } } };

/** The targets of a call, and the policy for trying them. */
export type CallPlan = FailoverPlan & { policy: RoutingPolicy };
