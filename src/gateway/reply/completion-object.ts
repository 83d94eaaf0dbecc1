import type { ModelResponse } from "../../canonical/types.ts";
import type { ReplyContext } from "../../dialects/dialect.ts";
import { openaiChat } from "../../dialects/openai-chat/index.ts";
import type { StoredCompletion } from "../../session/stored-completions.ts";
import type { CompletionRecord } from "../../store/completions.ts";
import { type ParsedRequest, readOption } from "../../surfaces/request.ts";
import { storesContent } from "../../surfaces/rhone.ts";
import { createdAtOf } from "../../wire/id.ts";
import { isObject, type Json, type JsonObject, parseJson, stringifyMember } from "../../wire/json.ts";
import { withIdentity } from "./client-answer.ts";

/** Whether the answer can be retrieved later: on OpenAI's Chat surface that has to be requested. */
export const storesCompletion = (request: ParsedRequest): boolean =>
  request.surface.id === "chat" && readOption(request, "store") === true && storesContent(request.rhone);

/** A finished answer as OpenAI's stored chat completion, under the id that the client received. */
export function buildCompletion(
  call: string,
  request: ParsedRequest,
  response: ModelResponse,
  reply: ReplyContext,
): StoredCompletion {
  const body = openaiChat.encodeResponse(withIdentity(response, reply), reply);
  const choices = Array.isArray(body.choices) ? body.choices : [];
  const metadata = readOption(request, "metadata");
  const stored = {
    ...body,
    choices: choices.map((choice, i) => (i === 0 ? withOwnMembers(choice, response) : choice)),
    metadata: isObject(metadata) ? metadata : {},
  };
  return { call, id: stringifyMember(body.id), body: JSON.stringify(stored) };
}

/** The choice whose message has the members that only its host knows, too. */
function withOwnMembers(choice: Json, { messages: [first] }: ModelResponse): Json {
  const own = first?.native?.dialect === openaiChat.id ? first.native.item : undefined;
  if (!isObject(choice) || !isObject(choice.message) || !isObject(own)) return choice;
  return { ...choice, message: { ...own, ...choice.message } };
}

/** The record by which lists find a completion. `revision`: 0 for a new one, the time for a change. */
export function toCompletionRecord({ call, id, body }: StoredCompletion, org: string, revision = 0): CompletionRecord {
  const { model, metadata } = parseJson(body) as JsonObject;
  const pairs = Object.entries(isObject(metadata) ? metadata : {});
  return {
    object: "completion",
    org,
    call,
    id,
    status: "stored",
    model: stringifyMember(model),
    metadata: Object.fromEntries(pairs.map(([key, value]) => [key, stringifyMember(value)])),
    revision,
    createdAt: createdAtOf(call),
  };
}

/** The record of a deleted completion, which has nothing of its content. */
export const toTombstone = (
  { call, id }: Pick<StoredCompletion, "call" | "id">,
  org: string,
  revision: number,
): CompletionRecord => ({
  object: "completion",
  org,
  call,
  id,
  status: "deleted",
  model: "",
  metadata: {},
  revision,
  createdAt: createdAtOf(call),
});
