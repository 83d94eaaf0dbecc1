import { GatewayError } from "../canonical/error.ts";

/** The SDK-specific mounts are other names of the same routes. Some SDKs bring the version themselves. */
const COMPAT = /^\/v1\/compat\/(openai|anthropic|gemini)(\/v1(?:beta1?)?)?(?=\/)/;

/** The version that Google's SDKs ask for in their Vertex mode. */
const VERTEX = /^\/v1beta1(?=\/(publishers|projects)\/)/;

/**
 * The one form of a path, made before anything is decided on it: authorisation and routing see the same value. What
 * still hides something after decoding once is refused, not interpreted.
 */
export function canonicalPath(pathname: string): string {
  const path = decoded(pathname);
  // A second layer of escapes, dot segments, empty segments, back slashes and control characters have no honest use here.
  if (/%|\\|\/\/|\/\.{1,2}(\/|$)|\p{Cc}/u.test(path))
    throw new GatewayError("route.not_found", "there is no such route");
  return path
    .replace(COMPAT, (_, sdk, version) => version ?? (sdk === "gemini" ? "/v1beta" : "/v1"))
    .replace(VERTEX, "/v1");
}

function decoded(pathname: string): string {
  try {
    return decodeURIComponent(pathname);
  } catch (cause) {
    throw new GatewayError("route.not_found", "there is no such route", { cause });
  }
}
