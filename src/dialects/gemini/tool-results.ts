import { readNativeItem } from "../../canonical/native.ts";
import type { Loss, Part, ToolResult } from "../../canonical/types.ts";
import { isObject, type Json, type JsonObject, stringifyMember, tryParseJson } from "../../wire/json.ts";
import type { EncodeTarget } from "../dialect.ts";
import { memberName, readMember } from "./casing.ts";
import { type DecodeContext, idOf, readToolId } from "./decode-context.ts";
import { decodeMedia, encodeMedia } from "./media.ts";

/**
 * The call of a result. Gemini matches by name and order, and by id only if the call has one. `isNative`: it came over this
 * wire. `index`: among all calls.
 */
export type AnsweredCall = { name: string; hasId: boolean; isNative: boolean; index: number };

/** The calls of the results of a message, by id. */
type Calls = ReadonlyMap<string, AnsweredCall>;

/**
 * `response` is always an object. `{result: …}`, `{output: …}` and `{error: …}` are wrappers of the text
 * (Gemini API, FunctionResponse); any other object is the result itself.
 */
export function decodeResult(item: JsonObject, context: DecodeContext): ToolResult {
  const name = stringifyMember(item.name);
  const response = isObject(item.response) ? item.response : {};
  const wrapper = wrapperOf(response);
  const output = wrapper === undefined ? response : response[wrapper]!;
  const text = typeof output === "string" ? output : JSON.stringify(output);
  const parts = Array.isArray(item.parts) ? item.parts : [];
  const media = parts.flatMap((part) => {
    const decoded = isObject(part) ? decodeMedia(part) : undefined;
    return decoded === undefined ? [] : [{ ...decoded, native: { dialect: "gemini", item: part } as const }];
  });
  return {
    kind: "tool_result",
    ...readToolId(item, name, context),
    name,
    content: [{ kind: "text", text }, ...media],
    ...(wrapper === "error" && { isError: true as const }),
  };
}

/**
 * Media are parts of a result from Gemini 3 on; for earlier models they follow it. Loss: a result without a
 * known tool name, which the API requires.
 */
export function encodeResult(
  result: ToolResult,
  call: AnsweredCall | undefined,
  target: EncodeTarget,
  losses: Loss[],
): Json[] {
  const ownItem = readNativeItem(result.native, target);
  if (ownItem !== undefined) return [fitId(ownItem, result, call)];
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

/**
 * A content of results in which each has the id of its call, and none if the call has none on this wire: the API knows a
 * result by both. Those without stand in the order of their calls. Results that a client sent without ids for calls that it
 * received over this wire stay so. `results`: its blocks. The content itself if all of that is so already.
 */
export function fitContent(content: Json, results: readonly ToolResult[], calls: Calls): Json {
  if (results.length === 0 || !isObject(content) || !Array.isArray(content.parts)) return content;
  const { parts } = content;
  const places = parts.flatMap((part, at) => (isObject(part) && isObject(readMember(part, MEMBER)) ? [at] : []));
  const areInOrder = places.every(
    (at, i) => idIn(parts[at]!) === undefined && calls.get(results[i]!.id)?.isNative === true,
  );
  const fitted = places.map((at, i) => {
    const call = calls.get(results[i]!.id);
    const part = areInOrder ? parts[at]! : fitId(parts[at]!, results[i]!, call);
    return { at, part, ...(call !== undefined && (areInOrder || !call.hasId) && { call }) };
  });
  const changed = new Map(sortResults(fitted).map(({ part }, i) => [places[i], part]));
  return places.every((at) => changed.get(at) === parts[at])
    ? content
    : { ...content, parts: parts.map((part, at) => changed.get(at) ?? part) };
}

/** Puts results of calls without an id and of one name in the order of their calls, by which Gemini pairs them. */
export function sortResults<T extends { call?: AnsweredCall }>(results: readonly T[]): T[] {
  const sorted = results.filter(({ call }) => call !== undefined).toSorted((a, b) => a.call!.index - b.call!.index);
  const byName = Map.groupBy(sorted, ({ call }) => call!.name);
  return results.map((result) => (result.call === undefined ? result : byName.get(result.call.name)!.shift()!));
}

const MEMBER = "functionResponse";

/** The id of the result in a part. */
function idIn(part: Json): string | undefined {
  const own = isObject(part) ? readMember(part, MEMBER) : undefined;
  return isObject(own) ? idOf(own) : undefined;
}

/** The part of a result with the id of its call. A result of no known call keeps its own. */
function fitId(part: Json, result: ToolResult, call: AnsweredCall | undefined): Json {
  const own = isObject(part) ? readMember(part, MEMBER) : undefined;
  if (call === undefined || !isObject(part) || !isObject(own)) return part;
  const id = call.hasId && result.id !== "" ? result.id : undefined;
  if (idOf(own) === id) return part;
  const { id: _, ...rest } = own;
  return { ...part, [memberName(part, MEMBER)]: id === undefined ? rest : { id, ...rest } };
}

/** Gemini 3 and later. */
export const isGemini3 = (model: string): boolean => /gemini-([3-9]|\d\d)/.test(model);

/** Inverse of the unwrapping in `decodeResult`, also for an object that looks like a wrapper itself. */
function encodeText(text: string, isError: true | undefined): JsonObject {
  if (isError) return { error: text };
  const value = tryParseJson(text);
  return isObject(value) && wrapperOf(value) === undefined ? value : { result: text };
}

/** Loss: opaque items of other providers, except for their fallback text. */
function joinText(content: readonly Part[], losses: Loss[]): string {
  return content
    .map((part) => {
      if (part.kind === "media") return "";
      if (part.kind === "text") return part.text;
      losses.push({ at: `tool_result.${part.label}`, what: "dropped", why: "gemini does not support this item" });
      return part.gist ?? "";
    })
    .join("");
}

/** The only member, if it is one of the three wrappers. */
function wrapperOf(response: JsonObject): "result" | "output" | "error" | undefined {
  const [member, ...others] = Object.keys(response);
  if (others.length > 0 || response[member ?? ""] === null) return undefined;
  return member === "result" || member === "output" || member === "error" ? member : undefined;
}
