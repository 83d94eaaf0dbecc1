import type { Lifetime } from "../canonical/cache-marks.ts";
import type { WireDialect } from "../dialects/dialect.ts";
import type { MarkLimit } from "../dialects/mark-limit.ts";
import type { Context } from "../session/session.ts";
import type { WireItems } from "../session/turns.ts";
import type { ParsedRequest } from "../surfaces/request.ts";
import { isObject } from "../wire/json.ts";
import { type Edit, findElements, findMembers, removeMember, sliceSpan, splice } from "../wire/splice.ts";

/** A cache mark in a JSON text. `edits` remove it, and leave all other bytes. */
type Mark = { lifetime: Lifetime; edits: Edit[] };

/**
 * The context without the cache marks that the provider would refuse, as each turn of a session may have brought its own.
 * The marks of the call stay, and of the restored ones the newest that fit beside them. They stand where an earlier call
 * had them, and nothing else changes, so the provider finds the prefix that it cached then.
 */
export function limitRestoredMarks(context: Context, parsed: ParsedRequest, { markLimit }: WireDialect): Context {
  const { history, instructions } = context;
  if (markLimit === undefined || (history.length === 0 && instructions === undefined)) return context;
  const { members, select } = markLimit;
  const member = instructions?.member;
  const { inMember: marksInMember, inItems: marksInItems } = findInstructionMarks(instructions, members);
  const marksByTurn = history.map((items) => findItemMarks(items, members[items.dialect] ?? NO_NAMES));
  const marks = [...marksInMember, ...marksInItems, ...marksByTurn.flat()];
  if (marks.length === 0) return context;
  const { before, after } = readOwnMarks(parsed, context.known, members[parsed.surface.dialect.id] ?? NO_NAMES);
  const selected = select(
    marks.map(({ lifetime }) => lifetime),
    before,
    after,
  );
  if (selected.size === marks.length) return context;
  const refused = new Set(marks.filter((_, i) => !selected.has(i)));
  const limited = { ...context, history: history.map((items, i) => withoutMarks(items, marksByTurn[i]!, refused)) };
  if (instructions === undefined) return limited;
  const { items } = instructions;
  const changed = {
    ...(member !== undefined && { member: { ...member, json: removeMarks(member.json, marksInMember, refused) } }),
    ...(items !== undefined && { items: removeMarks(`[${items}]`, marksInItems, refused).slice(1, -1) }),
  };
  return { ...limited, instructions: { ...instructions, ...changed } };
}

/** The marks of instructions: in a member of the body, and in items. */
function findInstructionMarks(
  instructions: Context["instructions"],
  members: MarkLimit["members"],
): { inMember: Mark[]; inItems: Mark[] } {
  if (instructions === undefined) return { inMember: [], inItems: [] };
  const names = members[instructions.dialect] ?? NO_NAMES;
  const { member, items = "" } = instructions;
  return { inMember: findMarks(member?.json ?? "", names), inItems: findMarks(`[${items}]`, names) };
}

/**
 * The marks of the call itself, wherever its wire accepts them. Those of tools and instructions stand before the history,
 * those of messages behind it.
 */
function readOwnMarks(
  { text, members, body, instructions, items, systemCount }: ParsedRequest,
  known: number,
  names: readonly string[],
): { before: Lifetime[]; after: Lifetime[] } {
  const lifetimesIn = (json: string): Lifetime[] => findMarks(json, names).map(({ lifetime }) => lifetime);
  const tools = members.findLast(({ key }) => key === "tools");
  const before = [
    tools === undefined ? "" : sliceSpan(text, tools.value),
    instructions?.member?.json ?? "",
    `[${instructions?.items ?? ""}]`,
  ];
  // The member of the body marks the last block of the request (Anthropic API, Messages: `cache_control`).
  const automatic = isObject(body.cache_control) ? [lifetimeOf(JSON.stringify(body.cache_control))] : [];
  return {
    before: before.flatMap(lifetimesIn),
    after: [...items.slice(systemCount + known).flatMap(lifetimesIn), ...automatic],
  };
}

/** The marks in stored items. Cached, as a session's history is the same objects from call to call. */
function findItemMarks(items: WireItems, names: readonly string[]): readonly Mark[] {
  let byItems = FOUND.get(names);
  if (byItems === undefined) FOUND.set(names, (byItems = new WeakMap()));
  const marks = byItems.get(items) ?? findMarks(`[${items.items}]`, names);
  byItems.set(items, marks);
  return marks;
}

const FOUND = new WeakMap<readonly string[], WeakMap<WireItems, readonly Mark[]>>();
const NO_NAMES: readonly string[] = [];

/** The same object for the same marks, so that its items are decoded once. */
function withoutMarks(items: WireItems, marks: readonly Mark[], refused: ReadonlySet<Mark>): WireItems {
  const removed = marks.filter((mark) => refused.has(mark));
  if (removed.length === 0) return items;
  const cached = LIMITED.get(items);
  if (cached?.removed.length === removed.length && removed.every((mark, i) => mark === cached.removed[i]))
    return cached.limited;
  const limited = { ...items, items: removeMarks(`[${items.items}]`, removed, refused).slice(1, -1) };
  LIMITED.set(items, { removed, limited });
  return limited;
}

const LIMITED = new WeakMap<WireItems, { removed: readonly Mark[]; limited: WireItems }>();

const removeMarks = (text: string, marks: readonly Mark[], refused: ReadonlySet<Mark>): string =>
  splice(
    text,
    marks.filter((mark) => refused.has(mark)).flatMap(({ edits }) => edits),
  );

/** The marks in a JSON value, in the order of the prompt. `names`: their members. */
const findMarks = (text: string, names: readonly string[]): Mark[] =>
  names.some((name) => text.includes(`"${name}"`)) ? findMarksAt(text, 0, names) : [];

function findMarksAt(text: string, at: number, names: readonly string[]): Mark[] {
  if (text[at] === "[") return findElements(text, at).flatMap(({ start }) => findMarksAt(text, start, names));
  if (text[at] !== "{") return [];
  const members = findMembers(text, at);
  const inside = members.flatMap(({ key, value }) =>
    CONTAINERS.has(key) ? findMarksAt(text, value.start, names) : [],
  );
  const own = members.find(({ key, value }) => names.includes(key) && isMark(sliceSpan(text, value)));
  if (own === undefined) return inside;
  return [...inside, { lifetime: lifetimeOf(sliceSpan(text, own.value)), edits: removeMember(members, ...names) }];
}

/**
 * The members of items and tools that contain further items, or a mark (`function`, in tools of Chat). Arguments of a tool
 * call may contain any names and are none of them.
 */
const CONTAINERS = new Set(["content", "output", "source", "function"]);

/** An object, or the lifetime itself on the gateway's own wire. */
const isMark = (json: string): boolean => json.startsWith("{") || json === '"5m"' || json === '"1h"';

const lifetimeOf = (json: string): Lifetime => (json.includes('"1h"') ? "1h" : "5m");
