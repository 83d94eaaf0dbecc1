import { HTTPException } from "hono/http-exception";
import { invalid, toGatewayError } from "../../canonical/error.ts";
import { logInternalError } from "../../canonical/log-internal-error.ts";
import { buildErrorResponse } from "../../gateway/reply/headers.ts";
import { SURFACES, type SurfaceId } from "../../surfaces/index.ts";
import { newId } from "../../wire/id.ts";
import { GEMINI_PATH } from "./env.ts";

/** The surface in whose error shape a path responds. */
const SHAPES: readonly [RegExp, SurfaceId][] = [
  [GEMINI_PATH, "gemini"],
  [/^\/v1\/messages(\/|$)/, "messages"],
  [/^\/v1\/(responses|conversations)(\/|$)/, "responses"],
  [/^\/v1\/(chat|models|completions|embeddings|images|audio|moderations)(\/|$)/, "chat"],
];

/** Paths of the gateway's own API. */
const OWN_PATH =
  /^\/(healthz|openapi\.json|v1\/(calls|sessions|runs|harnesses|ws|me|keys|organizations|credentials|routing|records))(\/|$)/;

/** The surface in whose error shape a route's path responds. */
export const errorSurfaceOf = (path: string): SurfaceId => SHAPES.find(([paths]) => paths.test(path))?.[1] ?? "native";

/** The same for any path. On one that neither an SDK nor a route has (a wrong base URL) the headers tell whose client it is. */
function errorSurfaceFor({ path, request: { headers } }: Failed): SurfaceId {
  const surface = errorSurfaceOf(path);
  if (surface !== "native" || OWN_PATH.test(path)) return surface;
  if (headers.has("anthropic-version")) return "messages";
  if (headers.has("x-goog-api-key") || headers.has("x-goog-api-client")) return "gemini";
  return headers.has("x-stainless-lang") || /openai/i.test(headers.get("user-agent") ?? "") ? "chat" : "native";
}

/** The client's `x-request-id`, or a new one. */
export const requestIdFor = ({ headers }: Request): string => headers.get("x-request-id") ?? newId("req", Date.now());

/** A request, and its canonical path, as far as it has one. */
type Failed = { path: string; request: Request };

/** Turns any thrown value into a response in the error shape of the path's clients. Internal errors are logged. */
export function toErrorResponse(thrown: unknown, failed: Failed): Response {
  const requestId = requestIdFor(failed.request);
  // Hono itself rejects only bodies that are not JSON or lack the content type.
  const error =
    thrown instanceof HTTPException && thrown.status < 500
      ? invalid("body", "expected JSON, with content-type: application/json")
      : toGatewayError(thrown);
  if (error.code === "internal") logInternalError(requestId, error.cause);
  const response = buildErrorResponse(SURFACES[errorSurfaceFor(failed)], error, requestId);
  if (error.status === 401) response.headers.set("www-authenticate", 'Bearer realm="rhone"');
  return response;
}
