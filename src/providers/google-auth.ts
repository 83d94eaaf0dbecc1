import { GatewayError } from "../canonical/error.ts";
import { isObject, type JsonObject, tryParseJson } from "../wire/json.ts";
import { raceTimeout } from "../wire/time.ts";

/** Google's tokens hold an hour; one with less left than this is not begun with. Milliseconds. */
const EXPIRY_MARGIN_MS = 5 * 60_000;
/** Another request's exchange is waited for no longer: should its client leave, the runtime may end it unheard. Milliseconds. */
const MAX_WAIT_MS = 5_000;

type Token = { value: string; expiresAt: number };

const TOKENS = new Map<string, Token>();
const EXCHANGES = new Map<string, Promise<Token>>();

/** A service account's JSON → an access token, kept in the isolate. Anything else is taken to be a token already. */
export async function fetchAccessToken(credential: string): Promise<string> {
  const account = parseServiceAccount(credential);
  if (account === undefined) return credential;
  const known = TOKENS.get(credential);
  if (known !== undefined && known.expiresAt - EXPIRY_MARGIN_MS > Date.now()) return known.value;
  const running = EXCHANGES.get(credential);
  const shared = running === undefined ? undefined : await raceTimeout(running, MAX_WAIT_MS);
  if (shared !== undefined) return shared.value;
  const exchanging = requestToken(account);
  EXCHANGES.set(credential, exchanging);
  try {
    const token = await exchanging;
    TOKENS.set(credential, token);
    return token.value;
  } finally {
    if (EXCHANGES.get(credential) === exchanging) EXCHANGES.delete(credential);
  }
}

type Account = { email: string; key: string; keyId?: string; tokenUri: string; project?: string };

/** What of a service account's file is used; undefined where the text is none. */
export function parseServiceAccount(text: string): Account | undefined {
  const file = text.trimStart().startsWith("{") ? tryParseJson(text) : undefined;
  if (!isObject(file) || typeof file.client_email !== "string" || typeof file.private_key !== "string")
    return undefined;
  const {
    private_key_id: keyId,
    project_id: project,
    token_uri,
  } = file as Partial<Record<string, string>> & JsonObject;
  return {
    email: file.client_email,
    key: file.private_key,
    tokenUri: token_uri ?? "https://oauth2.googleapis.com/token",
    ...(keyId !== undefined && { keyId }),
    ...(project !== undefined && { project }),
  };
}

/** RFC 7523: a statement signed by the account's key → a token. */
async function requestToken({ email, key, keyId, tokenUri }: Account): Promise<Token> {
  const [{ SignJWT }, { importPKCS8 }] = await Promise.all([import("jose/jwt/sign"), import("jose/key/import")]);
  const signingKey = await importPKCS8(key, "RS256").catch((cause: unknown) => {
    throw new GatewayError("provider.execution_failed", "the service account's private key cannot be read", { cause });
  });
  const assertion = await new SignJWT({ scope: "https://www.googleapis.com/auth/cloud-platform" })
    .setProtectedHeader({ alg: "RS256", typ: "JWT", ...(keyId !== undefined && { kid: keyId }) })
    .setIssuer(email)
    .setAudience(tokenUri)
    .setIssuedAt()
    .setExpirationTime("1h")
    .sign(signingKey);
  const body = new URLSearchParams({ grant_type: "urn:ietf:params:oauth:grant-type:jwt-bearer", assertion });
  const response = await fetch(tokenUri, { method: "POST", body, redirect: "manual" });
  const said = tryParseJson(await response.text());
  if (!response.ok || !isObject(said) || typeof said.access_token !== "string") {
    const why = isObject(said) && typeof said.error === "string" ? `: ${said.error}` : "";
    throw new GatewayError(
      "provider.execution_failed",
      `Google gave no access token for the service account (status ${response.status}${why})`,
      { upstream: { status: response.status } },
    );
  }
  const seconds = typeof said.expires_in === "number" ? said.expires_in : 3600;
  return { value: said.access_token, expiresAt: Date.now() + seconds * 1000 };
}
