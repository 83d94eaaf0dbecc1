import { toGatewayError } from "../../canonical/error.ts";
import { findResponse, type StoredResponse, storeResponse } from "../../session/stored-responses.ts";
import type { Sql } from "../../store/sql.ts";
import type { ParsedRequest } from "../../surfaces/request.ts";
import { isObject, type Json, parseJson, tryParseJson } from "../../wire/json.ts";
import { appendMember, replaceMember, splice } from "../../wire/splice.ts";
import { CallLog } from "../call/call-log.ts";
import { type Call } from "../call/call.ts";
import { toReplyContext } from "../call/upstream-call.ts";
import { annotateBody } from "../reply/annotate.ts";
import { withHeaders } from "../reply/headers.ts";
import { buildPendingResponse } from "../reply/response-object.ts";

/**
 * OpenAI's background mode (OpenAI API reference, Responses: `background`): the client gets a queued response at once
 * and reads the result later. The call always runs as a stream, also if the client did not request one: its output so
 * far can then be read, and the time limit of a whole answer does not apply.
 */
type ResponseStore = { sql: Sql; now: () => number; durable: () => Promise<void> };

/** Stores the response as queued and returns it. Durable when it resolves. */
export async function acceptInBackground(
  call: Call,
  request: ParsedRequest,
  { sql, now, durable }: ResponseStore,
): Promise<Response> {
  const pending = buildPendingResponse(call, request.model, toReplyContext({ call, request }), "queued");
  storeResponse(sql, pending);
  await durable();
  const log = new CallLog(call, request, now);
  const body = call.annotate ? annotateBody(pending.body, log.toRhoneObject()) : pending.body;
  const response = new Response(body, { headers: { "content-type": "application/json" } });
  return withHeaders(response, { call, request, log });
}

/** The request's text with `stream: true`. */
export function withStreaming({ text, members }: ParsedRequest): string {
  const streamed = replaceMember(members, "stream", "true");
  const edits = streamed.length > 0 ? streamed : [appendMember(text, "stream", "true")];
  return splice(text, edits);
}

/**
 * Reads a background call's answer to its end, so that the call runs to completion. Stores the response as failed if
 * the call failed before it started; a later failure has been stored by the call itself.
 */
export async function drain(response: Response, call: string, { sql, durable }: ResponseStore): Promise<void> {
  if (response.ok) return await response.body?.pipeTo(new WritableStream()).catch(() => {});
  const body = tryParseJson(await response.text());
  const stored = findResponse(sql, call);
  if (stored === undefined || (stored.status !== "queued" && stored.status !== "in_progress")) return;
  storeResponse(sql, toFailedResponse(stored, isObject(body) ? (body.error ?? null) : null));
  await durable();
}

/** `error`: from the error body that an HTTP client would have received. */
function toFailedResponse(stored: StoredResponse, error: Json): StoredResponse {
  const { code = "internal", message = toGatewayError(undefined).message } = isObject(error) ? error : {};
  const body = Object(parseJson(stored.body)) as object;
  const status = "failed";
  return { ...stored, status, body: JSON.stringify({ ...body, status, error: { code, message } }) };
}
