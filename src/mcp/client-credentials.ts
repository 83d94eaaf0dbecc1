import * as oauth from "oauth4webapi";
import { fetchBounded, type OutboundNetwork } from "../outbound/bounded-fetch.ts";
import { isAmongHosts, UrlRefusal } from "../outbound/public-url.ts";
import { isObject, parseJson, stringOf } from "../wire/json.ts";
import { McpError } from "./mcp-error.ts";

/**
 * How a client identifies itself to an authorization server. `tokenUrl`: absent, it is found by the URL of the MCP server. `hosts`: to
 * which the secret may be sent.
 */
export type ClientCredentials = {
  tokenUrl?: string;
  clientId: string;
  clientSecret: string;
  hosts: readonly string[];
  scope?: string;
};

/** `seconds`: how long it is valid, if the authorization server says so. */
export type BearerToken = { token: string; seconds: number | undefined };

type TokenOptions = { url: string; network: OutboundNetwork; signal: AbortSignal };

/** Far larger than any metadata or token. */
const MAX_BYTES = 256 * 1024;

/**
 * A token for the MCP server at `url`, by the grant of client credentials (RFC 6749, section 4.4) with `resource` (RFC 8707). Loaded when
 * it is first needed. Throws `McpError`, `UrlRefusal`, `OutboundError` and the signal's reason.
 */
export async function requestToken(credentials: ClientCredentials, options: TokenOptions): Promise<BearerToken> {
  try {
    return await request(credentials, options);
  } catch (thrown) {
    options.signal.throwIfAborted();
    throw toError(thrown);
  }
}

async function request(
  { tokenUrl, clientId, clientSecret, hosts, scope }: ClientCredentials,
  { url, network, signal }: TokenOptions,
): Promise<BearerToken> {
  const options = { [oauth.customFetch]: fetchOver(network), [oauth.allowInsecureRequests]: true, signal };
  const { server, resource } =
    tokenUrl === undefined
      ? await discover(url, options)
      : { server: { issuer: new URL(tokenUrl).origin, token_endpoint: tokenUrl }, resource: withoutFragment(url) };
  const target = URL.parse(server.token_endpoint ?? "");
  if (target !== null && !isAmongHosts(target, hosts))
    throw new UrlRefusal(`its secret may be sent to ${hosts.join(", ")} only, and not to ${target.host}`);
  const client = { client_id: clientId };
  const parameters = new URLSearchParams({ resource, ...(scope !== undefined && { scope }) });
  const authenticate = chooseMethod(server)(clientSecret);
  const response = await oauth.clientCredentialsGrantRequest(server, client, authenticate, parameters, options);
  const { access_token, token_type, expires_in } = await oauth.processClientCredentialsResponse(
    server,
    client,
    response,
  );
  if (token_type !== "bearer") throw new McpError(`the authorization server gives tokens of the type ${token_type}`);
  return { token: access_token, seconds: expires_in };
}

type RequestOptions = Parameters<typeof oauth.resourceDiscoveryRequest>[1] & { signal: AbortSignal };

/** The authorization server of a resource (RFC 9728), by its metadata (RFC 8414), and the resource's identifier. */
async function discover(
  url: string,
  options: RequestOptions,
): Promise<{ server: oauth.AuthorizationServer; resource: string }> {
  const { resource, authorization_servers: issuers } = await findResource(new URL(withoutFragment(url)), options);
  const [issuer] = issuers ?? [];
  if (issuer === undefined || !URL.canParse(issuer)) throw new McpError("the server names no authorization server");
  const id = new URL(issuer);
  const plain = await oauth.discoveryRequest(id, { ...options, algorithm: "oauth2" });
  // MCP 2026-07-28, "Authorization": servers of OpenID Connect have their metadata elsewhere.
  const response = plain.status === 404 ? await oauth.discoveryRequest(id, { ...options, algorithm: "oidc" }) : plain;
  return { server: await oauth.processDiscoveryResponse(id, response), resource };
}

/** The metadata of a resource: below its path, or at its host, and then for the resource itself or all of the host. */
async function findResource(url: URL, options: RequestOptions): Promise<oauth.ResourceServer> {
  const own = await oauth.resourceDiscoveryRequest(url, options);
  if (own.status !== 404) return await oauth.processResourceDiscoveryResponse(url, own);
  const host = new URL(url.origin);
  const shared = await oauth.resourceDiscoveryRequest(host, options);
  if (shared.status === 404)
    throw new McpError(
      "the server does not say where its tokens come from; give the URL of its authorization server's tokens",
    );
  const text = await shared.clone().text();
  const metadata = shared.ok ? parseJson(text) : {};
  const isOwn = isObject(metadata) && URL.parse(stringOf(metadata["resource"]) ?? "")?.href === url.href;
  return await oauth.processResourceDiscoveryResponse(isOwn ? url : host, shared);
}

/** RFC 8414: absent, only `client_secret_basic` is supported. */
function chooseMethod({
  token_endpoint_auth_methods_supported: methods,
}: oauth.AuthorizationServer): (secret: string) => oauth.ClientAuth {
  const isPost =
    Array.isArray(methods) && !methods.includes("client_secret_basic") && methods.includes("client_secret_post");
  return isPost ? oauth.ClientSecretPost : oauth.ClientSecretBasic;
}

/** `fetch` through the guard, which decides what may be reached, with or without encryption. */
const fetchOver =
  (network: OutboundNetwork) =>
  async (url: string, init: oauth.CustomFetchOptions<string, URLSearchParams | undefined>): Promise<Response> => {
    const { method, headers, body: form, signal } = init;
    const { body, ...answer } = await fetchBounded(
      url,
      { method, headers, body: form?.toString() ?? null, maxBytes: MAX_BYTES, signal: signal! },
      network,
    );
    if (answer.isCut) throw new McpError(`an answer about tokens is larger than ${MAX_BYTES} bytes`);
    return new Response(body.length === 0 ? null : body, answer);
  };

function withoutFragment(url: string): string {
  const { href, hash } = new URL(url);
  return hash === "" ? href : href.slice(0, -hash.length);
}

/** An error as the author of the credentials understands it. */
function toError(thrown: unknown): unknown {
  if (thrown instanceof oauth.ResponseBodyError) {
    const reason = thrown.error_description === undefined ? "" : ` (${thrown.error_description})`;
    return new McpError(`the authorization server refuses the credentials: ${thrown.error}${reason}`, {
      status: thrown.status,
    });
  }
  if (thrown instanceof oauth.WWWAuthenticateChallengeError)
    return new McpError("the authorization server refuses the credentials", { status: thrown.status });
  if (thrown instanceof Error && LIBRARY_ERRORS.has(thrown.name))
    return new McpError(`there is no token for the server: ${thrown.message}`);
  return thrown;
}

/** What the library throws on metadata and tokens that break the rules. */
const LIBRARY_ERRORS = new Set(["OperationProcessingError", "UnsupportedOperationError", "JsonError", "TypeError"]);
