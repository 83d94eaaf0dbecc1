import { sessionNotFound } from "../session/session.ts";
import { hexOfPlace, placeOf, placeOfHex } from "../wire/id.ts";

type Sessions = Cloudflare.Env["SESSIONS"];
export type SessionStub = ReturnType<Sessions["get"]>;

/** A new session's id and place: no directory is asked, and nothing is stored before its first call. */
export function newSession(sessions: Sessions): { id: string; place: string } {
  const place = placeOfHex(sessions.newUniqueId().toString());
  return { id: `sess_${place}`, place };
}

/** Where a session of this organisation lives, whether it exists or not. Chosen names are the organisation's own. */
export function placeOfSession(sessions: Sessions, org: string, id: string): string {
  const name = id.slice("sess_".length);
  if (mintedId(sessions, name) !== undefined) return name;
  return placeOfHex(sessions.idFromName(`${org}/${name}`).toString());
}

export function stubAt(sessions: Sessions, place: string): SessionStub {
  const id = mintedId(sessions, place);
  if (id === undefined) throw sessionNotFound();
  return sessions.get(id);
}

/** The object that an id of one of these kinds says it lives in; undefined when it says none of ours. */
export function stubOfId(sessions: Sessions, prefix: string, id: string): SessionStub | undefined {
  const place = placeOf(prefix, id);
  const found = place === undefined ? undefined : mintedId(sessions, place);
  return found === undefined ? undefined : sessions.get(found);
}

/** The object at a place; undefined when that is none of ours. */
export function stubOfPlace(sessions: Sessions, place: string): SessionStub | undefined {
  const id = mintedId(sessions, place);
  return id === undefined ? undefined : sessions.get(id);
}

function mintedId(sessions: Sessions, place: string): DurableObjectId | undefined {
  const hex = hexOfPlace(place);
  if (hex === undefined) return undefined;
  try {
    return sessions.idFromString(hex);
  } catch {
    // 256 bits that are no object's of this namespace.
    return undefined;
  }
}
