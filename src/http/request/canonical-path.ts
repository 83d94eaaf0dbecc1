import { GatewayError } from "../../canonical/error.ts";

/** SDK-specific base URLs lead to the same routes. Some SDKs append the version themselves. */
const COMPAT = /^\/v1\/compat\/(openai|anthropic|gemini)(\/v1(?:beta1?)?)?(?=\/)/;

/** The version in the paths of Google's SDKs in Vertex mode. */
const VERTEX = /^\/v1beta1(?=\/(publishers|projects)\/)/;

/** The version of the base URL before that of the SDK. */
const TWO_VERSIONS = /^\/v1(?:beta)?(?=\/v1(?:beta1?)?\/)/;

/** Paths of the SDKs without the version: it is missing in the base URL. */
const NO_VERSION =
  /^\/(?=(chat|completions|messages|responses|embeddings|models|images|audio|moderations|conversations)(\/|$))/;

/** Google's AI SDK has `row/model` as the path of a model whose name has a slash, without `models/`. */
const NO_COLLECTION = /^\/v1beta\/(?!models\/)(?=[^/:]+\/.+:\w+$)/;

/** A path that is canonical already, as nearly all are: no escapes, no segment that is empty or starts with a dot. */
const PLAIN = /^https?:\/\/[^/?#\\]+((?:\/[\w:~-][\w.:~-]*)+)(?:\?|$)/;

/** Returns the request with its canonical path. Throws `route.not_found` for a path that has none. */
export function canonicalRequest(request: Request): Request {
  const path = PLAIN.exec(request.url)?.[1];
  if (path !== undefined && canonicalName(path) === path) return request;
  const url = new URL(request.url);
  url.pathname = canonicalPath(url.pathname);
  return new Request(url, request);
}

/**
 * Canonical form of a path, computed before any decision: authorisation and routing see the same value. A path that
 * still contains escapes or dot segments after one decoding is rejected instead of interpreted. Doubled and trailing
 * slashes, which base URLs often cause, mean nothing.
 */
function canonicalPath(pathname: string): string {
  const path = decode(pathname)
    .replaceAll(/\/{2,}/g, "/")
    .replace(/(?<=.)\/$/, "");
  // Second-level escapes, dot segments, backslashes and control characters have no use in this API.
  if (/%|\\|\/\.{1,2}(\/|$)|\p{Cc}/u.test(path)) throw new GatewayError("route.not_found", "there is no such route");
  return canonicalName(path);
}

const canonicalName = (path: string): string =>
  path
    .replace(COMPAT, (_, sdk, version) => version ?? (sdk === "gemini" ? "/v1beta" : "/v1"))
    .replace(TWO_VERSIONS, "")
    .replace(VERTEX, "/v1")
    .replace(NO_VERSION, "/v1/")
    .replace(NO_COLLECTION, "/v1beta/models/");

function decode(pathname: string): string {
  try {
    return decodeURIComponent(pathname);
  } catch (cause) {
    throw new GatewayError("route.not_found", "there is no such route", { cause });
  }
}
