import type { Dialect, Loss } from "../canonical/types.ts";
import { decodeUtf8, encodeUtf8 } from "../wire/bytes.ts";
import { isObject, type JsonObject, stringOf, tryParseJson, lookUp } from "../wire/json.ts";
import { appendMember, findMembers, removeMember, splice } from "../wire/splice.ts";
import { encodeSse } from "../wire/sse.ts";
import { type AwsEventFrame, FrameSplitter } from "./aws-event-stream.ts";
import type { CloudName } from "./provider.ts";

/** `asSse`: request a Gemini stream as server-sent events; without it the stream is one JSON array. */
export type CloudCall = { model: string; dialect: Dialect; stream: boolean; asSse: boolean };

/** A cloud that serves a maker's models: how its requests and responses differ from the maker's. */
type Cloud = {
  /** The path below the base URL; undefined: the maker's. */
  path(call: CloudCall): string | undefined;
  /** Converts the maker's body into the cloud's, and changes the headers in place. `losses`: features it does not support. */
  wrap(call: CloudCall, body: string, headers: Headers): { body: string; losses: Loss[] };
  /** Converts the cloud's response into the maker's. */
  unwrap(response: Response): Response;
};

const vertex: Cloud = {
  path({ model, dialect, stream, asSse }) {
    if (dialect === "gemini") return `/publishers/google${geminiPath({ model, stream, asSse })}`;
    if (dialect !== "anthropic") return undefined;
    return `/publishers/anthropic/models/${encodeURIComponent(model)}:${stream ? "streamRawPredict" : "rawPredict"}`;
  },
  wrap({ dialect }, body, headers) {
    if (dialect !== "anthropic") return { body, losses: [] };
    headers.delete("anthropic-version");
    const { supported, losses } = splitBetas(headers, "vertex");
    if (supported.length > 0) headers.set("anthropic-beta", supported.join(","));
    return { body: rewriteBody(body, ["model"], { anthropic_version: "vertex-2023-10-16" }), losses };
  },
  unwrap: (response) => response,
};

const bedrock: Cloud = {
  path: ({ model, dialect, stream }) =>
    dialect === "anthropic"
      ? `/model/${encodeURIComponent(model)}/${stream ? "invoke-with-response-stream" : "invoke"}`
      : undefined,
  wrap({ dialect }, body, headers) {
    if (dialect !== "anthropic") return { body, losses: [] };
    for (const name of ["anthropic-version", "accept"]) headers.delete(name);
    const { supported, losses } = splitBetas(headers, "bedrock");
    const added = {
      anthropic_version: "bedrock-2023-05-31",
      ...(supported.length > 0 && { anthropic_beta: supported }),
    };
    return { body: rewriteBody(body, ["model", "stream"], added), losses };
  },
  unwrap(response) {
    const isFramed = response.headers.get("content-type")?.includes("vnd.amazon.eventstream") === true;
    if (!isFramed || response.body === null) return response;
    const frames = new FrameSplitter();
    const asSse = new TransformStream<Uint8Array, Uint8Array>({
      transform(chunk, controller) {
        for (const frame of frames.push(chunk)) controller.enqueue(encodeUtf8(toSse(frame)));
      },
      flush: () => frames.end(),
    });
    const headers = new Headers(response.headers);
    headers.set("content-type", "text/event-stream; charset=utf-8");
    return new Response(response.body.pipeThrough(asSse), { status: response.status, headers });
  },
};

export const CLOUDS: Record<CloudName, Cloud> = { vertex, bedrock };

/** Gemini API reference: models.generateContent, models.streamGenerateContent. */
export const geminiPath = ({ model, stream, asSse }: Omit<CloudCall, "dialect">): string =>
  `/models/${encodeURIComponent(model)}:${stream ? `streamGenerateContent${asSse ? "?alt=sse" : ""}` : "generateContent"}`;

/** A frame of Bedrock → the event that Anthropic would send, as text. "" for a frame without one. */
export function toSse({ headers, payload }: AwsEventFrame): string {
  const value = tryParseJson(decodeUtf8(payload));
  const body = isObject(value) ? value : {};
  if (headers[":message-type"] !== "event")
    return encodeSse({ event: "error", data: JSON.stringify(toAnthropicError(headers, body)) });
  if (typeof body.bytes !== "string") return "";
  const data = decodeUtf8(Buffer.from(body.bytes, "base64"));
  const event = tryParseJson(data);
  const name = isObject(event) ? stringOf(event.type) : undefined;
  return encodeSse({ ...(name !== undefined && { event: name }), data });
}

/** An exception has its name in a header, an unmodelled error its code. */
function toAnthropicError(headers: AwsEventFrame["headers"], { message }: JsonObject): JsonObject {
  const name = headers[":exception-type"] ?? headers[":error-code"] ?? "";
  const text = stringOf(message) ?? headers[":error-message"] ?? name;
  return { type: "error", error: { type: lookUp(ERRORS, name) ?? "api_error", message: text } };
}

/** Bedrock's exception → Anthropic's error type. Bedrock API reference: InvokeModelWithResponseStream, ResponseStream. */
const ERRORS: Record<string, string> = {
  throttlingException: "rate_limit_error",
  serviceUnavailableException: "overloaded_error",
  validationException: "invalid_request_error",
  modelTimeoutException: "timeout_error",
};

/**
 * The beta features of Anthropic that each cloud supports. An unknown name in `anthropic-beta` makes the whole call fail, so
 * others are removed. Source: the platforms that Anthropic's documentation lists for each feature, as of 2026-11.
 */
const BETAS: Record<CloudName, RegExp> = {
  vertex:
    /^(interleaved-thinking|context-1m|computer-use|token-efficient-tools|output-128k|web-search|fine-grained-tool-streaming|context-management|tool-search-tool|compact)-20/,
  bedrock:
    /^(interleaved-thinking|context-1m|computer-use|token-efficient-tools|output-128k|fine-grained-tool-streaming|context-management|tool-search-tool|tool-examples|compact)-20/,
};

/** Removes `anthropic-beta` from the headers. Returns the supported features; the others are losses. */
function splitBetas(headers: Headers, cloud: CloudName): { supported: string[]; losses: Loss[] } {
  const requested = (headers.get("anthropic-beta") ?? "").split(",").map((beta) => beta.trim());
  headers.delete("anthropic-beta");
  const betas = requested.filter((beta) => beta !== "");
  const why = `${cloud} does not support it`;
  return {
    supported: betas.filter((beta) => BETAS[cloud].test(beta)),
    losses: betas
      .filter((beta) => !BETAS[cloud].test(beta))
      .map((beta) => ({ at: `anthropic-beta.${beta}`, what: "dropped", why })),
  };
}

/** Removes and adds members of the body, other bytes unchanged. A member that the body has is not replaced. */
function rewriteBody(body: string, removed: readonly string[], added: JsonObject): string {
  const all = findMembers(body);
  const text = splice(
    body,
    removed.flatMap((key) => removeMember(all, key)),
  );
  return Object.entries(added)
    .filter(([key]) => !all.some((member) => member.key === key))
    .reduce((out, [key, value]) => splice(out, [appendMember(out, key, JSON.stringify(value))]), text);
}
