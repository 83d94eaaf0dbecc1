import { GatewayError } from "../../canonical/error.ts";
import type { Caller } from "../../keys/caller.ts";
import { sessionObjectId } from "../../platform/session-stubs.ts";
import { objectIdIn } from "../../wire/id.ts";
import { GEMINI_PATH } from "../request/env.ts";
import type { Arrival } from "./access.ts";

/** Routes that name no session; a socket is one of the token's session. */
const OPEN_ROUTES = new Set(["/v1/ws", "/v1/me"]);
/** Calls that name their session in the body: `requireOwnObject` checks them once the body has been read. */
const CALLS = /^\/v1\/(chat\/completions|responses|messages|calls)$/;
const GENERATES = /:(stream)?[gG]enerateContent$/;

/** Restricts a client token to the routes of its own session. Throws `auth.forbidden`. */
export function requireOwnSession({ request: { method }, path, env }: Arrival, { session, org }: Caller): void {
  if (session === undefined || OPEN_ROUTES.has(path) || namesSessionInBody({ method, path })) return;
  const [, kind, rest = ""] = /^\/v1\/(sessions|calls|runs)\/(.+)$/.exec(path) ?? [];
  const isOwn =
    kind === "sessions"
      ? belongsTo(session, rest, method)
      : objectIdOfCall(kind, rest) === sessionObjectId(env.SESSIONS, org, session);
  if (!isOwn) throw otherSession(session);
}

const namesSessionInBody = ({ method, path }: { method: string; path: string }): boolean =>
  method === "POST" && (CALLS.test(path) || (GEMINI_PATH.test(path) && GENERATES.test(path)));

/** The id of the session's object in the id of a call or run; undefined on other routes. */
function objectIdOfCall(kind: string | undefined, rest: string): string | undefined {
  const [id] = rest.split(":");
  return objectIdIn(kind === "runs" ? "run" : "call", id!);
}

/** Throws `auth.forbidden` for a call to another session. `objectId` is `undefined` if the call creates a session. */
export function requireOwnObject(
  { session, org }: { session?: string; org: string },
  objectId: string | undefined,
  env: Cloudflare.Env,
): void {
  if (session === undefined) return;
  if (objectId !== sessionObjectId(env.SESSIONS, org, session)) throw otherSession(session);
}

/** Whether the rest of a path belongs to the session. Ids may contain colons; only a POST has a verb after one. */
function belongsTo(session: string, rest: string, method: string): boolean {
  if (rest === session || rest.startsWith(`${session}/`)) return true;
  const verb = rest.startsWith(`${session}:`) ? rest.slice(session.length + 1) : undefined;
  return method === "POST" && verb !== undefined && /^[a-z-]+$/.test(verb) && verb !== "token";
}

const otherSession = (session: string): GatewayError =>
  new GatewayError("auth.forbidden", `the client token is valid for ${session} only`);
