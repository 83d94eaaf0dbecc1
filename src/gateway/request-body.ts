import { CARRIED_SEAL, mayCarry } from "../canonical/carried.ts";
import { readNativeMessage } from "../canonical/native.ts";
import { joinResults, pairResults } from "../canonical/tool-results.ts";
import type { Loss, Message, ModelRequest } from "../canonical/types.ts";
import type { EncodedRequest, EncodeTarget, StreamUsage, WireDialect } from "../dialects/dialect.ts";
import { fitToModel } from "../dialects/fit-model.ts";
import { DIALECTS } from "../dialects/index.ts";
import { decodeInstructions, decodeItems, instructionItems } from "../session/history/decode.ts";
import type { Context } from "../session/session.ts";
import type { WireItems } from "../session/turns.ts";
import { type ParsedRequest, readOption } from "../surfaces/request.ts";
import { listUnknownMembers } from "../surfaces/unknown-members.ts";
import { isObject } from "../wire/json.ts";
import { editMembers, isEmptyJson, sliceSpan } from "../wire/splice.ts";
import { replaceHalfPairs } from "../wire/surrogates.ts";
import { finishHistory, finishItems } from "./finished-history.ts";
import { limitRestoredMarks } from "./restored-marks.ts";

/** A request body as JSON, what of the call it cannot represent, and the tools that have another name in it. */
export type ProviderBody = Omit<EncodedRequest, "value"> & { body: string };

/**
 * The body for a provider of the caller's own dialect: the caller's bytes, in which only these members change. `model`
 * becomes the target's; `rhone` and references to stored state (`previous_response_id` and the like) are removed; items
 * and instructions of the session are added. `usage`: the option that makes the provider report token usage in a
 * stream.
 */
export function spliceBody(
  request: ParsedRequest,
  context: Context,
  target: EncodeTarget,
  usage?: StreamUsage,
): ProviderBody {
  if (carriesItems(request)) return encodeBody(request, context, target);
  const { text, members, surface } = request;
  const { layout } = surface.dialect;
  const model = JSON.stringify(target.model);
  const { history, known, instructions } = limitRestoredMarks(context, request, surface.dialect);
  const rebuildsItems = history.length > 0 || instructions?.items !== undefined || request.hasRewrittenItems;
  const removed = ["rhone", ...stateMembersOf(request)];
  const values: (readonly [key: string, json: string])[] = [];
  if (request.outside.model === undefined || has(request, "model")) values.push(["model", model]);
  if (instructions?.member !== undefined && isUnset(request, instructions.member.key))
    values.push([instructions.member.key, instructions.member.json]);
  if (usage !== undefined && isUnset(request, usage.member[0])) values.push(usage.member);
  if (!rebuildsItems) return { body: editMembers(text, members, removed, values), losses: [] };
  const stored = [...instructionItems(instructions), ...history];
  const { items, losses } = encodeItems(stored, request, known, target);
  const list = `[${joinLists([...request.items.slice(0, request.systemCount), items])}]`;
  if (layout.itemsAlias !== undefined) removed.push(layout.itemsAlias);
  return { body: editMembers(text, members, removed, [...values, [layout.items, list]]), losses };
}

/**
 * Whether the client carries items of the gateway's, which no provider knows. Without them a request may need other
 * changes, as in a tool loop that began with thinking.
 */
const carriesItems = (request: ParsedRequest): boolean =>
  (mayCarry(request.text) || request.surface.dialect.serverTools?.mayHaveOwn?.(request.text) === true) &&
  request.messages.some(({ blocks }) => blocks.some(({ native }) => native?.seal === CARRIED_SEAL));

const has = ({ members }: ParsedRequest, name: string): boolean => members.some(({ key }) => key === name);

/** Whether the member is absent, `null`, `""` or `[]`. */
function isUnset({ text, members }: ParsedRequest, name: string): boolean {
  const member = members.findLast(({ key }) => key === name);
  return member === undefined || isEmptyJson(sliceSpan(text, member.value));
}

/**
 * The items after the history: the client's own bytes. Items from the store are encoded if one of them came over another
 * wire or is sealed to another issuer; ids of items then agree with what the target can read.
 */
function encodeNewItems(
  request: ParsedRequest,
  known: number,
  target: EncodeTarget,
): { items: readonly string[]; losses: Loss[] } {
  const from = request.systemCount + known;
  const { surface } = request;
  const messages = request.messages.slice(from);
  const isForeign = (message: Message): boolean =>
    message.stored !== undefined && readNativeMessage(message, target) === undefined;
  if (!messages.some(isForeign)) return { items: request.items.slice(from), losses: [] };
  const { value, losses } = surface.dialect.encodeMessages(messages, target, request.request.tools);
  return { items: value.map((item) => JSON.stringify(item)), losses };
}

