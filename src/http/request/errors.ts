import { HTTPException } from "hono/http-exception";
import { invalid, toGatewayError } from "../../canonical/error.ts";
import { logInternalError } from "../../canonical/log-internal-error.ts";
import { buildErrorResponse } from "../../gateway/reply/headers.ts";
import { SURFACES, type SurfaceId } from "../../surfaces/index.ts";
import { GEMINI_PATH } from "./env.ts";

/** The surface in whose error shape a path responds; `native` for all other paths. */
const SHAPES: readonly [RegExp, SurfaceId][] = [
  [GEMINI_PATH, "gemini"],
  [/^\/v1\/messages(\/|$)/, "messages"],
  [/^\/v1\/(responses|conversations)(\/|$)/, "responses"],
  [/^\/v1\/(chat|models|completions|embeddings|images|audio|moderations)(\/|$)/, "chat"],
];

export const errorSurfaceOf = (path: string): SurfaceId => SHAPES.find(([paths]) => paths.test(path))?.[1] ?? "native";

/** Turns any thrown value into a response in the error shape of the path's clients. Internal errors are logged. */
export function toErrorResponse(thrown: unknown, path: string, requestId: string): Response {
  // Hono itself rejects only bodies that are not JSON or lack the content type.
  const error =
    thrown instanceof HTTPException && thrown.status < 500
      ? invalid("body", "expected JSON, with content-type: application/json")
      : toGatewayError(thrown);
  if (error.code === "internal") logInternalError(requestId, error.cause);
  const response = buildErrorResponse(SURFACES[errorSurfaceOf(path)], error, requestId);
  if (error.status === 401) response.headers.set("www-authenticate", 'Bearer realm="rhone"');
  return response;
}
