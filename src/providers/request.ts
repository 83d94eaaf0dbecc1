import type { Dialect, Loss } from "../canonical/types.ts";
import { type OutgoingRequest, withCredential } from "./auth.ts";
import { type CloudCall, CLOUDS, geminiPath } from "./clouds.ts";
import { fetchDemo } from "./demo.ts";
import type { Provider } from "./provider.ts";

/** The path of a dialect's generation endpoint below the base URL. */
const PATH: Record<Dialect, (call: CloudCall) => string> = {
  "openai-chat": () => "/chat/completions",
  "openai-responses": () => "/responses",
  anthropic: () => "/messages",
  gemini: geminiPath,
  native: () => "/calls",
};

/**
 * Builds the request of a generation call. `client`: the caller's headers. `losses`: features that the provider's cloud does
 * not support. Throws as `withCredential` does.
 */
export async function buildRequest(
  provider: Provider,
  call: CloudCall,
  { body, client }: { body: string; client: Headers },
): Promise<OutgoingRequest<string> & { losses: Loss[] }> {
  const headers = buildHeaders(call.dialect, client);
  const cloud = provider.cloud === undefined ? undefined : CLOUDS[provider.cloud];
  const { body: wrapped, losses } = cloud?.wrap(call, body, headers) ?? { body, losses: [] };
  return { ...(await withCredential(provider, { url: buildUrl(provider, call), headers, body: wrapped })), losses };
}

/** The address of the call. Only the path can depend on the request, by the model's name; the origin is configured. */
function buildUrl(provider: Provider, call: CloudCall): string {
  const cloudPath = provider.cloud === undefined ? undefined : CLOUDS[provider.cloud].path(call);
  return `${provider.baseUrl ?? "http://demo.invalid"}${cloudPath ?? PATH[call.dialect](call)}`;
}

/** Headers for the provider: the client's headers that belong to this dialect, without any credential. */
export function buildHeaders(dialect: Dialect, client: Headers): Headers {
  // A compressed response would be decompressed by the runtime and could not be forwarded byte by byte.
  const headers = new Headers({ "content-type": "application/json", "accept-encoding": "identity" });
  for (const name of FORWARDED_HEADERS[dialect]) {
    const value = client.get(name);
    if (value !== null) headers.set(name, value);
  }
  if (dialect === "anthropic" && !headers.has("anthropic-version")) headers.set("anthropic-version", "2023-06-01");
  // The provider is another Rhone gateway. The context is stored here and sent whole, so it must not store a session.
  if (dialect === "native") headers.set("x-rhone-context-mode", "stateless");
  return headers;
}

/** Client headers that are forwarded, by dialect. */
const FORWARDED_HEADERS: Record<Dialect, readonly string[]> = {
  "openai-chat": ["accept"],
  "openai-responses": ["accept", "openai-beta"],
  anthropic: ["accept", "anthropic-version", "anthropic-beta"],
  gemini: ["accept"],
  native: ["accept"],
};

/** Sends a request over the network. */
export type Fetch = (request: Request) => Promise<Response>;

/** The function that sends a provider's request: the demo answers locally, a cloud's response is converted to the maker's form. */
export function fetchOf({ id, cloud }: Provider, fetch: Fetch): Fetch {
  if (id === "demo") return fetchDemo;
  return cloud === undefined ? fetch : async (request) => CLOUDS[cloud].unwrap(await fetch(request));
}
