import { type StreamAccumulator, unfold } from "../../canonical/accumulator.ts";
import type { GatewayError } from "../../canonical/error.ts";
import type { ModelResponse, StreamEvent } from "../../canonical/types.ts";
import type { ReplyContext } from "../../dialects/dialect.ts";
import { openaiResponses } from "../../dialects/openai-responses/index.ts";
import type { ResponseStatus, StoredResponse } from "../../session/stored-responses.ts";
import { encodeUtf8 } from "../../wire/bytes.ts";
import { isObject, type JsonObject, parseJson, stringOf } from "../../wire/json.ts";
import { decodeSse } from "../../wire/sse.ts";
import type { Call } from "../call/call.ts";
import type { ResponsesState } from "../call/responses-state.ts";
import { toClientAnswer, toClientEvent } from "./client-answer.ts";

/** The part of a call that its stored response depends on. */
type ResponseCall = Pick<Call, "id"> & { response?: Pick<ResponsesState, "background"> | undefined };

/** A finished answer as the stored response of OpenAI's Responses API, under the id that the client received. */
export const buildCompletedResponse = (
  call: ResponseCall,
  response: ModelResponse,
  reply: ReplyContext,
): StoredResponse =>
  toStoredResponse(call, openaiResponses.encodeResponse(toClientAnswer(response, openaiResponses, reply), reply));

/** The stored response of an answer that failed or broke, with the output received so far and the error. */
export function buildFailedResponse(
  call: ResponseCall,
  error: GatewayError,
  accumulated: StreamAccumulator,
  reply: ReplyContext,
): StoredResponse {
  const { messages, model } = accumulated;
  const partial = unfold({ id: "", model, messages, finish: { reason: "other" }, usage: {} });
  return toStoredResponse(
    call,
    encodeLastResponse([...partial.filter(({ type }) => type !== "end"), { type: "error", error }], reply),
  );
}

/** The stored response of an answer that is still to come. */
export const buildPendingResponse = (
  call: ResponseCall,
  model: string,
  reply: ReplyContext,
  status: ResponseStatus,
): StoredResponse =>
  toStoredResponse(call, { ...encodeLastResponse([{ type: "start", id: "", model }], reply), status });

/** `body` is stored as JSON, so that reading a response needs no encoder. */
function toStoredResponse({ id: call, response }: ResponseCall, body: JsonObject): StoredResponse {
  return {
    call,
    id: stringOf(body.id) ?? "",
    status: (stringOf(body.status) ?? "completed") as ResponseStatus,
    background: response?.background === true,
    body: JSON.stringify(body),
  };
}

/** The response object in the last event of the encoded stream. */
function encodeLastResponse(events: readonly StreamEvent[], reply: ReplyContext): JsonObject {
  const encoder = openaiResponses.encodeStream(reply);
  const encoded = decodeSse(
    encodeUtf8(events.map((event) => encoder.push(toClientEvent(event, openaiResponses, reply))).join("")),
  );
  const event = parseJson(encoded.at(-1)!.data!);
  return isObject(event) && isObject(event.response) ? event.response : {};
}
