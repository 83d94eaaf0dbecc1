import { GatewayError } from "../../canonical/error.ts";

/** The SDK-specific mounts are other names of the same routes. Some SDKs bring the version themselves. */
const COMPAT = /^\/v1\/compat\/(openai|anthropic|gemini)(\/v1(?:beta1?)?)?(?=\/)/;

/** The version that Google's SDKs ask for in their Vertex mode. */
const VERTEX = /^\/v1beta1(?=\/(publishers|projects)\/)/;

/** A path that is in its one form already, as nearly all are: no escapes, and no segment that is empty or begins with a dot. */
const PLAIN = /^https?:\/\/[^/?#\\]+((?:\/[\w:~-][\w.:~-]*)+)(?:\?|$)/;

/** The request under the one form of its path. Throws `route.not_found` where that hides something. */
export function canonicalRequest(request: Request): Request {
  const path = PLAIN.exec(request.url)?.[1];
  if (path !== undefined && canonicalName(path) === path) return request;
  const url = new URL(request.url);
  url.pathname = canonicalPath(url.pathname);
  return new Request(url, request);
}

/**
 * The one form of a path, made before anything is decided on it: authorisation and routing see the same value. What
 * still hides something after decoding once is refused, not interpreted.
 */
function canonicalPath(pathname: string): string {
  const path = decoded(pathname);
  // A second layer of escapes, dot segments, empty segments, back slashes and control characters have no honest use here.
  if (/%|\\|\/\/|\/\.{1,2}(\/|$)|\p{Cc}/u.test(path))
    throw new GatewayError("route.not_found", "there is no such route");
  return canonicalName(path);
}

const canonicalName = (path: string): string =>
  path.replace(COMPAT, (_, sdk, version) => version ?? (sdk === "gemini" ? "/v1beta" : "/v1")).replace(VERTEX, "/v1");

function decoded(pathname: string): string {
  try {
    return decodeURIComponent(pathname);
  } catch (cause) {
    throw new GatewayError("route.not_found", "there is no such route", { cause });
  }
}
