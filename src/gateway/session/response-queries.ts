import { unfold } from "../../canonical/accumulator.ts";
import { GatewayError, invalid } from "../../canonical/error.ts";
import type { StreamEvent } from "../../canonical/types.ts";
import { openaiResponses } from "../../dialects/openai-responses/index.ts";
import { decodeStreamError } from "../../dialects/openai/errors.ts";
import type { Caller } from "../../keys/caller.ts";
import { findCallState } from "../../session/calls.ts";
import type { Session } from "../../session/session.ts";
import {
  deleteResponse,
  findResponse,
  setResponseStatus,
  type StoredResponse,
} from "../../session/stored-responses.ts";
import { findTurn } from "../../session/turns.ts";
import { concatBytes, encodeUtf8 } from "../../wire/bytes.ts";
import { withPrefix } from "../../wire/id.ts";
import { type JsonObject, parseJson, stringifyMember } from "../../wire/json.ts";
import { findMembers, replaceMember, sliceSpan, splice } from "../../wire/splice.ts";
import { decodeSse, type SseEvent } from "../../wire/sse.ts";
import { EVENT_STREAM } from "../reply/headers.ts";
import { listInputItems, type Page, pageItems } from "../responses/items.ts";
import { responseNotFound } from "../responses/state.ts";
import type { ItemStore } from "../responses/turn-items.ts";
import type { SessionShield } from "../shield/session-shield.ts";
import type { ObjectLifetime } from "./services.ts";
import type { SessionCalls } from "./session-calls.ts";
import type { SessionStreams } from "./session-streams.ts";

/**
 * An operation of OpenAI's Responses API on a stored response. Member names cross RPC. `id`: as the client wrote it;
 * `after`: `sequence_number` of the last event that the client has received.
 */
export type ResponseQuery = { id: string; call: string } & (
  | { do: "show" | "forget" | "cancel" }
  | { do: "stream"; after: number }
  | ({ do: "inputItems" } & Page)
);

/** What reading a response uses of the session's object. */
type ResponseQueryServices = ItemStore & {
  session: Session;
  shield: SessionShield;
  streams: SessionStreams;
  /** The running calls. */
  calls: Pick<SessionCalls, "started" | "stop">;
} & Pick<ObjectLifetime, "durable" | "requireNoHold">;

/**
 * Runs one operation and returns the response in OpenAI's shape. Throws `object.not_found` for another organisation's
 * response as for none, `request.invalid` for an operation that this response does not allow.
 */
export async function readStoredResponse(
  query: ResponseQuery,
  caller: Caller,
  services: ResponseQueryServices,
): Promise<Response> {
  const { session, sql, durable, requireNoHold, calls } = services;
  const { id, call } = query;
  const show = (response: StoredResponse): string => showResponse(response, id, caller, services);
  const stored = session.exists && session.row.org === caller.org ? findResponse(sql, call) : undefined;
  if (stored === undefined) throw responseNotFound(id);
  switch (query.do) {
    case "show":
      return jsonResponse(show(stored));
    case "stream":
      return await streamResponse(stored, query, { ...services, show });
    case "forget":
      await requireNoHold();
      deleteResponse(sql, call);
      await durable();
      return Response.json({ id, object: "response", deleted: true });
    case "inputItems":
      return await respondWithInputItems(query, services);
    case "cancel": {
      if (!stored.background)
        throw new GatewayError("request.invalid", "Cannot cancel a synchronous response.", { param: "id" });
      if (isEnded(stored)) return jsonResponse(show(stored));
      setResponseStatus(sql, call, "cancelled");
      await durable();
      await calls.stop(call);
      return jsonResponse(show(findResponse(sql, call) ?? stored));
    }
  }
}

const isEnded = ({ status }: StoredResponse): boolean => status !== "queued" && status !== "in_progress";

const jsonResponse = (text: string): Response =>
  new Response(text, { headers: { "content-type": "application/json" } });

/** A stored response as its caller sees it. */
const showResponse = (
  response: StoredResponse,
  id: string,
  caller: Caller,
  { shield }: Pick<ResponseQueryServices, "shield">,
): string => shield.restore(toApiResponseText(response, id), response.call, caller);

/**
 * The stored body with its current status and the id that the client uses, as JSON text. A response that failed without
 * a recorded error was interrupted by a restart and gets an error that states so.
 */
function toApiResponseText({ status, body }: StoredResponse, id: string): string {
  const all = findMembers(body);
  const edits = [
    ...replaceMember(all, "status", JSON.stringify(status)),
    ...replaceMember(all, "id", JSON.stringify(id)),
  ];
  const error = all.findLast(({ key }) => key === "error");
  const isInterrupted = status === "failed" && error !== undefined && sliceSpan(body, error.value) === "null";
  return splice(body, isInterrupted ? [...edits, ...replaceMember(all, "error", RESTART_ERROR)] : edits);
}

const RESTART_ERROR = JSON.stringify({
  code: "server_error",
  message: "the gateway was restarted during this response",
});

/**
 * The events after number `after`: from the stream's buffer while it exists, later encoded anew from the finished
 * response. Throws `request.invalid` if the response is not finished and is not a stream.
 */
async function streamResponse(
  stored: StoredResponse,
  { id, call, after }: { id: string; call: string; after: number },
  { sql, streams, calls, show }: ResponseQueryServices & { show: (response: StoredResponse) => string },
): Promise<Response> {
  if (stored.status === "queued") await calls.started(call);
  const state = findCallState(sql, call);
  // `sequence_number` starts at 0, the buffer's event numbers start at 1.
  const now = findResponse(sql, call) ?? stored;
  const eventCount = streams.countEvents(call);
  if (state !== undefined && eventCount !== undefined && (eventCount > 0 || !isEnded(now)))
    return streams.resume(state, after + 1);
  if (!isEnded(now)) throw invalid("stream", "expected a response that was created with stream: true");
  const rest = encodeEvents(show(now), id).slice(after + 1);
  return new Response(concatBytes(rest.map(({ raw }) => raw)), {
    headers: { "content-type": EVENT_STREAM },
  });
}

/** Encodes a finished response as the events of its stream. */
function encodeEvents(text: string, id: string): SseEvent[] {
  const body = parseJson(text) as JsonObject;
  const isAnswer = body.status === "completed" || body.status === "incomplete";
  const start: StreamEvent = { type: "start", id, model: stringifyMember(body.model) };
  const events: StreamEvent[] = isAnswer
    ? unfold(openaiResponses.decodeResponse(body))
    : [start, { type: "error", error: decodeStreamError(body) }];
  const encoder = openaiResponses.encodeStream({ created: Number(body.created_at), id });
  return decodeSse(encodeUtf8(events.map((event) => encoder.push(event)).join("")));
}

/** A page of everything the model received as input: the history before the call, then the call's own input. */
async function respondWithInputItems(
  page: { call: string } & Page,
  services: ResponseQueryServices,
): Promise<Response> {
  const { session, sql } = services;
  const turn = findTurn(sql, withPrefix(page.call, "turn"));
  const path = turn === undefined ? [] : session.pathOf(turn.id);
  const found = pageItems(await listInputItems(path, services), page);
  if (found === undefined) throw invalid("after", "expected the id of an item of this list");
  return Response.json(found);
}
