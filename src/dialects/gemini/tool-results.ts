import { verbatim } from "../../canonical/native.ts";
import type { Loss, Part, ToolResult } from "../../canonical/types.ts";
import { isObject, type Json, type JsonObject, stringifyMember, tryParseJson } from "../../wire/json.ts";
import type { EncodeTarget } from "../dialect.ts";
import { decodeMedia, encodeMedia } from "./media.ts";
import { idOf, type DecodeContext } from "./decode-context.ts";

/** A call as a result needs it: Gemini answers by name, and by the id only where the call said one. */
export type AnsweredCall = { name: string; hasId: boolean };

/** `response` is an object always. `{result: …}`, `{output: …}` and `{error: …}` hold what a tool said; any other is said whole. */
export function decodeResult(item: JsonObject, from: DecodeContext): ToolResult {
  const name = stringifyMember(item.name);
  const response = isObject(item.response) ? item.response : {};
  const wrapped = wrappedIn(response);
  const said = wrapped === undefined ? response : response[wrapped]!;
  const text = typeof said === "string" ? said : JSON.stringify(said);
  const parts = Array.isArray(item.parts) ? item.parts : [];
  const media = parts.flatMap((part) => (isObject(part) ? (decodeMedia(part) ?? []) : []));
  return {
    kind: "tool_result",
    id: idOf(item) ?? from.newId(name),
    name,
    content: [{ kind: "text", text }, ...media],
    ...(wrapped === "error" && { isError: true as const }),
  };
}

/** Media of a result are parts of it since Gemini 3; to the models before they are shown beside it. */
export function encodeResult(
  result: ToolResult,
  called: AnsweredCall | undefined,
  target: EncodeTarget,
  losses: Loss[],
): Json[] {
  const said = verbatim(result.native, target);
  if (said !== undefined) return [said];
  const name = result.name ?? called?.name ?? "";
  if (name === "") losses.push({ at: "tool_result", what: "approximated", why: "the tool's name is not known" });
  const media = result.content.flatMap((part) => (part.kind === "media" ? (encodeMedia(part, losses) ?? []) : []));
  const shown = media.filter((part) => isObject(part) && part.text === undefined);
  const texts = media
    .filter((part) => isObject(part) && part.text !== undefined)
    .map((part) => stringifyMember((part as JsonObject).text));
  const response = encodeText([textIn(result.content, losses), ...texts].join(""), result.isError);
  const isInside = shown.length > 0 && isGemini3(target.model);
  const functionResponse: JsonObject = {
    ...(called?.hasId !== false && result.id !== "" && { id: result.id }),
    name: name === "" ? "tool" : name,
    response,
    ...(isInside && { parts: shown }),
  };
  return [{ functionResponse }, ...(isInside ? [] : shown)];
}

export const isGemini3 = (model: string): boolean => /gemini-([3-9]|\d\d)/.test(model);

/** The inverse of what `decodeResult` unwraps, also for an object that looks wrapped itself. */
function encodeText(text: string, isError: true | undefined): JsonObject {
  if (isError) return { error: text };
  const value = tryParseJson(text);
  return isObject(value) && wrappedIn(value) === undefined ? value : { result: text };
}

function textIn(content: readonly Part[], losses: Loss[]): string {
  return content
    .map((part) => {
      if (part.kind === "media") return "";
      if (part.kind === "text") return part.text;
      losses.push({ at: `tool_result.${part.label}`, what: "dropped", why: "gemini has no such item" });
      return part.gist ?? "";
    })
    .join("");
}

function wrappedIn(response: JsonObject): "result" | "output" | "error" | undefined {
  const [member, ...others] = Object.keys(response);
  if (others.length > 0 || response[member ?? ""] === null) return undefined;
  return member === "result" || member === "output" || member === "error" ? member : undefined;
}
