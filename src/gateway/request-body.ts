import { pairResults } from "../canonical/tool-results.ts";
import type { Loss, Message, ModelRequest } from "../canonical/types.ts";
import type { EncodeTarget, StreamUsage, WireDialect } from "../dialects/dialect.ts";
import type { Context } from "../session/session.ts";
import type { WireItems } from "../session/turns.ts";
import { isObject, joinItems } from "../wire/json.ts";
import {
  appendMember,
  type Edit,
  isEmptyJson,
  members as membersOf,
  removeMember,
  replaceMember,
  sliceOf,
  splice,
} from "../wire/splice.ts";
import type { ParsedRequest } from "../surfaces/request.ts";
import { decodeItems, decodeInstructions, instructionItems } from "../session/history/decode.ts";

export type ProviderBody = { body: string; losses: Loss[] };

/**
 * The body for a provider that speaks the caller's own wire: the caller's bytes, with another model name, without
 * `rhone` and what names a place of ours, and with the list of messages completed by what the session holds. `usage`:
 * it is asked for, too. Nothing else changes.
 */
export function spliceBody(
  request: ParsedRequest,
  context: Context,
  target: EncodeTarget,
  usage?: StreamUsage,
): ProviderBody {
  const { text, members, surface } = request;
  const { layout } = surface.dialect;
  const model = JSON.stringify(target.model);
  const { history, known, instructions } = context;
  const rebuildsItems = history.length > 0 || instructions?.items !== undefined || request.hasRewrittenItems === true;
  const { items, losses } = rebuildsItems
    ? encodeHistory([...instructionItems(instructions), ...history], surface.dialect, target)
    : NO_ITEMS;
  const given = request.items.slice(0, request.systemCount);
  const newItems = request.items.slice(request.systemCount + known);
  const list = `[${joinLists([...given, items, ...newItems])}]`;
  const edits: Edit[] = [
    ...removeMember(
      members,
      "rhone",
      ...stateMembersOf(request),
      ...(rebuildsItems && layout.itemsAlias ? [layout.itemsAlias] : []),
    ),
    ...replaceMember(members, "model", model),
  ];
  const added: [key: string, json: string][] = [];
  if (request.outside.model === undefined) added.push(["model", model]);
  if (instructions?.member !== undefined) added.push([instructions.member.key, instructions.member.json]);
  if (usage !== undefined) added.push([...usage.member]);
  const body = added.reduce(fillMember, splice(text, edits));
  // The list comes last: whatever looks for a member reads the whole text, and a history may be megabytes of it.
  return { body: rebuildsItems ? setMember(body, layout.items, list) : body, losses };
}

function setMember(text: string, key: string, json: string): string {
  const edits = replaceMember(membersOf(text), key, json);
  return splice(text, edits.length > 0 ? edits : [appendMember(text, key, json)]);
}

/** Adds a member that is not there, or says nothing. */
function fillMember(text: string, [key, json]: readonly [string, string]): string {
  const all = membersOf(text);
  const known = all.findLast((member) => member.key === key);
  if (known === undefined) return splice(text, [appendMember(text, key, json)]);
  return isEmptyJson(sliceOf(text, known.value)) ? splice(text, replaceMember(all, key, json)) : text;
}

/** The body for a provider of another wire: decoded, completed, and said anew. `said`: messages behind the caller's own. */
export function encodeBody(
  parsed: ParsedRequest,
  context: Context,
  dialect: WireDialect,
  target: EncodeTarget,
  appended: readonly Message[] = [],
): ProviderBody {
  const { request } = parsed;
  const { history, known, instructions } = context;
  const given = request.messages.length - parsed.messages.length + parsed.systemCount;
  const messages = pairResults([
    ...decodeInstructions(instructions),
    ...request.messages.slice(0, given),
    ...history.flatMap(decodeItems),
    ...request.messages.slice(given + known),
    ...appended,
  ]);
  const { value, losses } = dialect.encodeRequest({ ...withoutState(request, parsed), messages }, target);
  return { body: JSON.stringify(value), losses: [...lostMembers(parsed, dialect), ...losses] };
}

/** What names a place of ours says nothing to a provider, of the caller's own wire neither. */
function withoutState(request: ModelRequest, parsed: ParsedRequest): ModelRequest {
  const state = stateMembersOf(parsed);
  const { rest } = request;
  if (state.length === 0 || rest === undefined || !isObject(rest.item)) return request;
  const item = Object.fromEntries(Object.entries(rest.item).filter(([member]) => !state.includes(member)));
  return { ...request, rest: { ...rest, item } };
}

/** Those that name one: `null` and `false` do not, and stay. */
const stateMembersOf = ({ surface, body }: ParsedRequest): string[] =>
  (surface.dialect.layout.state ?? []).filter((member) => (body[member] ?? false) !== false);

/** The members of a request that only its own wire knows, on the way to another. */
function lostMembers({ surface, body }: ParsedRequest, { id }: WireDialect): Loss[] {
  if (surface.dialect.id === id) return [];
  return Object.keys(body)
    .filter((member) => body[member] !== null && !surface.dialect.layout.knownMembers.has(member))
    .map((at) => ({ at, what: "dropped", why: `${id} has no such member` }));
}

const NO_ITEMS: { items: string; losses: Loss[] } = { items: "", losses: [] };

/** Wire items for a target: the very characters where all of it may be said verbatim, else decoded and encoded. */
function encodeHistory(
  parts: readonly WireItems[],
  dialect: WireDialect,
  target: EncodeTarget,
): { items: string; losses: Loss[] } {
  const isVerbatim = parts.every(
    (part) => part.dialect === dialect.id && (!part.sealed || part.issuer === target.issuer),
  );
  if (isVerbatim) return { items: joinLists(parts.map(({ items }) => items)), losses: [] };
  const { value, losses } = dialect.encodeMessages(pairResults(parts.flatMap(decodeItems)), target);
  return { items: joinItems(value), losses };
}

/** The inside of a list: what is empty says nothing. Strings that are added are copied once, when they are sent. */
const joinLists = (texts: readonly string[]): string =>
  texts.reduce((list, text) => (list === "" ? text : text === "" ? list : `${list},${text}`), "");
