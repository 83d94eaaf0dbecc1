import { verbatim } from "../../canonical/native.ts";
import type { Loss, Part, ToolResult } from "../../canonical/types.ts";
import { isObject, type Json, type JsonObject, stringifyMember, tryParseJson } from "../../wire/json.ts";
import type { EncodeTarget } from "../dialect.ts";
import { type DecodeContext, idOf } from "./decode-context.ts";
import { decodeMedia, encodeMedia } from "./media.ts";

/** A call as a result needs it: Gemini answers by name, and by the id only where the call said one. */
export type AnsweredCall = { name: string; hasId: boolean };

/** `response` is an object always. `{result: …}`, `{output: …}` and `{error: …}` hold what a tool said; any other is said whole. */
export function decodeResult(item: JsonObject, context: DecodeContext): ToolResult {
  const name = stringifyMember(item.name);
  const response = isObject(item.response) ? item.response : {};
  const wrapper = wrapperOf(response);
  const output = wrapper === undefined ? response : response[wrapper]!;
  const text = typeof output === "string" ? output : JSON.stringify(output);
  const parts = Array.isArray(item.parts) ? item.parts : [];
  const media = parts.flatMap((part) => (isObject(part) ? (decodeMedia(part) ?? []) : []));
  return {
    kind: "tool_result",
    id: idOf(item) ?? context.newId(name),
    name,
    content: [{ kind: "text", text }, ...media],
    ...(wrapper === "error" && { isError: true as const }),
  };
}

/** Media of a result are parts of it since Gemini 3; to the models before they are shown beside it. */
export function encodeResult(
  result: ToolResult,
  call: AnsweredCall | undefined,
  target: EncodeTarget,
  losses: Loss[],
): Json[] {
  const ownItem = verbatim(result.native, target);
  if (ownItem !== undefined) return [ownItem];
  const name = result.name ?? call?.name ?? "";
  if (name === "") losses.push({ at: "tool_result", what: "approximated", why: "the tool's name is not known" });
  const media = result.content.flatMap((part) => (part.kind === "media" ? (encodeMedia(part, losses) ?? []) : []));
  const mediaParts = media.filter((part) => isObject(part) && part.text === undefined);
  const texts = media
    .filter((part) => isObject(part) && part.text !== undefined)
    .map((part) => stringifyMember((part as JsonObject).text));
  const response = encodeText([joinText(result.content, losses), ...texts].join(""), result.isError);
  const isNested = mediaParts.length > 0 && isGemini3(target.model);
  const functionResponse: JsonObject = {
    ...(call?.hasId !== false && result.id !== "" && { id: result.id }),
    name: name === "" ? "tool" : name,
    response,
    ...(isNested && { parts: mediaParts }),
  };
  return [{ functionResponse }, ...(isNested ? [] : mediaParts)];
}

export const isGemini3 = (model: string): boolean => /gemini-([3-9]|\d\d)/.test(model);

/** The inverse of what `decodeResult` unwraps, also for an object that looks wrapped itself. */
function encodeText(text: string, isError: true | undefined): JsonObject {
  if (isError) return { error: text };
  const value = tryParseJson(text);
  return isObject(value) && wrapperOf(value) === undefined ? value : { result: text };
}

function joinText(content: readonly Part[], losses: Loss[]): string {
  return content
    .map((part) => {
      if (part.kind === "media") return "";
      if (part.kind === "text") return part.text;
      losses.push({ at: `tool_result.${part.label}`, what: "dropped", why: "gemini has no such item" });
      return part.gist ?? "";
    })
    .join("");
}

function wrapperOf(response: JsonObject): "result" | "output" | "error" | undefined {
  const [member, ...others] = Object.keys(response);
  if (others.length > 0 || response[member ?? ""] === null) return undefined;
  return member === "result" || member === "output" || member === "error" ? member : undefined;
}
