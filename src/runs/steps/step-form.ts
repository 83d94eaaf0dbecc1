import type { GatewayError } from "../../canonical/error.ts";
import type { TurnHashes } from "../../canonical/turn-hash.ts";
import type { ToolCall } from "../../canonical/types.ts";
import type { Call, CallStore, CommittedAnswer } from "../../gateway/call/call.ts";
import type { AnswerSink } from "../../gateway/read-step.ts";
import type { ModelServices, ObjectLifetime, SessionState } from "../../gateway/session/services.ts";
import type { AnswerIndex } from "../../gateway/session/stored-answers.ts";
import type { CallShield } from "../../gateway/shield/call-shield.ts";
import type { Caller } from "../../keys/caller.ts";
import type { CompletedTurn } from "../../session/session.ts";
import type { Turn } from "../../session/turns.ts";
import type { CallRecord } from "../../store/records.ts";
import type { ParsedRequest } from "../../surfaces/request.ts";
import type { RunDefinition } from "../state/definition.ts";
import type { RunStore } from "../state/run-store.ts";
import type { Execution, Run } from "../state/run.ts";

/** What a run's calls use of its session's object. */
export type ModelCallServices = { state: SessionState; models: ModelServices; lifetime: ObjectLifetime };

/** What the steps of a run use. */
export type StepServices = ModelCallServices & {
  store: RunStore;
  index: AnswerIndex;
};

/**
 * What is known of a step before it is made. `isLast`: the model has to answer without tools. `isApproved`: a person lets pass
 * what the shield leaves to one.
 */
export type NextStep = { caller: Caller; isLast: boolean; isApproved: boolean };

/** The call of a step, as it is sent. `start`: adds it to its session. */
export type StepCall = {
  call: Call;
  request: ParsedRequest;
  shield: CallShield | undefined;
  start: CallStore["start"];
  /** Gets the answer; absent: the answer is a stream of native events. */
  receiver?: StepReceiver;
};

/** What gets the answer of a step. `onRefused`: there is none; gets the response with the error. */
export type StepReceiver = AnswerSink & { onRefused: (response: Response) => void };

/** The answer of a step, behind the shield. */
export type StepReply = { record: CallRecord; completed: CompletedTurn; answer: CommittedAnswer };

/** The id and the hashes of the turn with which a session gets an answer. `write`: stores the answer, in the turn's transaction. */
export type LastTurn = { id: string; hashes: TurnHashes; write: () => void };

/** How the steps of a run are made, and what becomes of their answers: that depends on how its client has started it. */
export interface StepForm {
  /** The client's call, which the run answers, has the session's lease. */
  readonly isInCall: boolean;
  /** The client executes the call when the run has ended. */
  isClients(call: ToolCall): boolean;
  prepare(next: NextStep): Promise<StepCall>;
  /** The turn of a step whose calls the run executes. */
  toTurn(reply: StepReply): Turn;
  /** Commits the turn with which the run ends, together with what `also` writes. */
  commit(reply: StepReply, also: () => void): Promise<void>;
  /** The turn with which the session gets the answer, where no turn of a model ends the run. */
  lastTurn?(): Promise<LastTurn | undefined>;
  /** Shows the client the calls of a batch that has its results. */
  showResults?(executions: readonly Execution[]): void;
  /** The reply that is to be committed makes calls for which the client's approval is needed. */
  asksFor?(executions: readonly Execution[]): void;
  /** The call of a step has failed, and is recorded. */
  onFailure?(record: CallRecord): void;
  /** The run has ended, or was stopped. `error`: why it has failed. */
  onEnd?(error: GatewayError | undefined): Promise<void>;
}

/** How a run goes on without a client that waits for its answer. */
export type CreateForm = (run: Run, definition: RunDefinition, services: StepServices) => StepForm;
