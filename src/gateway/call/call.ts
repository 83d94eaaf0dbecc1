import type { StreamAccumulator } from "../../canonical/accumulator.ts";
import type { GatewayError } from "../../canonical/error.ts";
import type { ModelResponse } from "../../canonical/types.ts";
import type { PathParams, ReplyContext } from "../../dialects/dialect.ts";
import type { Caller } from "../../keys/caller.ts";
import type { CarriedItems } from "../../keys/carried-items.ts";
import type { Provider } from "../../providers/provider.ts";
import type { Router } from "../../routing/router.ts";
import type { CallStart } from "../../session/calls.ts";
import type { CompletedTurn, Context, Instructions, TurnInput } from "../../session/session.ts";
import type { StoredCompletion } from "../../session/stored-completions.ts";
import type { StoredResponse } from "../../session/stored-responses.ts";
import type { WireItems } from "../../session/turns.ts";
import type { CallRecord } from "../../store/records.ts";
import type { Conversation } from "../../surfaces/clients.ts";
import type { SurfaceId } from "../../surfaces/index.ts";
import type { ParsedRequest } from "../../surfaces/request.ts";
import type { StreamRecorder } from "../output/recorder.ts";
import type { CallShield } from "../shield/call-shield.ts";
import type { Budgets } from "./charge.ts";
import type { ResponsesState } from "./responses-state.ts";

/**
 * One call, before its body is parsed. `createdAt`: Unix milliseconds. `annotate`: answers contain the `rhone` object.
 * `contextMode`: whether the session supplies the history, or the request is complete in itself.
 */
export type Call = {
  id: string;
  sessionId: string;
  caller: Caller;
  headers: Headers;
  annotate: boolean;
  createdAt: number;
  contextMode: CallRecord["contextMode"];
  /** On OpenAI's Responses surface: the state that the caller refers to. */
  response?: ResponsesState;
  /** The conversation whose session this is. The request has the whole transcript. `id`: its client's own; absent in a later step of a run. */
  conversation?: NonNullable<CallRecord["conversation"]> & Partial<Pick<Conversation, "id">>;
  /** The run of which it is a step. */
  runId?: string;
};

/**
 * Where a call runs: in its session's Durable Object or, if stateless, in the Worker. It supplies everything that
 * differs between the two.
 */
export type CallHost = {
  providers: ReadonlyMap<string, Provider>;
  router: Router;
  /** The sealed reasoning that the organisation's clients carry. */
  carried: CarriedItems;
  /** Reserves and settles the call's cost. */
  budgets: Budgets;
  /** What may not pass. Absent: the shield is off for this call. */
  shield?: CallShield | undefined;
  store: CallStore;
  lifetime: CallLifetime;
};

/** How long a call may run, and when it must end. */
export type CallLifetime = {
  now: () => number;
  /** Prevents the host's eviction until the work is done, also after the client has left. */
  waitUntil: (work: Promise<unknown>) => void;
  /** Aborts when the call is cancelled over the API, even if its client is connected. */
  cancelled?: AbortSignal;
  /** Aborts when the platform reports that the client has left. During a streamed reply, its body reports that too. */
  clientLeft?: AbortSignal;
};

/** Where a call and its answer are stored. What `start`, `commit`, `fail` and `indexResponse` write is durable when they resolve. */
export type CallStore = {
  /** Adds the call to its session and returns the context that the call continues. `input` decodes the request. */
  start: (input: () => TurnInput, started: CallStart) => Promise<Context>;
  /**
   * For a call whose request has the whole transcript: its new messages, and the history as the session holds it. A
   * provider of another dialect gets these, with its own items.
   */
  restore?: () => Promise<{ request: ParsedRequest; context: Context }>;
  /** Receives the input of the turn that the call becomes, before it is sent: storing a large one takes time. */
  onInput?: (input: WireItems) => void;
  /** Stores a finished call; `answer`: what it adds to its session, absent for calls that are not part of a conversation. */
  commit: (record: CallRecord, answer?: CommittedAnswer) => Promise<void>;
  /** Stores a failed call with its partial answer. */
  fail: (record: CallRecord, error: GatewayError, partial?: PartialAnswer) => Promise<void>;
  /** Receives a whole answer's bytes as the client receives them. */
  onBody?: (call: string, body: Uint8Array) => void;
  /** The recorder of a call's stream; absent if streams are not stored. */
  recorderFor?: (call: string) => StreamRecorder;
  /** Makes a stored response findable by its provider's id. */
  indexResponse?: (id: string) => Promise<void>;
};

/**
 * An answer with what it completes: the request in its context, and the output in the provider's items. `reply`: as the
 * client received the answer. See `toCompletedTurn`.
 */
export type CommittedAnswer = {
  request: ParsedRequest;
  context: Context;
  output: CompletedTurn["output"];
  response: ModelResponse;
  reply: ReplyContext;
};

/** What a failed call has received. `items`: its output as JSON items, absent without any; `reply`: as the client received it. */
export type PartialAnswer = {
  items?: string;
  accumulated: StreamAccumulator;
  reply: ReplyContext;
};

/**
 * A call on its way to its session's object, as an RPC message. `isNew`: the call creates the session; `mayCreate`: it does
 * so if there is none.
 */
export type SessionCall = Omit<Call, "headers" | "contextMode"> & {
  headers: [string, string][];
  surface: SurfaceId;
  outside: PathParams;
  /** The request's body. Large ones are streams, as RPC limits the size of a value but not of a stream. */
  text: string | ReadableStream<Uint8Array>;
  isNew: boolean;
  mayCreate?: true;
};

/**
 * A stateless call that the Worker has handled, as an RPC message to its session's object. `said`: its messages, where
 * `input` is the whole transcript; `received`: the partial output of a failed call; `kept`: its stored response;
 * `completion`: its stored chat completion.
 */
export type StatelessCall = {
  record: CallRecord;
  isNew: boolean;
  received?: string;
  said?: { input: WireItems; output: WireItems & { issuer: string }; instructions?: Instructions };
  kept?: StoredResponse;
  completion?: StoredCompletion;
};

/**
 * A stateless call in its journal: the request stands beside it as its client has sent it, and is decoded when the session
 * is first read. `answered`: the answer's output, and how the request is to be read.
 */
export type JournaledCall = Omit<StatelessCall, "kept" | "completion"> & {
  answered?: { output: CompletedTurn["output"]; surface: SurfaceId; outside: PathParams };
};
