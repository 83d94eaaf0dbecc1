import { GatewayError, invalid } from "../../canonical/error.ts";
import { unfold } from "../../canonical/accumulator.ts";
import type { StreamEvent } from "../../canonical/types.ts";
import { streamErrorOf } from "../../dialects/openai/errors.ts";
import { openaiResponses } from "../../dialects/openai-responses/index.ts";
import { findCallState } from "../../session/calls.ts";
import {
  findResponse,
  deleteResponse,
  type StoredResponse,
  setResponseStatus,
} from "../../session/stored-responses.ts";
import type { Session } from "../../session/session.ts";
import type { Sql } from "../../store/sql.ts";
import { findTurn } from "../../session/turns.ts";
import type { Blobs } from "../../store/blobs.ts";
import { concatBytes, encodeUtf8 } from "../../wire/bytes.ts";
import { withPrefix } from "../../wire/id.ts";
import { type JsonObject, parseJson, stringifyMember } from "../../wire/json.ts";
import { members, replaceMember, sliceOf, splice } from "../../wire/splice.ts";
import { decodeSse, type SseEvent } from "../../wire/sse.ts";
import { listInputItems, type Page, pageItems } from "../responses/items.ts";
import { responseNotFound } from "../responses/state.ts";
import type { SessionCalls } from "./session-calls.ts";
import type { SessionStreams } from "./session-streams.ts";
import { EVENT_STREAM } from "../reply/headers.ts";

/** What can be asked of a kept response. `id`: the one that its client asks by; `after`: the number of the last event it has. */
export type ResponseQuery = { id: string; call: string } & (
  | { do: "show" | "forget" | "cancel" }
  | { do: "stream"; after: number }
  | ({ do: "inputItems" } & Page)
);

export type ResponseQueryServices = {
  session: Session;
  sql: Sql;
  blobs: Blobs;
  streams: SessionStreams;
  durable: () => Promise<void>;
  /** Of those that run. */
  calls: Pick<SessionCalls, "started" | "stop">;
};

/** The answer of OpenAI's API. Throws `object.not_found` for another organisation's response, and for none. */
export async function readStoredResponse(
  request: ResponseQuery,
  org: string,
  tools: ResponseQueryServices,
): Promise<Response> {
  const { session, sql, durable, calls } = tools;
  const { id, call } = request;
  const kept = session.exists && session.row.org === org ? findResponse(sql, call) : undefined;
  if (kept === undefined) throw responseNotFound(id);
  switch (request.do) {
    case "show":
      return json(bodyOf(kept, id));
    case "stream":
      return await streamOf(kept, request, tools);
    case "forget":
      deleteResponse(sql, call);
      await durable();
      return Response.json({ id, object: "response", deleted: true });
    case "inputItems":
      return await inputItems(request, tools);
    case "cancel": {
      if (!kept.background)
        throw new GatewayError("request.invalid", "Cannot cancel a synchronous response.", { param: "id" });
      if (isOver(kept)) return json(bodyOf(kept, id));
      setResponseStatus(sql, call, "cancelled");
      await durable();
      await calls.stop(call);
      return json(bodyOf(findResponse(sql, call) ?? kept, id));
    }
  }
}

const isOver = ({ status }: StoredResponse): boolean => status !== "queued" && status !== "in_progress";

const json = (text: string): Response => new Response(text, { headers: { "content-type": "application/json" } });

/** A kept response as JSON text, as it stands now. */
function bodyOf({ status, body }: StoredResponse, id: string): string {
  const all = members(body);
  const said = [
    ...replaceMember(all, "status", JSON.stringify(status)),
    ...replaceMember(all, "id", JSON.stringify(id)),
  ];
  const error = all.findLast(({ key }) => key === "error");
  const isLost = status === "failed" && error !== undefined && sliceOf(body, error.value) === "null";
  return splice(body, isLost ? [...said, ...replaceMember(all, "error", LOST)] : said);
}

const LOST = JSON.stringify({ code: "server_error", message: "the gateway was restarted during this response" });

/** The events behind a number: as they were told, while they are kept, and later as the finished response says them again. */
async function streamOf(
  kept: StoredResponse,
  { id, call, after }: { id: string; call: string; after: number },
  { sql, streams, calls }: ResponseQueryServices,
): Promise<Response> {
  if (kept.status === "queued") await calls.started(call);
  const state = findCallState(sql, call);
  // Numbers are counted from 0, a stream's events from 1.
  const now = findResponse(sql, call) ?? kept;
  const told = streams.eventsOf(call);
  if (state !== undefined && told !== undefined && (told > 0 || !isOver(now))) return streams.resume(state, after + 1);
  if (!isOver(now)) throw invalid("stream", "expected a response that is told as a stream");
  const rest = saidAgain(bodyOf(now, id), id).slice(after + 1);
  return new Response(concatBytes(rest.map(({ raw }) => raw)), {
    headers: { "content-type": EVENT_STREAM },
  });
}

/** The stream that says this response. */
function saidAgain(text: string, id: string): SseEvent[] {
  const body = parseJson(text) as JsonObject;
  const isAnswer = body.status === "completed" || body.status === "incomplete";
  const start: StreamEvent = { type: "start", id, model: stringifyMember(body.model) };
  const events: StreamEvent[] = isAnswer
    ? unfold(openaiResponses.decodeResponse(body))
    : [start, { type: "error", error: streamErrorOf(body) }];
  const encoder = openaiResponses.encodeStream({ created: Number(body.created_at), id });
  return decodeSse(encodeUtf8(events.map((event) => encoder.push(event)).join("")));
}

/** All that the model was given: what was said up to there, and what the call said itself. */
async function inputItems(
  page: { call: string } & Page,
  { session, sql, blobs }: ResponseQueryServices,
): Promise<Response> {
  const turn = findTurn(sql, withPrefix(page.call, "turn"));
  const items = turn === undefined ? [] : await listInputItems(session.pathOf(turn.id), { session, blobs });
  const found = pageItems(items, page);
  if (found === undefined) throw invalid("after", "expected the id of an item of this list");
  return Response.json(found);
}
