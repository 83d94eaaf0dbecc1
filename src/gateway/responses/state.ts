import { GatewayError, invalid } from "../../canonical/error.ts";
import type { Message } from "../../canonical/types.ts";
import type { TranscriptReading } from "../../session/continuation.ts";
import type { Context, Session, TurnInput } from "../../session/session.ts";
import { findCallByResponseId, isStoredResponse } from "../../session/stored-responses.ts";
import { hasTurn } from "../../session/turns.ts";
import type { Sql } from "../../store/sql.ts";
import { type ParsedRequest, readOption, type RequestText } from "../../surfaces/request.ts";
import { withPrefix } from "../../wire/id.ts";
import { isObject } from "../../wire/json.ts";
import type { RequestedState, ResponsesState } from "../call/responses-state.ts";

/**
 * Reads the members of a Responses request that refer to stored state, without decoding the rest of the body. Throws
 * `request.invalid` naming the field and what was expected.
 */
export function readRequestedState(requestText: Pick<RequestText, "text" | "members">): RequestedState {
  const previous = readOption(requestText, "previous_response_id");
  if (previous !== undefined && typeof previous !== "string")
    throw invalid("previous_response_id", "expected the id of a response");
  const reference = readOption(requestText, "conversation");
  const conversation = isObject(reference) ? reference.id : reference;
  if (conversation !== undefined && typeof conversation !== "string")
    throw invalid("conversation", "expected the id of a conversation, or an object with it");
  if (previous !== undefined && conversation !== undefined)
    throw invalid(
      "conversation",
      "expected either conversation or previous_response_id: each names a point to continue from",
    );
  const stored = readOption(requestText, "store") !== false;
  const background = readOption(requestText, "background") === true;
  if (background && !stored)
    throw invalid("store", "expected true: a background response can only be read by its id later");
  return {
    ...(previous !== undefined && { previous }),
    ...(conversation !== undefined && { conversation }),
    stored,
    background,
    isWarmUp: readOption(requestText, "generate") === false,
  };
}

/** With OpenAI's status, message and code, which its clients match. */
export const previousNotFound = (id: string): GatewayError =>
  new GatewayError("object.not_found", `Previous response with id '${id}' not found.`, {
    status: 400,
    param: "previous_response_id",
    word: "previous_response_not_found",
  });

export const conversationNotFound = (id: string): GatewayError =>
  new GatewayError("object.not_found", `Conversation with id '${id}' not found.`, { param: "conversation" });

/**
 * Runs a check of the session and rethrows `session.not_found` as OpenAI's error for the member by which the request
 * named the session: a previous response or a conversation.
 */
export function asOpenAiError(response: ResponsesState | undefined, check: () => void): void {
  try {
    check();
  } catch (thrown) {
    const { from, conversation } = response ?? {};
    if (!(thrown instanceof GatewayError) || thrown.code !== "session.not_found") throw thrown;
    if (from !== undefined) throw previousNotFound(from.id);
    throw conversation === undefined ? thrown : conversationNotFound(conversation);
  }
}

/**
 * The context in which a call continues. A call with `previous_response_id` follows OpenAI's rules and throws OpenAI's
 * errors: the response must be stored, and tool results must belong to its calls.
 */
export function findContext(
  input: TurnInput,
  { session, response, sql }: { session: Session; response: ResponsesState | undefined; sql: Sql },
  transcript?: TranscriptReading,
): Context {
  const { from } = response ?? {};
  // `rhone.parent` may also be the public id of a response.
  const parent = input.parent?.startsWith("resp_") === true ? findCallByResponseId(sql, input.parent) : undefined;
  if (from === undefined) return session.continue(parent === undefined ? input : { ...input, parent }, transcript);
  requirePrevious(from, sql);
  const context = session.continue({ ...input, isChained: true });
  requireKnownCalls(input.messages, context);
  return context;
}

export const responseNotFound = (id: string): GatewayError =>
  new GatewayError("object.not_found", `Response with id '${id}' not found.`, { param: "response_id" });

/**
 * The request with the continued call as its `rhone.parent`; its leading system items stand behind those of the continued
 * response, as all of its input does. A background call also gets `on_disconnect: "complete"`.
 */
export function withContinuation(request: ParsedRequest, { from, background }: ResponsesState): ParsedRequest {
  const parent = from === undefined ? {} : { parent: from.call };
  // A background call runs without a connected client by definition.
  const completion = background ? ({ on_disconnect: "complete" } as const) : {};
  const continued = request.withOptions({ rhone: { ...request.rhone, ...parent, ...completion } });
  return from === undefined || request.systemCount === 0 ? continued : withSystemItemsInPlace(continued);
}

/** The request whose leading system items are messages as all others. */
function withSystemItemsInPlace(request: ParsedRequest): ParsedRequest {
  const { items: _, ...instructions } = request.instructions!;
  return request.with({ systemCount: 0, instructions: instructions.member && instructions });
}

/**
 * Throws `previous_response_not_found` for a response that is not stored or added no turn. `isHeard`: the response was
 * received on the same WebSocket, where an unstored one can be continued, too.
 */
function requirePrevious({ id, call, isHeard: isUnstored }: NonNullable<ResponsesState["from"]>, sql: Sql): void {
  if (!(hasTurn(sql, withPrefix(call, "turn")) && (isUnstored === true || isStoredResponse(sql, call))))
    throw previousNotFound(id);
}

/** Throws `request.invalid`, as OpenAI does, for a tool result whose call the continued response has not made. */
function requireKnownCalls(messages: readonly Message[], { parent, known }: Context): void {
  const made = new Set(parent?.open.flatMap(({ id, item = id }) => [id, item]));
  for (const { blocks } of messages.slice(known))
    for (const block of blocks) {
      if (block.kind === "tool_call") made.add(block.id);
      if (block.kind === "tool_result" && !made.has(block.id))
        throw new GatewayError(
          "request.invalid",
          `No tool call found for function call output with call_id ${block.id}.`,
          {
            param: "input",
          },
        );
    }
}
