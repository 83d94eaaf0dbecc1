import type { PathParams } from "../../dialects/dialect.ts";
import type { Provider } from "../../providers/provider.ts";
import type { Router } from "../../routing/router.ts";
import type { CallStart } from "../../session/calls.ts";
import type { StoredResponse } from "../../session/stored-responses.ts";
import type { Context, Instructions, TurnInput, CompletedTurn } from "../../session/session.ts";
import type { WireItems } from "../../session/turns.ts";
import { type CallRecord } from "../../store/records.ts";
import { type Budgets } from "./charge.ts";
import type { StreamRecorder } from "../output/recorder.ts";
import type { SurfaceId } from "../../surfaces/index.ts";
import type { Caller } from "../../keys/caller.ts";
import type { ResponsesState } from "./responses-state.ts";

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
  start: (input: TurnInput, started: CallStart) => Promise<Context>;
  commit: (record: CallRecord, step: CompletedTurn, response?: StoredResponse) => Promise<void>;
  fail: (record: CallRecord, received?: string, response?: StoredResponse) => Promise<void>;
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
