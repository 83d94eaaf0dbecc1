import { GatewayError, invalid } from "../../canonical/error.ts";
import { openaiChat } from "../../dialects/openai-chat/index.ts";
import type { Caller } from "../../keys/caller.ts";
import { decodeInstructions } from "../../session/history/decode.ts";
import type { Session } from "../../session/session.ts";
import {
  deleteCompletion,
  findCompletion,
  listStoredCompletions,
  type StoredCompletion,
  storeCompletion,
} from "../../session/stored-completions.ts";
import { findTurn } from "../../session/turns.ts";
import type { Blobs } from "../../store/blobs.ts";
import { enqueue } from "../../store/outbox.ts";
import type { Sql } from "../../store/sql.ts";
import { withPrefix } from "../../wire/id.ts";
import { isObject, type Json, type JsonObject, parseJson, stringifyMember } from "../../wire/json.ts";
import { toCompletionRecord, toTombstone } from "../reply/completion-object.ts";
import { type Page, pageItems } from "../responses/items.ts";
import { listInputMessages } from "../responses/turn-items.ts";
import type { SessionShield } from "../shield/session-shield.ts";
import type { ObjectLifetime } from "./services.ts";

/** An operation of OpenAI's API on a stored chat completion. Member names cross RPC. `id`: as the client wrote it. */
export type CompletionQuery = { id: string; call: string } & (
  | { do: "show" | "delete" }
  | { do: "update"; metadata: Record<string, string> }
  | ({ do: "messages" } & Page)
);

/** What reading a completion uses of the session's object. */
type CompletionServices = { session: Session; sql: Sql; blobs: Blobs; shield: SessionShield } & Pick<
  ObjectLifetime,
  "now" | "durable" | "requireNoHold"
>;

/** Stores a completion with its call, and its record for lists. */
export function saveCompletion(sql: Sql, completion: StoredCompletion, org: string): void {
  storeCompletion(sql, completion);
  enqueue(sql, toCompletionRecord(completion, org));
}

/** Takes the completions of a session that is to be deleted from the lists. */
export function unlistCompletions({ session, sql }: Pick<CompletionServices, "session" | "sql">, now: number): void {
  for (const stored of listStoredCompletions(sql)) enqueue(sql, toTombstone(stored, session.row.org, now));
}

/**
 * Runs one operation and returns the response in OpenAI's shape. Throws `object.not_found` for another organisation's
 * completion as for none, and `request.invalid`.
 */
export async function readStoredCompletion(
  query: CompletionQuery,
  caller: Caller,
  services: CompletionServices,
): Promise<Response> {
  const { session, sql, shield, now, durable, requireNoHold } = services;
  const { id, call } = query;
  const { org } = caller;
  const show = ({ body }: StoredCompletion): Response => toJsonResponse(shield.restore(body, call, caller));
  const stored = session.exists && session.row.org === org ? findCompletion(sql, call) : undefined;
  if (stored === undefined) throw completionNotFound(id);
  switch (query.do) {
    case "show":
      return show(stored);
    case "update": {
      const changed = { ...stored, body: JSON.stringify({ ...parseBody(stored), metadata: query.metadata }) };
      storeCompletion(sql, changed);
      enqueue(sql, toCompletionRecord(changed, org, now()));
      await durable();
      return show(changed);
    }
    case "delete":
      await requireNoHold();
      deleteCompletion(sql, call);
      enqueue(sql, toTombstone(stored, org, now()));
      await durable();
      return Response.json({ object: "chat.completion.deleted", id, deleted: true });
    case "messages":
      return Response.json(requirePage(pageItems(await listMessages(query, services), query)));
  }
}

function requirePage<Found>(found: Found | undefined): Found {
  if (found === undefined) throw invalid("after", "expected the id of an item of this list");
  return found;
}

export const completionNotFound = (id: string): GatewayError =>
  new GatewayError("object.not_found", `Chat completion with id '${id}' not found.`, { param: "completion_id" });

const parseBody = ({ body }: StoredCompletion): JsonObject => parseJson(body) as JsonObject;

const toJsonResponse = (text: string): Response =>
  new Response(text, { headers: { "content-type": "application/json" } });

/** A message as OpenAI lists it. */
type ListedMessage = JsonObject & { id: string };

/** The messages that the model received: the history before the call, then the call's own. */
async function listMessages(
  { id, call }: CompletionQuery,
  { session, sql, blobs }: CompletionServices,
): Promise<ListedMessage[]> {
  const turn = findTurn(sql, withPrefix(call, "turn"));
  const path = turn === undefined ? [] : session.pathOf(turn.id);
  const messages = [...decodeInstructions(session.instructions), ...(await listInputMessages(path, { sql, blobs }))];
  const { value } = openaiChat.encodeMessages(messages, { dialect: openaiChat.id, model: "" });
  return value.filter(isObject).map((message, at) => toListedMessage(message, `${id}-${at}`));
}

/** A list of parts is shown beside its text. */
function toListedMessage(message: JsonObject, id: string): ListedMessage {
  const { content } = message;
  if (!Array.isArray(content)) return { ...message, id, content_parts: null };
  return { ...message, id, content: content.map(textOf).join(""), content_parts: content };
}

const textOf = (part: Json): string => (isObject(part) ? stringifyMember(part.text) : "");
