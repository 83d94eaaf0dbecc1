import { StreamAccumulator } from "../../canonical/accumulator.ts";
import type { GatewayError } from "../../canonical/error.ts";
import type { ModelResponse } from "../../canonical/types.ts";
import type { ReplyContext } from "../../dialects/dialect.ts";
import type { Caller } from "../../keys/caller.ts";
import { type CallStart, recordAgain } from "../../session/calls.ts";
import { offload } from "../../session/large-strings.ts";
import { type CompletedTurn, sessionNotFound } from "../../session/session.ts";
import { isCancelled, type StoredResponse, storeResponse } from "../../session/stored-responses.ts";
import type { Turn, WireItems } from "../../session/turns.ts";
import type { CallRecord } from "../../store/records.ts";
import { BY_TRANSCRIPT } from "../../surfaces/clients.ts";
import type { ParsedRequest } from "../../surfaces/request.ts";
import { storesContent } from "../../surfaces/rhone.ts";
import type { Call, CallStore, PartialAnswer } from "../call/call.ts";
import { CANCELLED } from "../call/stream-errors.ts";
import { toReplyContext } from "../call/upstream-call.ts";
import { buildFailedResponse, buildPendingResponse } from "../reply/response-object.ts";
import type { CallShield } from "../shield/call-shield.ts";
import type { Placement } from "./placement.ts";
import type { ObjectLifetime, SessionState } from "./services.ts";
import type { SessionStreams } from "./session-streams.ts";
import { type AnswerIndex, prepareStoredAnswer, type StoredAnswer } from "./stored-answers.ts";

/** What storing a call uses of the session's object. */
export type CallStoreServices = {
  state: SessionState;
  lifetime: ObjectLifetime;
  streams: SessionStreams;
  index: AnswerIndex & {
    /** Makes the conversation findable by the hash of its transcript. Never throws. */
    addTranscript: (call: Call, hash: string) => Promise<void>;
  };
  /** Called after a turn was committed. The next call waits until it resolves. */
  onCommitted: (record: CallRecord, caller: Caller) => Promise<void>;
};

/** A call of a session, on its way to be stored. `isNew`: it creates the session. `onDispatch`: called when it starts. */
type StoredCall = {
  call: Call;
  request: ParsedRequest;
  placement: Placement;
  isNew: boolean;
  isSideBranch: boolean;
  shield: CallShield | undefined;
  work: Promise<unknown>[];
  onDispatch: () => void;
};

/** What all steps have used that have given an answer, if its record is not that of the whole call. */
type Total = Pick<CallRecord, "usage" | "costMicrosUsd"> | undefined;

/** An answer as the client gets it, with the turn that it becomes, whose large strings are stored. */
type AnsweredTurn = { turn: CompletedTurn; response: ModelResponse; reply: ReplyContext; total?: Total };

/** Where a call of a session is stored. The last three are for a call that a run answers: `record` is that of its last step. */
export type SessionCallStore = CallStore & {
  /** Commits the turn, with what `also` writes in the same transaction. */
  commitTurn: (record: CallRecord, answered: AnsweredTurn, also?: () => void) => Promise<void>;
  /** Does what follows the commit of a turn and of what is stored of its answer. */
  afterCommit: (record: CallRecord, committed: { turn: Turn; total: Total; stored: StoredAnswer }) => Promise<void>;
  /** Stores that there is no whole answer. */
  failAnswer: (record: CallRecord, error: GatewayError, partial?: PartialAnswer) => Promise<void>;
};

