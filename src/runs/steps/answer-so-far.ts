import { type MergedPart, mergeParts, type MergeOptions } from "../../canonical/step-merger.ts";
import type { ModelResponse, Opaque } from "../../canonical/types.ts";
import { findCallState } from "../../session/calls.ts";
import { decodeItems } from "../../session/history/decode.ts";
import { inlineAll } from "../../session/large-strings.ts";
import type { RunDefinition } from "../state/definition.ts";
import type { Execution, Run } from "../state/run.ts";
import { mergingOf } from "./merge-replies.ts";
import { showApprovals, showCalls, showLists } from "./shown-calls.ts";
import type { StepServices } from "./step-form.ts";

/** The answer to a call as far as the run has come that gives it: the answers of its steps, and what is shown between them. */
export class AnswerSoFar {
  readonly #shown: Parameters<typeof showCalls>[1];
  readonly #merging: MergeOptions;
  readonly #parts: MergedPart[];

  constructor(run: Run, definition: RunDefinition) {
    this.#shown = { run, definition };
    this.#merging = mergingOf(definition);
    this.#parts = [{ shown: this.opening }];
  }

  /** As a restart has left it in the session. */
  static async read(run: Run, definition: RunDefinition, services: StepServices): Promise<AnswerSoFar> {
    const { state, store } = services;
    const { at, turns, id } = run;
    const answer = new AnswerSoFar(run, definition);
    const steps = store.listOf("step", id);
    const path = at === undefined ? [] : state.session.pathOf(at).slice(-turns);
    const outputs = path.map(({ output }) => output);
    const whole = await inlineAll(outputs, state.blobs);
    answer.showResults(store.listExecutions(id, 0));
    for (const [i, items] of whole.entries()) {
      const messages = [...decodeItems(items)];
      const { call, answerId = "" } = steps.find(({ n }) => n === i + 1)!;
      const { model = "", usage = {} } = (call && findCallState(state.sql, call)?.record) || {};
      answer.addReply({ id: answerId, model, messages, finish: { reason: "tool_calls" }, usage });
      answer.showResults(store.listExecutions(id, i + 1));
    }
    return answer;
  }

  addReply(reply: ModelResponse): void {
    this.#parts.push({ reply });
  }

  /** Adds what is shown of the calls of a batch, and returns it. */
  showResults(executions: readonly Execution[]): readonly Opaque[] {
    return this.#add(showCalls(executions, this.#shown));
  }

  /** And of calls that wait for the client's approval, behind the reply that makes them. */
  showApprovals(executions: readonly Execution[]): readonly Opaque[] {
    return this.#add(showApprovals(executions, this.#shown));
  }

  #add(shown: readonly Opaque[]): readonly Opaque[] {
    this.#parts.push({ shown });
    return shown;
  }

  /** What is shown in front of the first step. */
  get opening(): readonly Opaque[] {
    return showLists(this.#shown);
  }

  get merged(): ModelResponse {
    return mergeParts(this.#parts, this.#merging);
  }
}
