import { readNativeItem } from "../../canonical/native.ts";
import type { Block, Loss, Native, Opaque, ToolCall } from "../../canonical/types.ts";
import { isObject, type Json, type JsonObject, stringifyMember, tryParseJson } from "../../wire/json.ts";
import type { EncodeTarget } from "../dialect.ts";
import { readMember, toCamelCase } from "./casing.ts";
import { type DecodeContext, idOf, readToolId } from "./decode-context.ts";
import { decodeMedia, encodeMedia } from "./media.ts";
import { decodeResult } from "./tool-results.ts";

const dialect = "gemini";

/**
 * Signature for calls of other models ("skip_thought_signature_validator", Gemini API, "Thought signatures";
 * ten recorded requests to 2.0 and 3 have it). Gemini 3 refuses a turn whose first call has no signature.
 */
const PLACEHOLDER_SIGNATURE = "c2tpcF90aG91Z2h0X3NpZ25hdHVyZV92YWxpZGF0b3I=";

/**
 * That one, and the other of the documentation ("context_engineering_is_the_way_to_go"). Both are valid for
 * every issuer.
 */
const PLACEHOLDER_SIGNATURES = new Set<Json>([
  PLACEHOLDER_SIGNATURE,
  "Y29udGV4dF9lbmdpbmVlcmluZ19pc190aGVfd2F5X3RvX2dv",
]);

/**
 * A part as a block; `undefined` if it has no content (many streams of Gemini end with an empty text). A
 * signature seals the part to its issuer. A part of an unknown kind is opaque.
 */
export function decodePart(item: Json, context: DecodeContext): Block | undefined {
  if (typeof item === "string") return { kind: "text", text: item };
  if (!isObject(item)) return { kind: "opaque", label: "part", native: { dialect, item } };
  const signature = readMember(item, "thoughtSignature");
  const isSealed = typeof signature === "string" && !PLACEHOLDER_SIGNATURES.has(signature);
  const native: Native = { dialect, item, ...(isSealed && context.seal !== undefined && { seal: context.seal }) };
  const call = readMember(item, "functionCall");
  if (isObject(call)) return { ...decodeCall(call, context), native };
  const result = readMember(item, "functionResponse");
  if (isObject(result)) return { ...decodeResult(result, context), native };
  if (item.thought === true) return { kind: "thinking", text: stringifyMember(item.text), native };
  if (typeof item.text === "string") {
    return item.text === "" && signature === undefined ? undefined : { kind: "text", text: item.text, native };
  }
  const media = decodeMedia(item);
  return media === undefined ? decodeOpaque(item, native) : { ...media, native };
}

/**
 * `undefined` if the wire has no such part. Results are encoded in `tool-results.ts`. Loss: reasoning and
 * opaque items of other providers.
 */
export function encodePart(block: Block, target: EncodeTarget, losses: Loss[]): Json | undefined {
  const ownItem = readNativeItem(block.native, target);
  if (ownItem !== undefined) return ownItem;
  switch (block.kind) {
    case "text":
      return block.text === "" ? undefined : { text: block.text };
    case "thinking":
      losses.push({ at: "thinking", what: "dropped", why: "reasoning of another provider" });
      return undefined;
    case "media":
      return encodeMedia(block, losses);
    case "tool_call":
      return { functionCall: encodeCall(block) };
    case "opaque":
      losses.push({ at: block.label, what: "dropped", why: "gemini does not support this item" });
      return block.gist === undefined ? undefined : { text: block.gist };
    case "tool_result":
      return undefined;
  }
}

/** Arguments are an object here; canonical arguments are JSON text. */
function decodeCall(call: JsonObject, context: DecodeContext): ToolCall {
  const name = stringifyMember(call.name);
  return { kind: "tool_call", ...readToolId(call, name, context), name, arguments: JSON.stringify(call.args ?? {}) };
}

/**
 * The definition of Vertex has no `id`, but its API accepts it: 78 recorded calls with one were answered with
 * 200. A call that came without one stays without, so that the calls of a content are alike: results are matched by id or
 * by order.
 */
function encodeCall(call: ToolCall): JsonObject {
  const { id, name, arguments: text } = call;
  const args = text.trim() === "" ? {} : tryParseJson(text);
  // Arguments that were cut by the length limit, or never were JSON, stay as text inside an object.
  return {
    ...(id !== "" && hasIdOnWire(call) && { id }),
    name,
    args: isObject(args) ? args : args === null ? {} : { arguments: args ?? text },
  };
}

/** Whether the call is encoded with an id: always, unless it came over this wire without one. */
export function hasIdOnWire({ isIdAssigned, native }: ToolCall): boolean {
  const own =
    native?.dialect === dialect && isObject(native.item) ? readMember(native.item, "functionCall") : undefined;
  return isIdAssigned !== true && !(isObject(own) && idOf(own) === undefined);
}

/**
 * For calls of other models: the first call of a turn needs a signature, the others none (Gemini API, "Thought
 * signatures").
 */
export function addPlaceholderSignature(parts: readonly Json[]): Json[] {
  const first = parts.findIndex((part) => isObject(part) && isObject(readMember(part, "functionCall")));
  const call = parts[first];
  if (!isObject(call) || readMember(call, "thoughtSignature") !== undefined) return [...parts];
  return parts.with(first, { ...call, thoughtSignature: PLACEHOLDER_SIGNATURE });
}

/**
 * Results of tools that Gemini runs, and unknown parts. Code and its output are readable without the tool.
 */
function decodeOpaque(item: JsonObject, native: Native): Opaque {
  const label =
    Object.keys(item)
      .map(toCamelCase)
      .find((name) => !name.startsWith("thought")) ?? "part";
  const inner = readMember(item, label);
  const { code, output } = isObject(inner) ? inner : {};
  const text = typeof code === "string" ? `\`\`\`python\n${code}\n\`\`\`` : typeof output === "string" ? output : "";
  return { kind: "opaque", label, ...(text !== "" && { gist: text }), native };
}
