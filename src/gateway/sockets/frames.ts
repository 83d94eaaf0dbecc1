import { z } from "zod";
import { GatewayError, invalid } from "../../canonical/error.ts";
import type { PathParams } from "../../dialects/dialect.ts";
import { errorMembers } from "../../dialects/native/errors.ts";
import { MAX_FRAME_BYTES } from "../../surfaces/body.ts";
import { type SurfaceId } from "../../surfaces/index.ts";
import { sessionId } from "../../surfaces/rhone.ts";
import { validate } from "../../surfaces/validate.ts";
import { encodeUtf8 } from "../../wire/bytes.ts";
import { newId } from "../../wire/id.ts";
import { isObject, type JsonObject, tryParseJson, withoutUndefined } from "../../wire/json.ts";
import { appendMember, findMembers, removeMember, replaceMember, sliceSpan, splice } from "../../wire/splice.ts";

const id = z.string().max(128).optional();
const runId = z.string().min(1).max(256);

/** The frames that a client sends, by type. `/openapi.json` describes them from these schemas. */
export const CLIENT_FRAMES = {
  "session.bind": z
    .strictObject({
      type: z.literal("session.bind"),
      id,
      session_id: sessionId.optional(),
      after_event_id: z.int().min(0).optional(),
    })
    .meta({ id: "SessionBindFrame" }),
  "call.create": z
    .strictObject({
      type: z.literal("call.create"),
      id,
      surface: z.enum(["chat", "responses", "messages", "gemini", "native"]),
      request: z.looseObject({}).meta({ description: "A request of the surface; a Gemini request names its `model`." }),
    })
    .meta({ id: "CallCreateFrame" }),
  "run.create": z
    .strictObject({ type: z.literal("run.create"), id, request: z.looseObject({}) })
    .meta({ id: "RunCreateFrame" }),
  "run.interrupt": z
    .strictObject({
      type: z.literal("run.interrupt"),
      id,
      run_id: runId,
      message: z.any().optional(),
      behavior: z.string().optional(),
    })
    .meta({ id: "RunInterruptFrame" }),
  "run.cancel": z.strictObject({ type: z.literal("run.cancel"), id, run_id: runId }).meta({ id: "RunCancelFrame" }),
  "tool.result": z
    .strictObject({
      type: z.literal("tool.result"),
      id,
      run_id: runId,
      execution_id: z.string().min(1).max(256),
      content: z.any(),
      is_error: z.boolean().optional(),
    })
    .meta({ id: "ToolResultFrame" }),
  "checkpoint.resolve": z
    .looseObject({
      type: z.literal("checkpoint.resolve"),
      id,
      checkpoint_id: z.string().min(1).max(256),
      decision: z.string(),
    })
    .meta({ id: "CheckpointResolveFrame" }),
  ping: z.looseObject({ type: z.literal("ping"), id }).meta({ id: "PingFrame" }),
  pong: z.looseObject({ type: z.literal("pong"), id }).meta({ id: "PongFrame" }),
} as const;

/** A frame that a client of `rhone.ws.v1` sends. `request`: its JSON text, exactly as received. */
export type RequestFrame =
  | z.infer<(typeof CLIENT_FRAMES)["session.bind" | "ping" | "pong"]>
  | (Omit<z.infer<(typeof CLIENT_FRAMES)["call.create"]>, "request"> & { request: string })
  | RunFrame;

/** A frame about a run of the session. */
export type RunFrame =
  | z.infer<(typeof CLIENT_FRAMES)["run.interrupt" | "run.cancel" | "tool.result" | "checkpoint.resolve"]>
  | (Omit<z.infer<(typeof CLIENT_FRAMES)["run.create"]>, "request"> & { request: string });

/** Parses and validates a frame. Throws `request.invalid` naming the member, or `request.too_large`. */
export function readFrame(message: string | ArrayBuffer): RequestFrame {
  if (typeof message !== "string") throw invalid("frame", "expected a text frame with JSON");
  // UTF-8 has at most three bytes per UTF-16 code unit: most frames need no encoding to be known to be small enough.
  const mayBeLarge = message.length * 3 > MAX_FRAME_BYTES;
  if (mayBeLarge && encodeUtf8(message).length > MAX_FRAME_BYTES) {
    throw new GatewayError("request.too_large", "frame: expected at most 1 MiB", { param: "frame" });
  }
  const value = tryParseJson(message);
  if (!isObject(value)) throw invalid("frame", "expected a JSON object");
  const { type } = value;
  if (typeof type !== "string" || !Object.hasOwn(CLIENT_FRAMES, type))
    throw invalid("type", `expected one of ${Object.keys(CLIENT_FRAMES).join(", ")}`);
  const frame = validate<RequestFrame>(CLIENT_FRAMES[type as RequestFrame["type"]] as never, value, []);
  if (frame.type !== "call.create" && frame.type !== "run.create") return frame;
  const request = findMembers(message).findLast(({ key }) => key === "request")!;
  return { ...frame, request: sliceSpan(message, request.value) };
}

/** The id that a frame states, also of an invalid frame, so that the error can be matched with it. */
export function readFrameId(message: string | ArrayBuffer): string | undefined {
  const value = typeof message === "string" && message.length <= MAX_FRAME_BYTES ? tryParseJson(message) : undefined;
  return isObject(value) && typeof value.id === "string" ? value.id.slice(0, 128) : undefined;
}

/** The frame that answers an invalid or refused one. `id`: of that frame. `at`: Unix milliseconds. */
export const toErrorFrame = (error: GatewayError, id: string | undefined, at: number): JsonObject =>
  withoutUndefined<JsonObject>({
    type: "error",
    id,
    http_status: error.status,
    retry_after_s: error.retryAfterSeconds,
    error: errorMembers(error, newId("req", at)),
  });

/** A frame's request as the body and path parameters of an HTTP request. Every call of a socket streams. */
export function toHttpRequest(surface: SurfaceId, request: string): { text: string; outside: PathParams } {
  const all = findMembers(request);
  if (surface === "gemini") {
    // Gemini's HTTP routes have the model and the method in the path, not in the body.
    const model = all.findLast(({ key }) => key === "model");
    const name = model === undefined ? undefined : tryParseJson(sliceSpan(request, model.value));
    if (typeof name !== "string" || name === "") throw invalid("request.model", "expected the name of a model");
    return { text: splice(request, removeMember(all, "model", "stream")), outside: { model: name, stream: true } };
  }
  const edits = replaceMember(all, "stream", "true");
  return { text: splice(request, edits.length > 0 ? edits : [appendMember(request, "stream", "true")]), outside: {} };
}
