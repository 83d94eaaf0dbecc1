import type { GatewayError } from "../../canonical/error.ts";
import { type StreamAccumulator, unfold } from "../../canonical/accumulator.ts";
import type { ModelResponse, StreamEvent } from "../../canonical/types.ts";
import type { ReplyContext } from "../../dialects/dialect.ts";
import { openaiResponses } from "../../dialects/openai-responses/index.ts";
import type { StoredResponse, ResponseStatus } from "../../session/stored-responses.ts";
import { encodeUtf8 } from "../../wire/bytes.ts";
import { isObject, type JsonObject, parseJson, stringOf } from "../../wire/json.ts";
import { decodeSse } from "../../wire/sse.ts";
import type { Call } from "../call/call.ts";

type Kept = Pick<Call, "id" | "response">;

/** An answer as it is kept to be asked for again, under the id that its client was told. */
export const completedResponse = (call: Kept, response: ModelResponse, reply: ReplyContext): StoredResponse =>
  kept(call, openaiResponses.encodeResponse(response, reply));

/** The same of an answer that failed or broke off, as far as it had come. */
export function failedResponse(
  call: Kept,
  error: GatewayError,
  folded: StreamAccumulator,
  reply: ReplyContext,
): StoredResponse {
  const { messages, model } = folded;
  const partial = unfold({ id: "", model, messages, finish: { reason: "other" }, usage: {} });
  return kept(call, lastSaid([...partial.filter(({ type }) => type !== "end"), { type: "error", error }], reply));
}

/** The same of an answer that is still to come. */
export const pendingResponse = (
  call: Kept,
  model: string,
  reply: ReplyContext,
  status: ResponseStatus,
): StoredResponse => kept(call, { ...lastSaid([{ type: "start", id: "", model }], reply), status });

function kept({ id: call, response }: Kept, body: JsonObject): StoredResponse {
  return {
    call,
    id: stringOf(body.id) ?? "",
    status: (stringOf(body.status) ?? "completed") as ResponseStatus,
    background: response?.background === true,
    body: JSON.stringify(body),
  };
}

/** The response object as the last of the stream's events has it. */
function lastSaid(events: readonly StreamEvent[], reply: ReplyContext): JsonObject {
  const encoder = openaiResponses.encodeStream(reply);
  const told = decodeSse(encodeUtf8(events.map((event) => encoder.push(event)).join("")));
  const event = parseJson(told.at(-1)!.data!);
  return isObject(event) && isObject(event.response) ? event.response : {};
}
