import { ERROR_STATUS } from "../../../canonical/error.ts";
import {
  type Components,
  arrayOf,
  describe,
  flag,
  integer,
  literal,
  nullable,
  object,
  oneOf,
  openObject,
  ref,
  text,
} from "../json-schema.ts";

/** Error bodies in the formats of the four kinds of clients. */
export const errorSchemas = (): Components => ({
  // The gateway's own format, on every path that belongs to no SDK.
  Error: object({ error: ref("ErrorDetail") }),
  ErrorDetail: object({
    code: oneOf(...Object.keys(ERROR_STATUS)),
    message: text,
    retryable: describe(flag, "Whether the same request may succeed later."),
    details: ref("ErrorContext"),
    request_id: text,
  }),
  ErrorContext: object({
    "param?": describe(text, "The member that is wrong, as a path into the request: `messages[0].role`."),
    "retry_after_s?": describe({ type: "number" }, "Seconds."),
    "run_id?": describe(text, "The run that the session belongs to (`session.busy`)."),
    "upstream?": ref("UpstreamError"),
  }),
  // Present where the gateway reports another error than the provider did.
  UpstreamError: object(
    { status: integer, "type?": text, "code?": text, "request_id?": text },
    "What the provider itself answered.",
  ),
  // The format of OpenAI's paths. The member `upstream` is beyond OpenAI's published shape.
  OpenAIError: object({ error: ref("OpenAIErrorDetail") }),
  OpenAIErrorDetail: object({
    message: text,
    "type?": nullable(text),
    "param?": nullable(text),
    "code?": describe({ type: ["string", "integer", "null"] }, "The gateway's code, or the provider's own."),
    "upstream?": ref("UpstreamError"),
    "request_id?": text,
  }),
  // The format of Anthropic's paths, and the last event of a stream that fails.
  AnthropicError: object({
    type: literal("error"),
    error: ref("AnthropicErrorDetail"),
    "request_id?": nullable(text),
  }),
  AnthropicErrorDetail: object({ type: text, message: text, "code?": text, "upstream?": ref("UpstreamError") }),
  // The format of Gemini's paths, google.rpc.Status.
  GeminiError: object({ error: ref("GeminiErrorDetail") }),
  GeminiErrorDetail: object({
    code: describe(integer, "The HTTP status."),
    message: text,
    "status?": text,
    "details?": arrayOf(openObject),
  }),
});

/** Which component an error's body is, by the prefix of the response components. */
const FORMATS = { "": "Error", OpenAI: "OpenAIError", Anthropic: "AnthropicError", Gemini: "GeminiError" } as const;

export type ErrorFormat = keyof typeof FORMATS;

/** Descriptions by the name of the response component, without its prefix. */
const DESCRIPTIONS: Record<string, string> = {
  BadRequest: "A member of the request is wrong; the message names it",
  Unauthorized: "No valid key or token",
  Forbidden: "The key or token may not do this",
  NotFound: "The object does not exist in the organisation of the key",
  Conflict: "The session is busy or paused, or the idempotency key belongs to another request",
  TooManyRequests: "A budget or a rate limit is exhausted; `retry-after` gives the seconds to wait",
  Failure: "Any other error, of the gateway or of a provider",
};

/** Every error response in every format: `NotFound`, `OpenAINotFound` and so on. */
export const errorResponseComponents = (): Components =>
  Object.fromEntries(
    Object.entries(FORMATS).flatMap(([format, schema]) =>
      Object.entries(DESCRIPTIONS).map(([name, description]) => [
        `${format}${name}`,
        { description, content: { "application/json": { schema: ref(schema) } } },
      ]),
    ),
  );
