import type { Dialect, Loss } from "../canonical/types.ts";
import { withCredential, type OutgoingRequest } from "./auth.ts";
import { demo } from "./demo.ts";
import { type CloudCall, geminiPath, CLOUDS } from "./clouds.ts";
import type { Provider } from "./provider.ts";

/** Where a dialect's calls go below the base URL. Gemini streams as server-sent events only when asked. */
const PATH: Record<Dialect, (call: CloudCall) => string> = {
  "openai-chat": () => "/chat/completions",
  "openai-responses": () => "/responses",
  anthropic: () => "/messages",
  gemini: geminiPath,
  native: () => "/calls",
};

/** A generation call as the provider wants it, and what it cannot be told. */
export async function buildRequest(
  provider: Provider,
  call: CloudCall,
  { body, client }: { body: string; client: Headers },
): Promise<OutgoingRequest<string> & { losses: Loss[] }> {
  const headers = buildHeaders(call.dialect, client);
  const host = provider.cloud === undefined ? undefined : CLOUDS[provider.cloud];
  const { body: wrapped, losses } = host?.wrap(call, body, headers) ?? { body, losses: [] };
  return { ...(await withCredential(provider, { url: buildUrl(provider, call), headers, body: wrapped })), losses };
}

/** The address. Origins come from configuration alone: nothing a client sends has a part in them but the model's name. */
export function buildUrl(provider: Provider, call: CloudCall): string {
  const own = provider.cloud === undefined ? undefined : CLOUDS[provider.cloud].path(call);
  return `${provider.baseUrl ?? "http://demo.invalid"}${own ?? PATH[call.dialect](call)}`;
}

/** What the client's request may say to this dialect; no header of another provider, and no credential. */
export function buildHeaders(dialect: Dialect, client: Headers): Headers {
  // Bytes must match: a compressed body would be decoded and re-encoded on the way.
  const headers = new Headers({ "content-type": "application/json", "accept-encoding": "identity" });
  for (const name of FORWARDED_HEADERS[dialect]) {
    const value = client.get(name);
    if (value !== null) headers.set(name, value);
  }
  if (dialect === "anthropic" && !headers.has("anthropic-version")) headers.set("anthropic-version", "2023-06-01");
  // Another gateway of this kind: the context is kept here, and it is sent whole.
  if (dialect === "native") headers.set("x-rhone-context-mode", "stateless");
  return headers;
}

const FORWARDED_HEADERS: Record<Dialect, readonly string[]> = {
  "openai-chat": ["accept"],
  "openai-responses": ["accept", "openai-beta"],
  anthropic: ["accept", "anthropic-version", "anthropic-beta"],
  gemini: ["accept"],
  native: ["accept"],
};

/** The embedded provider answers here; every other over the network. */
export function fetchOf({ id, cloud: host }: Provider): (request: Request) => Promise<Response> {
  if (id === "demo") return demo;
  if (host === undefined) return (request) => fetch(request);
  return async (request) => CLOUDS[host].unwrap(await fetch(request));
}
