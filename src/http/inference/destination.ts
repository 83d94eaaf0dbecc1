import { invalid } from "../../canonical/error.ts";
import type { RequestText } from "../../surfaces/request.ts";
import { conversationNotFound, previousNotFound, readRequestedState } from "../../gateway/responses/state.ts";
import type { SurfaceId } from "../../surfaces/index.ts";
import type { ResponseLocation } from "../../session/response-index.ts";
import { idPattern, objectIdIn, withPrefix } from "../../wire/id.ts";
import { findResponseLocation } from "../../platform/response-index.ts";
import { sessionObjectId, stubFor } from "../../platform/session-stubs.ts";
import type { RequestedState, ResponsesState } from "../../gateway/call/responses-state.ts";

/**
 * Where a call goes; absent: it begins a session. `sessionId` is a guess where only a place is known: the session there
 * knows its own.
 */
export type Destination = { at?: { sessionId: string; place: string }; response?: ResponsesState };

/** Responses that were told with `store: false` on one connection, by the id that it was told. */
export type UnstoredResponses = ReadonlyMap<string, ResponseLocation>;

type Going = { org: string; env: Cloudflare.Env; heard?: UnstoredResponses };

/** Throws `request.invalid`, and `object.not_found` in OpenAI's words for a place that is none. */
export async function resolveDestination(opened: RequestText, surface: SurfaceId, going: Going): Promise<Destination> {
  const { org, env, heard } = going;
  const state = surface === "responses" ? readRequestedState(opened) : undefined;
  const from = state?.previous === undefined ? undefined : await previous(state.previous, going);
  const known = opened.rhone.session_id ?? sessionOf(state);
  const to = known === undefined ? undefined : sessionObjectId(env.SESSIONS, org, known);
  if (from !== undefined && to !== undefined && from.place !== to)
    throw invalid("previous_response_id", "expected a response of the session that rhone.session_id names");
  const response = state && {
    ...stateOf(state),
    ...(from !== undefined && { from: from.response }),
    ...(heard !== undefined && state.isWarmUp && { isWarmUp: true as const }),
  };
  const place = from?.place ?? to ?? placeOfParent(opened.rhone.parent, env);
  if (opened.rhone.context_mode === "stateless" && needsState(response))
    throw invalid("rhone.context_mode", "expected stateful, or no previous_response_id, conversation or background");
  return {
    ...(place !== undefined && { at: { sessionId: known ?? `sess_${place}`, place } }),
    ...(response !== undefined && { response }),
  };
}

/** A turn, a call and a response of ours say themselves where they are. */
function placeOfParent(parent: string | undefined, env: Cloudflare.Env): string | undefined {
  const prefix = parent?.slice(0, parent.indexOf("_"));
  const place = parent === undefined || !PLACED.has(prefix!) ? undefined : objectIdIn(prefix!, parent);
  return place !== undefined && stubFor(env.SESSIONS, place) !== undefined ? place : undefined;
}

const PLACED = new Set(["turn", "call", "resp"]);

/** Whether the call lives by what the gateway keeps. */
export const needsState = (response: ResponsesState | undefined): boolean =>
  response !== undefined &&
  (response.from !== undefined ||
    response.conversation !== undefined ||
    response.background ||
    response.isWarmUp === true);

const stateOf = ({ stored, background, conversation }: RequestedState): ResponsesState => ({
  stored,
  background,
  ...(conversation !== undefined && { conversation }),
});

/** A conversation is a session by its other name. */
function sessionOf(state: RequestedState | undefined): string | undefined {
  const { conversation } = state ?? {};
  if (conversation === undefined) return undefined;
  if (!CONVERSATION.test(conversation)) throw conversationNotFound(conversation);
  return withPrefix(conversation, "sess");
}

const CONVERSATION = idPattern("conv");

async function previous(id: string, { org, env, heard }: Going) {
  const local = heard?.get(id);
  const found = local ?? (await findResponseLocation(env.DIRECTORY, org, id));
  // An id with a place that is no object's is as unknown as any other.
  if (found === undefined || stubFor(env.SESSIONS, found.place) === undefined) throw previousNotFound(id);
  const response = { id, call: found.call, ...(local !== undefined && { isHeard: true as const }) };
  return { place: found.place, response };
}
