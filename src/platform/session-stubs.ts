import { sessionNotFound } from "../session/session.ts";
import { decodeObjectId, journalIn, objectIdIn, encodeObjectId } from "../wire/id.ts";

type Sessions = Cloudflare.Env["SESSIONS"];
export type SessionStub = ReturnType<Sessions["get"]>;

/** A new session's id and place: no directory is asked, and nothing is stored before its first call. */
export function newSessionId(sessions: Sessions): { id: string; objectId: string } {
  const objectId = encodeObjectId(sessions.newUniqueId().toString());
  return { id: `sess_${objectId}`, objectId };
}

/** Where a session of this organisation lives, whether it exists or not. Chosen names are the organisation's own. */
export function sessionObjectId(sessions: Sessions, org: string, id: string): string {
  const name = id.slice("sess_".length);
  if (parseSessionObjectId(sessions, name) !== undefined) return name;
  return encodeObjectId(sessions.idFromName(`${org}/${name}`).toString());
}

/** Throws `session.not_found` for a place that is none of ours. */
export function requireStub(sessions: Sessions, objectId: string): SessionStub {
  const stub = stubFor(sessions, objectId);
  if (stub === undefined) throw sessionNotFound();
  return stub;
}

/** The object that an id of one of these kinds says it lives in; undefined when it says none of ours. */
export function stubForId(sessions: Sessions, prefix: string, id: string): SessionStub | undefined {
  const objectId = objectIdIn(prefix, id);
  return objectId === undefined ? undefined : stubFor(sessions, objectId);
}

/** The object at a place; undefined when that is none of ours. */
export function stubFor(sessions: Sessions, objectId: string): SessionStub | undefined {
  const id = parseSessionObjectId(sessions, objectId);
  return id === undefined ? undefined : sessions.get(id);
}

/** A session that a stateless call began has an object by the call's name, which knows by it where the call stands. */
function parseSessionObjectId(sessions: Sessions, objectId: string): DurableObjectId | undefined {
  if (journalIn(objectId) !== undefined) return sessions.idFromName(objectId);
  const hex = decodeObjectId(objectId);
  if (hex === undefined) return undefined;
  try {
    return sessions.idFromString(hex);
  } catch {
    // 256 bits that are no object's of this namespace.
    return undefined;
  }
}
