import type { Caller } from "../keys/caller.ts";
import { sessionNotFound } from "../session/session.ts";
import type { Conversation } from "../surfaces/clients.ts";
import { sha256 } from "../wire/hash.ts";
import { decodeObjectId, encodeObjectId, journalIn, objectIdIn } from "../wire/id.ts";

type Sessions = Cloudflare.Env["SESSIONS"];
export type SessionStub = ReturnType<Sessions["get"]>;

/** Ids of a new session and its object. Nothing is looked up, and nothing is stored before its first call. */
export function newSessionId(sessions: Sessions): { id: string; objectId: string } {
  const objectId = encodeObjectId(sessions.newUniqueId().toString());
  return { id: `sess_${objectId}`, objectId };
}

/** Whether a client has chosen the id: all others were made by the gateway, with their sessions. */
export const isChosenId = (sessions: Sessions, id: string): boolean =>
  parseSessionObjectId(sessions, id.slice("sess_".length)) === undefined;

/** The object id of a session, whether it exists or not. A chosen id is a name within the organisation. */
export function sessionObjectId(sessions: Sessions, org: string, id: string): string {
  const name = id.slice("sess_".length);
  if (parseSessionObjectId(sessions, name) !== undefined) return name;
  return encodeObjectId(sessions.idFromName(`${org}/${name}`).toString());
}

/**
 * The object id of the session of a conversation that its client names. Each key has its own; `generation`: how many
 * sessions of the conversation have been deleted.
 */
export function conversationObjectId(
  sessions: Sessions,
  { org, keyId }: Pick<Caller, "org" | "keyId">,
  { client, id }: Conversation,
  generation: number,
): string {
  // No chosen id contains a slash.
  const name = `${org}/conversation/${sha256(JSON.stringify([keyId, client, id]))}/${generation}`;
  return encodeObjectId(sessions.idFromName(name).toString());
}

/** The stub of a session's object. Throws `session.not_found` for an id that was not made by this deployment. */
export function requireStub(sessions: Sessions, objectId: string): SessionStub {
  const stub = stubFor(sessions, objectId);
  if (stub === undefined) throw sessionNotFound();
  return stub;
}

/** The session's object named by an id with this prefix; `undefined` if the id names none of this deployment. */
export function stubForId(sessions: Sessions, prefix: string, id: string): SessionStub | undefined {
  const objectId = objectIdIn(prefix, id);
  return objectId === undefined ? undefined : stubFor(sessions, objectId);
}

/** The stub of a session's object; `undefined` for an id that was not made by this deployment. */
export function stubFor(sessions: Sessions, objectId: string): SessionStub | undefined {
  const id = parseSessionObjectId(sessions, objectId);
  return id === undefined ? undefined : sessions.get(id);
}

/** A session created by a journaled call is an object named after the call; the name contains the location of its entry. */
function parseSessionObjectId(sessions: Sessions, objectId: string): DurableObjectId | undefined {
  if (journalIn(objectId) !== undefined) return sessions.idFromName(objectId);
  return parseObjectId(sessions, objectId);
}

/**
 * The platform's form of an encoded object id (see wire/id.ts). `undefined` for text that is no object id, and for an id
 * of another namespace or deployment: `idFromString` throws for it.
 */
export function parseObjectId(
  namespace: Pick<DurableObjectNamespace, "idFromString">,
  objectId: string,
): DurableObjectId | undefined {
  const hex = decodeObjectId(objectId);
  if (hex === undefined) return undefined;
  try {
    return namespace.idFromString(hex);
  } catch {
    return undefined;
  }
}