/** Where a call and its turn are stored: in the session's object, durably before the client gets its last byte. */
export function createCallStore(
  { call, request, placement, isNew, isSideBranch, shield, work, onDispatch }: StoredCall,
  { state, lifetime, streams, index, onCommitted }: CallStoreServices,
): SessionCallStore {
  const { response: responseState } = call;
  const { session, sql, blobs } = state;
  // Large strings are uploaded while the provider works; `commit` waits for the upload.
  let storedInput: Promise<WireItems> | undefined;
  const storeInput = (items: WireItems): void => {
    storedInput ??= offload(items, blobs);
    work.push(storedInput.catch(() => {}));
  };
  /** What a judge decides beside the call comes after its record. */
  const recordJudgement = async (record: CallRecord): Promise<void> => {
    const judged = await shield?.judge(record);
    if (judged === undefined) return;
    recordAgain(sql, { ...judged, endedAt: Math.max(lifetime.now(), record.endedAt + 1) });
    await lifetime.durable();
  };
  const end = async (...ended: Parameters<typeof session.fail>): Promise<void> => {
    session.fail(...ended);
    await lifetime.durable();
    streams.onRecord(ended[0]);
    lifetime.waitUntil(recordJudgement(ended[0]));
  };
  const create = ({ org, sessionId }: CallStart): void => {
    if (call.conversation !== undefined && session.isDeleted) throw sessionNotFound();
    if (isNew) session.create(org, sessionId);
  };
  const commitTurn: SessionCallStore["commitTurn"] = async (record, { turn, response, reply, total }, also) => {
    const { id, caller } = call;
    const whole = { id, org: caller.org, state: responseState, request, response, reply };
    const stored = prepareStoredAnswer(whole, { sql, index });
    const committed = session.commit(record, turn, undefined, () => {
      stored.write();
      also?.();
    });
    await afterCommit(record, { turn: committed, total, stored });
  };
  const afterCommit: SessionCallStore["afterCommit"] = async (record, { turn, total, stored }) => {
    placement.onCommitted(turn);
    await Promise.all([
      lifetime.durable(),
      stored.publish(),
      call.conversation?.recognizedBy === BY_TRANSCRIPT && index.addTranscript(call, turn.chain),
    ]);
    streams.onRecord({ ...record, ...total, id: call.id });
    lifetime.waitUntil(recordJudgement(record));
    if (!isSideBranch) work.push(onCommitted(record, call.caller));
  };
  const failAnswer: SessionCallStore["failAnswer"] = async (record, error, partial) => {
    const failed = toFailedResponse(call, request, error, partial);
    if (failed !== undefined) storeResponse(sql, failed);
    await lifetime.durable();
    streams.onRecord({ ...record, id: call.id });
  };
  const store: CallStore = {
    onBody: (id, body) => streams.appendBody(id, body),
    recorderFor: (id) => streams.recorderFor(id),
    start: async (input, given) => {
      create(given);
      // A background response may have been cancelled while the call was queued.
      if (responseState !== undefined && isCancelled(sql, call.id)) throw CANCELLED;
      const { context, started, input: newInput } = await placement.place(input, given);
      if (newInput !== undefined && storesContent(request.rhone)) storeInput(newInput);
      session.start(started);
      if (storesContent(request.rhone)) shield?.storeValues();
      if (responseState?.stored === true && request.stream) {
        const reply = toReplyContext({ call, request });
        storeResponse(sql, buildPendingResponse(call, request.model, reply, "in_progress"));
      }
      onDispatch();
      streams.start(started);
      lifetime.watch();
      return { ...context, losses: request.losses };
    },
    // Where the turn has less than the request, its input is known when it has been placed.
    ...(placement.restore === undefined ? { onInput: storeInput } : { restore: placement.restore }),
    commit: async (record, answer) => {
      const { response, reply } = answer!;
      const turn = placement.complete(answer!);
      storedInput ??= offload(turn.input, blobs);
      const [input, output] = await Promise.all([storedInput, offload(turn.output, blobs)]);
      await commitTurn(record, { turn: { ...turn, input, output }, response, reply });
    },
    indexResponse: (id) => index.addResponse({ id: call.id, org: call.caller.org }, id),
    fail: async (record, error, partial) => {
      create(record);
      await end(record, partial?.items, toFailedResponse(call, request, error, partial));
    },
  };
  // Without content the call makes no turn: it ends as a failed one does.
  if (storesContent(request.rhone)) return { ...store, commitTurn, afterCommit, failAnswer };
  const { start, restore, fail } = store;
  return {
    start,
    commit: (record) => end(record),
    fail,
    ...(restore && { restore }),
    commitTurn,
    afterCommit,
    failAnswer,
  };
}

/**
 * The stored response of a failed call. Before the first content the client knows no response id, except in background
 * mode, which promises one.
 */
function toFailedResponse(
  call: Call,
  request: ParsedRequest,
  error: GatewayError,
  partial: PartialAnswer = { accumulated: new StreamAccumulator(), reply: toReplyContext({ call, request }) },
): StoredResponse | undefined {
  const { accumulated, reply } = partial;
  const isKnown = accumulated.messages.length > 0 || call.response?.background === true;
  return call.response?.stored === true && isKnown ? buildFailedResponse(call, error, accumulated, reply) : undefined;
}
