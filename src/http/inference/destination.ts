import { invalid } from "../../canonical/error.ts";
import type { RequestedState, ResponsesState } from "../../gateway/call/responses-state.ts";
import { conversationNotFound, previousNotFound, readRequestedState } from "../../gateway/responses/state.ts";
import { findResponseLocation } from "../../platform/response-index.ts";
import { sessionObjectId, stubFor } from "../../platform/session-stubs.ts";
import type { ResponseLocation } from "../../session/response-index.ts";
import type { SurfaceId } from "../../surfaces/index.ts";
import type { RequestText } from "../../surfaces/request.ts";
import { idPattern, objectIdIn, withPrefix } from "../../wire/id.ts";

/**
 * The session that a call goes to; `at` is absent if the call creates one. `sessionId` is derived from the object id
 * where the request names only a turn, a call or a response; the session's object knows its own.
 */
type Destination = { at?: { sessionId: string; objectId: string }; response?: ResponsesState };

/** Responses with `store: false` that were sent over one WebSocket connection, by id. */
export type UnstoredResponses = ReadonlyMap<string, ResponseLocation>;

type DestinationContext = { org: string; env: Cloudflare.Env; unstored?: UnstoredResponses };

/**
 * Resolves the session from the request's session id, parent, previous response or conversation. Throws
 * `request.invalid` if they contradict one another, and `object.not_found` in OpenAI's error shape for an id of theirs
 * that leads nowhere.
 */
export async function resolveDestination(
  request: RequestText,
  surface: SurfaceId,
  context: DestinationContext,
): Promise<Destination> {
  const { org, env, unstored } = context;
  const state = surface === "responses" ? readRequestedState(request) : undefined;
  const from = state?.previous === undefined ? undefined : await findPrevious(state.previous, context);
  const named = request.rhone.session_id ?? sessionIdOf(state);
  const to = named === undefined ? undefined : sessionObjectId(env.SESSIONS, org, named);
  if (from !== undefined && to !== undefined && from.objectId !== to)
    throw invalid("previous_response_id", "expected a response of the session that rhone.session_id names");
  const response = state && {
    ...toResponsesState(state),
    ...(from !== undefined && { from: from.response }),
    ...(unstored !== undefined && state.isWarmUp && { isWarmUp: true as const }),
  };
  const objectId = from?.objectId ?? to ?? objectIdOfParent(request.rhone.parent, env);
  if (request.rhone.context_mode === "stateless" && needsState(response))
    throw invalid("rhone.context_mode", "expected stateful, or no previous_response_id, conversation or background");
  return {
    ...(objectId !== undefined && { at: { sessionId: named ?? `sess_${objectId}`, objectId } }),
    ...(response !== undefined && { response }),
  };
}

/** Ids of turns, calls and responses made by the gateway contain the id of their session's object. */
function objectIdOfParent(parent: string | undefined, env: Cloudflare.Env): string | undefined {
  const prefix = parent?.slice(0, parent.indexOf("_"));
  const objectId = parent === undefined || !HAS_OBJECT_ID.has(prefix!) ? undefined : objectIdIn(prefix!, parent);
  return objectId !== undefined && stubFor(env.SESSIONS, objectId) !== undefined ? objectId : undefined;
}

const HAS_OBJECT_ID = new Set(["turn", "call", "resp"]);

/** Whether the call needs what the gateway stores, so that it cannot be stateless. */
export const needsState = (response: ResponsesState | undefined): boolean =>
  response !== undefined &&
  (response.from !== undefined ||
    response.conversation !== undefined ||
    response.background ||
    response.isWarmUp === true);

const toResponsesState = ({ stored, background, conversation }: RequestedState): ResponsesState => ({
  stored,
  background,
  ...(conversation !== undefined && { conversation }),
});

/** A conversation of OpenAI's API is a session: `conv_x` is `sess_x`. */
function sessionIdOf(state: RequestedState | undefined): string | undefined {
  const { conversation } = state ?? {};
  if (conversation === undefined) return undefined;
  if (!CONVERSATION.test(conversation)) throw conversationNotFound(conversation);
  return withPrefix(conversation, "sess");
}

const CONVERSATION = idPattern("conv");

async function findPrevious(id: string, { org, env, unstored }: DestinationContext) {
  const local = unstored?.get(id);
  const found = local ?? (await findResponseLocation(env.DIRECTORY, org, id));
  // An id that was not made by this deployment contains no valid object id.
  if (found === undefined || stubFor(env.SESSIONS, found.place) === undefined) throw previousNotFound(id);
  const response = { id, call: found.call, ...(local !== undefined && { isHeard: true as const }) };
  return { objectId: found.place, response };
}
