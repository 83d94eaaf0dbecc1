import { HTTPException } from "hono/http-exception";
import { invalid, toGatewayError } from "../../canonical/error.ts";
import { errorResponse } from "../../gateway/reply/headers.ts";
import { SURFACES, type SurfaceId } from "../../surfaces/index.ts";
import { GEMINI_PATH } from "./env.ts";

const SHAPES: readonly [RegExp, SurfaceId][] = [
  [GEMINI_PATH, "gemini"],
  [/^\/v1\/messages(\/|$)/, "messages"],
  [/^\/v1\/(responses|conversations)(\/|$)/, "responses"],
  [/^\/v1\/(chat|models|completions|embeddings|images|audio|moderations)(\/|$)/, "chat"],
];

/** Any failure as an answer, in the shape that the route's clients read. What is not ours is logged without its content. */
export function toErrorResponse(thrown: unknown, path: string, requestId: string): Response {
  // What the framework refuses by itself is a body that is no JSON, or does not say that it is.
  const error =
    thrown instanceof HTTPException && thrown.status < 500
      ? invalid("body", "expected JSON, with content-type: application/json")
      : toGatewayError(thrown);
  if (error.code === "internal")
    console.error(
      "internal error",
      requestId,
      Object(error.cause) instanceof Error ? (error.cause as Error).stack : "",
    );
  const surface = SHAPES.find(([paths]) => paths.test(path))?.[1] ?? "native";
  const response = errorResponse(SURFACES[surface], error, requestId);
  if (error.status === 401) response.headers.set("www-authenticate", 'Bearer realm="rhone"');
  return response;
}
