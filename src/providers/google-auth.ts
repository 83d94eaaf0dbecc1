import { GatewayError } from "../canonical/error.ts";
import { isObject, type JsonObject, tryParseJson } from "../wire/json.ts";
import { raceTimeout } from "../wire/time.ts";

/** A cached token that expires sooner than this is not used. Google's tokens are valid for an hour. Milliseconds. */
const EXPIRY_MARGIN_MS = 5 * 60_000;
/**
 * How long a call waits for a token that another call is requesting, before it requests its own: the runtime may cancel the
 * other call without settling its promise. Milliseconds.
 */
const MAX_WAIT_MS = 5_000;

type Token = { value: string; expiresAt: number };

const TOKENS = new Map<string, Token>();
const EXCHANGES = new Map<string, Promise<Token>>();

/**
 * A service account's JSON → an access token, cached in the isolate. Any other text is taken for an access token and
 * returned. Throws `provider.execution_failed`.
 */
export async function fetchAccessToken(credential: string): Promise<string> {
  const account = parseServiceAccount(credential);
  if (account === undefined) return credential;
  const cached = TOKENS.get(credential);
  if (cached !== undefined && cached.expiresAt - EXPIRY_MARGIN_MS > Date.now()) return cached.value;
  const running = EXCHANGES.get(credential);
  const shared = running === undefined ? undefined : await raceTimeout(running, MAX_WAIT_MS);
  if (shared !== undefined) return shared.value;
  const own = requestToken(account);
  EXCHANGES.set(credential, own);
  try {
    const token = await own;
    TOKENS.set(credential, token);
    return token.value;
  } finally {
    if (EXCHANGES.get(credential) === own) EXCHANGES.delete(credential);
  }
}

type ServiceAccount = { email: string; key: string; keyId?: string; tokenUri: string; project?: string };

/** The text of a service account's key file → the members that are used; undefined if it is not such a file. */
export function parseServiceAccount(text: string): ServiceAccount | undefined {
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

/** Exchanges a JWT signed with the account's key for an access token (RFC 7523). */
async function requestToken({ email, key, keyId, tokenUri }: ServiceAccount): Promise<Token> {
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
  const answer = tryParseJson(await response.text());
  if (!response.ok || !isObject(answer) || typeof answer.access_token !== "string") {
    const reason = isObject(answer) && typeof answer.error === "string" ? `: ${answer.error}` : "";
    throw new GatewayError(
      "provider.execution_failed",
      `Google issued no access token for the service account (status ${response.status}${reason})`,
      { upstream: { status: response.status } },
    );
  }
  const seconds = typeof answer.expires_in === "number" ? answer.expires_in : 3600;
  return { value: answer.access_token, expiresAt: Date.now() + seconds * 1000 };
}
