import type { ModelResponse } from "../../canonical/types.ts";
import type { ReplyContext } from "../../dialects/dialect.ts";
import { storeResponse } from "../../session/stored-responses.ts";
import type { CallRecord } from "../../store/records.ts";
import type { Sql } from "../../store/sql.ts";
import type { ParsedRequest } from "../../surfaces/request.ts";
import type { ResponsesState } from "../call/responses-state.ts";
import { buildCompletion, storesCompletion } from "../reply/completion-object.ts";
import { buildCompletedResponse } from "../reply/response-object.ts";
import { listIndexedIds } from "../responses/stored-items.ts";
import { saveCompletion } from "./completions.ts";

/** By what ids answers are found that do not lead to their session. */
export type AnswerIndex = {
  /** Makes a call's response findable by the id its provider gave it. */
  addResponse: (call: Pick<CallRecord, "id" | "org">, id: string) => Promise<void>;
  /** Makes output items of a call's stored response findable. */
  addItems: (call: Pick<CallRecord, "id" | "org">, ids: readonly string[]) => Promise<void>;
};

/** An answer as its client gets it. `id`: of its call; `state`: what that refers to, on Responses. */
export type AnswerToStore = Pick<CallRecord, "id" | "org"> & {
  state: Pick<ResponsesState, "stored" | "background"> | undefined;
  request: ParsedRequest;
  response: ModelResponse;
  reply: ReplyContext;
};

/** `write` stores an answer, in the transaction of its turn; `publish` then makes it findable by its ids. */
export type StoredAnswer = { write: () => void; publish: () => Promise<unknown> };

/** Builds what a client can retrieve later of an answer. */
export function prepareStoredAnswer(
  { id, org, state, request, response, reply }: AnswerToStore,
  { sql, index }: { sql: Sql; index: AnswerIndex },
): StoredAnswer {
  const stored = state?.stored === true ? buildCompletedResponse({ id, response: state }, response, reply) : undefined;
  const completion = storesCompletion(request) ? buildCompletion(id, request, response, reply) : undefined;
  return {
    write: () => {
      if (stored !== undefined) storeResponse(sql, stored);
      if (completion !== undefined) saveCompletion(sql, completion, org);
    },
    publish: () =>
      Promise.all([
        index.addItems({ id, org }, stored === undefined ? [] : listIndexedIds(stored)),
        completion && index.addResponse({ id, org }, completion.id),
      ]),
  };
}