/**
 * The body for a provider of another dialect: the decoded request with the session's history, encoded anew. `appended`:
 * messages after the caller's own. Members that only the caller's dialect knows are losses.
 */
export function encodeBody(
  parsed: ParsedRequest,
  context: Context,
  target: EncodeTarget,
  appended: readonly Message[] = [],
): ProviderBody {
  const { request } = parsed;
  const dialect = DIALECTS[target.dialect];
  const { history, known, instructions } = limitRestoredMarks(context, parsed, dialect);
  const systemCount = request.messages.length - parsed.messages.length + parsed.systemCount;
  const messages = [
    ...decodeInstructions(instructions),
    ...request.messages.slice(0, systemCount),
    ...history.flatMap(decodeItems),
    ...request.messages.slice(systemCount + known),
    ...appended,
  ];
  const finished = finishHistory(messages, dialect);
  const paired = joinResults(pairResults(finished.messages));
  const fitted = fitToModel({ ...withoutState(request, parsed), messages: paired }, target.traits);
  const { value, losses, ...aliases } = dialect.encodeRequest(fitted.request, target);
  const all = [...lostMembers(parsed, dialect), ...finished.losses, ...fitted.losses, ...losses];
  const json = JSON.stringify(value);
  const body = replaceHalfPairs(json);
  if (body !== json) all.push({ at: "text", what: "approximated", why: HALF_PAIRS });
  return { body, losses: all, ...aliases };
}

const HALF_PAIRS = "halves of surrogate pairs are no text: sent as U+FFFD";

/**
 * The request without references to state that the gateway stores; a provider of the caller's dialect does not know
 * them either.
 */
function withoutState(request: ModelRequest, parsed: ParsedRequest): ModelRequest {
  const state = stateMembersOf(parsed);
  const { rest } = request;
  if (state.length === 0 || rest === undefined || !isObject(rest.item)) return request;
  const item = Object.fromEntries(Object.entries(rest.item).filter(([member]) => !state.includes(member)));
  return { ...request, rest: { ...rest, item } };
}

/** The members of the body that refer to stored state. `null` and `false` refer to none and stay in the body. */
const stateMembersOf = (request: ParsedRequest): string[] =>
  (request.surface.dialect.layout.state ?? []).filter((member) => (readOption(request, member) ?? false) !== false);

/** Losses: members of the caller's dialect without an equivalent in another one, and words that the gateway does not know. */
function lostMembers(parsed: ParsedRequest, { id }: WireDialect): Loss[] {
  if (parsed.surface.dialect.id === id) return [];
  return listUnknownMembers(parsed).map(({ at, expected }) => ({
    at,
    what: "dropped",
    why: expected ?? `${id} has no such member`,
  }));
}

/**
 * Encodes stored items and the client's new ones for a target, as the inside of a JSON list. Stored items of the target's
 * dialect are copied verbatim, unless one of them is sealed to another issuer or is a reference; otherwise all are decoded
 * and encoded. The new ones are encoded with those, as a result needs the id that its call has at the target; new items
 * that need no change keep their bytes.
 */
function encodeItems(
  parts: readonly WireItems[],
  parsed: ParsedRequest,
  known: number,
  target: EncodeTarget,
): { items: string; losses: Loss[] } {
  const { request, surface, items } = parsed;
  const { dialect } = surface;
  const isVerbatim = parts.every(
    (part) =>
      part.dialect === dialect.id &&
      (!part.sealed || part.issuer === target.issuer) &&
      !mayCarry(part.items) &&
      dialect.layout.mayHaveReferences?.(part.items) !== true,
  );
  if (isVerbatim) {
    const stored = finishItems(parts, dialect);
    const added = encodeNewItems(parsed, known, target);
    const list = joinLists([...stored.parts.map((part) => part.items), ...added.items]);
    return { items: list, losses: [...stored.losses, ...added.losses] };
  }
  const from = parsed.systemCount + known;
  const added = parsed.messages.slice(from);
  const stored = finishHistory(parts.flatMap(decodeItems), dialect);
  const messages = joinResults(pairResults([...stored.messages, ...added]));
  const { value, losses } = dialect.encodeMessages(messages, target, request.tools);
  const texts = new Map(added.map(({ native }, i) => [native?.item, items[from + i]!]));
  const list = joinLists(value.map((item) => texts.get(item) ?? JSON.stringify(item)));
  return { items: list, losses: [...stored.losses, ...losses] };
}

/**
 * Joins the insides of JSON lists; empty ones are skipped. The engine concatenates lazily, so long texts are copied
 * once.
 */
const joinLists = (texts: readonly string[]): string =>
  texts.reduce((list, text) => (list === "" ? text : text === "" ? list : `${list},${text}`), "");
