import { authenticateBearer } from "../../keys/authenticate.ts";
import type { Caller } from "../../keys/caller.ts";
import { GEMINI_PATH } from "../request/env.ts";
import { type Access, type Arrival, requireAccess, selectOrganization, toAuthContext } from "./access.ts";
import { requireOwnSession } from "./client-token.ts";

/**
 * Admits a request, before any route runs: it needs a key or a token with the access of its route. Throws `auth.*`, and
 * `object.not_found` for an unknown organisation.
 */
export async function admit(arrival: Arrival, access: Access | undefined): Promise<Caller> {
  const caller = await authenticate(arrival, access);
  requireOwnSession(arrival, caller);
  return caller;
}

/** The caller, with the access. Connections that outlive their request authenticate their caller again. */
export async function authenticate(arrival: Arrival, access: Access | undefined): Promise<Caller> {
  const bearer = await authenticateBearer(credentialOf(arrival), toAuthContext(arrival), Date.now());
  const caller = await selectOrganization(arrival, bearer);
  requireAccess(arrival, caller, access);
  return caller;
}

/** The credential, from any of the headers that SDKs use (`api-key` is Azure's); on Gemini's paths also from the query parameter `key`. */
const credentialOf = ({ request: { headers, url }, path }: Arrival): string | undefined =>
  headers.get("authorization")?.replace(/^Bearer(?:\s+|$)/i, "") ??
  headers.get("x-api-key") ??
  headers.get("api-key") ??
  headers.get("x-goog-api-key") ??
  (path === "/v1/ws" ? tokenInSubprotocols({ headers }) : undefined) ??
  (GEMINI_PATH.test(path) ? (new URL(url).searchParams.get("key") ?? undefined) : undefined);

/** Browsers cannot set headers on a WebSocket, so the client token is sent as a second subprotocol. */
const TOKEN = "rhone.token.";

/** The client token from `sec-websocket-protocol`. */
const tokenInSubprotocols = (request: Pick<Request, "headers">): string | undefined =>
  splitSubprotocols(request)
    .find((name) => name.startsWith(TOKEN))
    ?.slice(TOKEN.length);

/** The names in `sec-websocket-protocol`. */
export const splitSubprotocols = ({ headers }: Pick<Request, "headers">): string[] =>
  (headers.get("sec-websocket-protocol") ?? "").split(",").map((name) => name.trim());
