import type { PathParams } from "../../dialects/dialect.ts";
import type { Caller } from "../../keys/caller.ts";
import type { Provider } from "../../providers/provider.ts";
import type { Router } from "../../routing/router.ts";
import type { CallStart } from "../../session/calls.ts";
import type { CompletedTurn, Context, Instructions, TurnInput } from "../../session/session.ts";
import type { StoredResponse } from "../../session/stored-responses.ts";
import type { WireItems } from "../../session/turns.ts";
import type { CallRecord } from "../../store/records.ts";
import type { SurfaceId } from "../../surfaces/index.ts";
import type { StreamRecorder } from "../output/recorder.ts";
import type { Budgets } from "./charge.ts";
import type { ResponsesState } from "./responses-state.ts";

/**
 * One call, before its body is parsed. `createdAt`: Unix milliseconds. `annotate`: answers contain the `rhone` object.
 */
export type Call = {
  id: string;
  sessionId: string;
  caller: Caller;
  headers: Headers;
  annotate: boolean;
  createdAt: number;
  /** On OpenAI's Responses surface: the state that the caller refers to. */
  response?: ResponsesState;
};

/**
 * Where a call runs: in its session's Durable Object or, if stateless, in the Worker. It supplies everything that
 * differs between the two. What `start`, `commit`, `fail` and `indexResponse` write is durable when they resolve.
 */
export type CallHost = {
  /** Whether the session supplies the history, or the request is complete in itself. */
  contextMode: CallRecord["contextMode"];
  providers: ReadonlyMap<string, Provider>;
  router: Router;
  now: () => number;
  /** Reserves and settles the call's cost. */
  budgets: Budgets;
  /** Prevents the host's eviction until the work is done, also after the client has left. */
  waitUntil: (work: Promise<unknown>) => void;
  /** Aborts when the call is cancelled over the API, even if its client is connected. */
  cancelled?: AbortSignal;
  /** Aborts when the platform reports that the client has left. During a streamed reply, its body reports that too. */
  clientLeft?: AbortSignal;
  /** Receives a whole answer's bytes as the client receives them. */
  onBody?: (call: string, body: Uint8Array) => void;
  /** The recorder of a call's stream; absent if streams are not stored. */
  recorderFor?: (call: string) => StreamRecorder;
  /** Adds the call to its session and returns the context that the call continues. */
  start: (input: TurnInput, started: CallStart) => Promise<Context>;
  /** Stores a finished call as the session's next turn; `response` is its stored response. */
  commit: (record: CallRecord, step: CompletedTurn, response?: StoredResponse) => Promise<void>;
  /** Stores a failed call; `received` is its partial output as JSON items. */
  fail: (record: CallRecord, received?: string, response?: StoredResponse) => Promise<void>;
  /** Makes a stored response findable by its provider's id. */
  indexResponse?: (id: string) => Promise<void>;
};

/** A call on its way to its session's object, as an RPC message. `isNew`: the call creates the session. */
export type SessionCall = Omit<Call, "headers"> & {
  headers: [string, string][];
  surface: SurfaceId;
  outside: PathParams;
  /** The request's body. Large ones are streams, as RPC limits the size of a value but not of a stream. */
  text: string | ReadableStream<Uint8Array>;
  isNew: boolean;
};

/**
 * A stateless call that the Worker has handled, as an RPC message to its session's object. `said`: its messages, where
 * `input` is the whole transcript; `received`: the partial output of a failed call; `kept`: its stored response.
 */
export type StatelessCall = {
  record: CallRecord;
  isNew: boolean;
  received?: string;
  said?: { input: WireItems; output: WireItems & { issuer: string }; instructions?: Instructions };
  kept?: StoredResponse;
};
