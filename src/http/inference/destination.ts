import { invalid } from "../../canonical/error.ts";
import type { RequestedState, ResponsesState } from "../../gateway/call/responses-state.ts";
import { conversationNotFound, previousNotFound, readRequestedState } from "../../gateway/responses/state.ts";
import { findResponseLocation } from "../../platform/response-index.ts";
import { sessionObjectId, stubFor } from "../../platform/session-stubs.ts";
import type { ResponseLocation } from "../../session/directory/response-index.ts";
import { type SurfaceId, SURFACES } from "../../surfaces/index.ts";
import { readOption, type RequestText } from "../../surfaces/request.ts";
import { idPattern, objectIdIn, objectIdOfItem, withPrefix } from "../../wire/id.ts";

/**
 * The session that a call goes to; `at` is absent if the call creates one. `sessionId` is derived from the object id
 * where the request names only a turn, a call or a response; the session's object knows its own.
 */
export type SessionDestination = { at?: { sessionId: string; objectId: string }; response?: ResponsesState };

/** Responses with `store: false` that were sent over one WebSocket connection, by id. */
export type UnstoredResponses = ReadonlyMap<string, ResponseLocation>;

type DestinationContext = { org: string; env: Cloudflare.Env; unstored?: UnstoredResponses };

/**
 * Resolves the session from the request's session id, parent, previous response or conversation. Throws
 * `request.invalid` if they contradict one another, and `object.not_found` in OpenAI's error shape for an id of theirs
 * that leads nowhere.
 */
export async function resolveDestination(
  request: Pick<RequestText, "text" | "members" | "rhone">,
  surface: SurfaceId,
  context: DestinationContext,
): Promise<SessionDestination> {
  const state = surface === "responses" ? readRequestedState(request) : undefined;
  const previous = state?.previous === undefined ? undefined : await findPrevious(state.previous, context);
  const at = locateSession(request.rhone, { conversation: state?.conversation, previous }, context);
  const response = state && toResponsesState(state, previous, context);
  if (request.rhone.context_mode === "stateless" && needsState(response))
    throw invalid("rhone.context_mode", "expected stateful, or no previous_response_id, conversation or background");
  return { ...(at !== undefined && { at }), ...(response !== undefined && { response }) };
}

/** The session that the request names, or whose response or turn it continues; undefined if there is none. */
function locateSession(
  { session_id, parent }: RequestText["rhone"],
  { conversation, previous }: { conversation: string | undefined; previous: PreviousResponse | undefined },
  { org, env }: DestinationContext,
): SessionDestination["at"] {
  const sessionId = session_id ?? (conversation === undefined ? undefined : sessionIdOf(conversation));
  const named = sessionId === undefined ? undefined : sessionObjectId(env.SESSIONS, org, sessionId);
  if (previous !== undefined && named !== undefined && previous.objectId !== named)
    throw invalid("previous_response_id", "expected a response of the session that rhone.session_id names");
  const objectId = previous?.objectId ?? named ?? objectIdOfParent(parent, env);
  return objectId === undefined ? undefined : { sessionId: sessionId ?? `sess_${objectId}`, objectId };
}

/** Ids of turns, calls and responses made by the gateway contain the id of their session's object. */
function objectIdOfParent(parent: string | undefined, env: Cloudflare.Env): string | undefined {
  const prefix = parent?.slice(0, parent.indexOf("_"));
  const objectId = parent === undefined || !HAS_OBJECT_ID.has(prefix!) ? undefined : objectIdIn(prefix!, parent);
  return objectId !== undefined && stubFor(env.SESSIONS, objectId) !== undefined ? objectId : undefined;
}

const HAS_OBJECT_ID = new Set(["turn", "call", "resp"]);

/**
 * The session that has the call about which a request decides: a client that sends its transcript again names no other. Undefined if
 * it is deleted, or another organisation's: the transcript goes on without it.
 */
export async function locateDecision(
  request: Pick<RequestText, "text" | "members">,
  surface: SurfaceId,
  { org, env }: Pick<DestinationContext, "org" | "env">,
): Promise<SessionDestination["at"]> {
  const { dialect } = SURFACES[surface];
  const { layout, serverTools: { approvals } = {} } = dialect;
  if (approvals?.mayDecide.test(request.text) !== true) return undefined;
  const items = readOption(request, layout.items);
  const decisions = Array.isArray(items) ? approvals.read(dialect.decodeMessages(items)) : [];
  const objectId = decisions.map(({ id }) => objectIdOfItem(id)).findLast((id) => id !== undefined);
  const stub = objectId === undefined ? undefined : stubFor(env.SESSIONS, objectId);
  return (await stub?.has(org)) === true ? { objectId: objectId!, sessionId: `sess_${objectId}` } : undefined;
}

/** Whether the call needs what the gateway stores, so that it cannot be stateless. */
export const needsState = (response: ResponsesState | undefined): boolean =>
  response !== undefined &&
  (response.from !== undefined ||
    response.conversation !== undefined ||
    response.background ||
    response.isWarmUp === true);

/** Only the WebSocket mode, which has unstored responses, has requests that prepare the next one. */
const toResponsesState = (
  { stored, background, conversation, isWarmUp }: RequestedState,
  previous: PreviousResponse | undefined,
  { unstored }: DestinationContext,
): ResponsesState => ({
  stored,
  background,
  ...(conversation !== undefined && { conversation }),
  ...(previous !== undefined && { from: previous.response }),
  ...(unstored !== undefined && isWarmUp && { isWarmUp }),
});

/** A conversation of OpenAI's API is a session: `conv_x` is `sess_x`. */
function sessionIdOf(conversation: string): string {
  if (!CONVERSATION.test(conversation)) throw conversationNotFound(conversation);
  return withPrefix(conversation, "sess");
}

const CONVERSATION = idPattern("conv");

/** A previous response, and the id of its session's object. */
type PreviousResponse = { objectId: string; response: NonNullable<ResponsesState["from"]> };

async function findPrevious(id: string, { org, env, unstored }: DestinationContext): Promise<PreviousResponse> {
  const local = unstored?.get(id);
  const found = local ?? (await findResponseLocation(env.DIRECTORY, org, id));
  // An id that was not made by this deployment contains no valid object id.
  if (found === undefined || stubFor(env.SESSIONS, found.place) === undefined) throw previousNotFound(id);
  const response = { id, call: found.call, ...(local !== undefined && { isHeard: true as const }) };
  return { objectId: found.place, response };
}
