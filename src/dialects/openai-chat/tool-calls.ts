import { isObject, type Json, type JsonObject, stringifyMember, tryParseJson } from "../../wire/json.ts";
import type { AnswerCalls } from "../answer-calls.ts";

/**
 * The calls of the message; the list is created on first use, because the deltas are written into it.
 */
export const ensureCalls = (message: JsonObject): JsonObject[] => (message.tool_calls ??= []) as JsonObject[];

/**
 * Position of the call that a delta belongs to; -1 if it starts a new one. `index` identifies the call (API
 * reference, Chat: streaming). Some hosts send the index 0 for every call, or none: `startsCall` separates those.
 */
export function findCall(message: JsonObject, delta: JsonObject): number {
  const calls = ensureCalls(message);
  const { index } = delta;
  const id = stringifyMember(delta.id);
  const isCandidate = (call: JsonObject): boolean => typeof index !== "number" || STREAM_INDEX.get(call) === index;
  const withId = id === "" ? -1 : calls.findLastIndex((call) => call.id === id && isCandidate(call));
  const at = withId < 0 ? calls.findLastIndex(isCandidate) : withId;
  const known = calls[at];
  return known === undefined || startsCall(delta, id, known) ? -1 : at;
}

/**
 * Whether a delta that names no other index than a known call starts a call of its own: it has another id, or a
 * name and the start of its arguments behind complete ones. Another id amid the arguments is no new call: vLLM
 * has sent a random id with each delta.
 */
function startsCall(delta: JsonObject, id: string, known: JsonObject): boolean {
  const knownId = stringifyMember(known.id);
  const hasName = nameOf(delta) !== "";
  if (id !== "" && knownId !== "" && id !== knownId)
    return hasName || argumentsOf(known).trim() === "" || isCompleteObject(argumentsOf(known));
  const isStart = hasName && nameOf(known) !== "" && argumentsOf(delta).trimStart().startsWith("{");
  return isStart && isCompleteObject(argumentsOf(known));
}

/**
 * Adds a delta to the call at the position that `findCall` returned for it, and returns the position of the call.
 * Name, id and type can arrive after the first delta; of a repeated member the first value stays.
 */
export function appendCallDelta(message: JsonObject, delta: JsonObject, at = findCall(message, delta)): number {
  const calls = ensureCalls(message);
  const known = calls[at];
  if (known === undefined) return calls.push(startCall(delta, calls.length)) - 1;
  continueCall(known, delta);
  return at;
}

/** `position`: of the call in the message; its index in the stream if the delta has none. */
function startCall(delta: JsonObject, position: number): JsonObject {
  const { index, ...call } = delta;
  if (isCustom(delta)) {
    call.custom = { ...toObject(delta.custom) };
    delete call.function;
  } else {
    const called = { name: nameOf(delta), arguments: argumentsOf(delta) };
    call.function = Object.assign({ name: "" }, delta.function, called);
  }
  STREAM_INDEX.set(call, typeof index === "number" ? index : position);
  return call;
}

/** Arguments and input grow; a call can turn out to be of a custom tool as long as it has neither name nor arguments. */
function continueCall(known: JsonObject, delta: JsonObject): void {
  const { index: _, id, type, function: __, custom, ...others } = delta;
  Object.assign(known, others);
  if (stringifyMember(known.id) === "" && stringifyMember(id) !== "") known.id = id!;
  if (stringifyMember(known.type) === "" && stringifyMember(type) !== "") known.type = type!;
  if (isCustom(delta) && nameOf(known) === "" && argumentsOf(known) === "") {
    delete known.function;
    known.custom ??= {};
  }
  const called = toObject(known.function ?? known.custom);
  called.name = stringifyMember(called.name) || nameOf(delta);
  if (isObject(known.function)) called.arguments = stringifyMember(called.arguments) + argumentsOf(delta);
  else called.input = stringifyMember(called.input) + stringifyMember(toObject(custom).input);
}

/** Whether a delta is of a call of a custom tool. Snowflake sends an empty `custom` beside each `function`. */
const isCustom = (delta: JsonObject): boolean =>
  isObject(delta.custom) && (stringifyMember(delta.custom.name) !== "" || !isObject(delta.function));

/**
 * The `index` of each call in the stream. It is no member of a finished call, so it is stored beside the
 * object.
 */
const STREAM_INDEX = new WeakMap<JsonObject, number>();

/** Arguments are JSON text; hosts that send an object mean the whole of it. */
export function argumentsOf(call: JsonObject): string {
  const args = isObject(call.function) ? call.function.arguments : undefined;
  if (typeof args === "string") return args;
  return args === undefined || args === null ? "" : JSON.stringify(args);
}

/** The name of the called tool; "" if the call has none, or none yet. */
export const nameOf = (call: JsonObject): string =>
  stringifyMember(toObject(call.function).name) || stringifyMember(toObject(call.custom).name);

/** Whether arguments are a whole JSON object: nothing but space can follow them. */
export const isCompleteObject = (text: string): boolean => text.trimEnd().endsWith("}") && isObject(tryParseJson(text));

/** The message with an id in each of its calls, and without the nameless ones; unchanged if it has neither. */
export function identifyCalls(message: JsonObject, calls: AnswerCalls): JsonObject {
  const all = Array.isArray(message.tool_calls) ? message.tool_calls : [];
  const identified = all.flatMap((call) => identifyCall(call, calls) ?? []);
  if (identified.length === all.length && identified.every((call, i) => call === all[i])) return message;
  const { tool_calls: _, ...rest } = message;
  return identified.length === 0 ? rest : { ...rest, tool_calls: identified };
}

/** The call with an id; undefined if it is left out. */
export function identifyCall(call: Json, calls: AnswerCalls): Json | undefined {
  if (!isObject(call) || !(isObject(call.function) || isObject(call.custom))) return call;
  const known = stringifyMember(call.id);
  const id = calls.identify({ id: known, name: nameOf(call), arguments: argumentsOf(call) });
  if (id === undefined) return undefined;
  return id === known ? call : { ...call, id };
}

const toObject = (value: Json | undefined): JsonObject => (isObject(value) ? value : {});
