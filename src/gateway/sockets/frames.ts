import { z } from "zod";
import { GatewayError, invalid } from "../../canonical/error.ts";
import type { PathParams } from "../../dialects/dialect.ts";
import { encodeUtf8 } from "../../wire/bytes.ts";
import { isObject, tryParseJson } from "../../wire/json.ts";
import { appendMember, members, removeMember, replaceMember, sliceOf, splice } from "../../wire/splice.ts";
import { validate } from "../../surfaces/validate.ts";
import { type SurfaceId } from "../../surfaces/index.ts";
import { sessionId } from "../../surfaces/rhone.ts";

/** SPEC 19. Bytes. */
const MAX_FRAME_BYTES = 1024 * 1024;

const id = z.string().max(128).optional();

const FRAMES = {
  "session.bind": z.strictObject({
    type: z.literal("session.bind"),
    id,
    session_id: sessionId.optional(),
    after_event_id: z.int().min(0).optional(),
  }),
  "call.create": z.strictObject({
    type: z.literal("call.create"),
    id,
    surface: z.enum(["chat", "responses", "messages", "gemini", "native"]),
    request: z.looseObject({}),
  }),
  ping: z.looseObject({ type: z.literal("ping"), id }),
  pong: z.looseObject({ type: z.literal("pong"), id }),
} as const;

/** What a client says on `rhone.ws.v1`. `request`: in the characters in which it came. */
export type RequestFrame =
  | z.infer<(typeof FRAMES)["session.bind" | "ping" | "pong"]>
  | (Omit<z.infer<(typeof FRAMES)["call.create"]>, "request"> & { request: string });

/** Throws `request.invalid` naming the member, or `request.too_large`. */
export function readFrame(message: string | ArrayBuffer): RequestFrame {
  if (typeof message !== "string") throw invalid("frame", "expected a text frame that holds JSON");
  // No character has more than three bytes for each of its code units.
  const mayBeLarge = message.length * 3 > MAX_FRAME_BYTES;
  if (mayBeLarge && encodeUtf8(message).length > MAX_FRAME_BYTES) {
    throw new GatewayError("request.too_large", "frame: expected at most 1 MiB", { param: "frame" });
  }
  const value = tryParseJson(message);
  if (!isObject(value)) throw invalid("frame", "expected a JSON object");
  const { type } = value;
  if (typeof type !== "string" || !Object.hasOwn(FRAMES, type))
    throw invalid("type", `expected one of ${Object.keys(FRAMES).join(", ")}`);
  const frame = validate<RequestFrame>(FRAMES[type as RequestFrame["type"]] as never, value, []);
  if (frame.type !== "call.create") return frame;
  const request = members(message).findLast(({ key }) => key === "request")!;
  return { ...frame, request: sliceOf(message, request.value) };
}

/** The id that a frame gives itself, also one that is otherwise wrong: so that its answer finds it. */
export function readFrameId(message: string | ArrayBuffer): string | undefined {
  const value = typeof message === "string" && message.length <= MAX_FRAME_BYTES ? tryParseJson(message) : undefined;
  return isObject(value) && typeof value.id === "string" ? value.id.slice(0, 128) : undefined;
}

/** A frame's request as its surface takes it over HTTP. Every call of a socket streams. */
export function toHttpRequest(surface: SurfaceId, request: string): { text: string; outside: PathParams } {
  const all = members(request);
  if (surface === "gemini") {
    // Where Google's own routes say it.
    const model = all.findLast(({ key }) => key === "model");
    const name = model === undefined ? undefined : tryParseJson(sliceOf(request, model.value));
    if (typeof name !== "string" || name === "") throw invalid("request.model", "expected the name of a model");
    return { text: splice(request, removeMember(all, "model", "stream")), outside: { model: name, stream: true } };
  }
  const edits = replaceMember(all, "stream", "true");
  return { text: splice(request, edits.length > 0 ? edits : [appendMember(request, "stream", "true")]), outside: {} };
}
