import { GatewayError, invalid } from "../../canonical/error.ts";
import type { Message } from "../../canonical/types.ts";
import { openaiResponses } from "../../dialects/openai-responses/index.ts";
import { isReference } from "../../dialects/openai-responses/references.ts";
import type { Session, TurnInput } from "../../session/session.ts";
import type { ParsedRequest } from "../../surfaces/request.ts";
import { isObject, type Json, type JsonObject } from "../../wire/json.ts";
import type { ResponsesState } from "../call/responses-state.ts";
import { toTurnInput } from "../call/turn-input.ts";
import { findContext } from "./state.ts";
import type { StoredItem } from "./stored-items.ts";
import { type ItemStore, listTurnItems } from "./turn-items.ts";

/** Finds stored items by their ids; the result lacks those that are not found. */
export type FindItems = (ids: readonly string[]) => Promise<readonly StoredItem[]>;

/** Searches one place after the other, each for what the earlier ones lack. */
export const findInOrder =
  (...places: readonly FindItems[]): FindItems =>
  async (ids) => {
    const found: StoredItem[] = [];
    for (const find of places) {
      const missing = ids.filter((id) => !found.some((item) => item.id === id));
      if (missing.length > 0) found.push(...(await find(missing)));
    }
    return found;
  };

/**
 * The request with every `item_reference` of its input replaced by the item that it names, so that the rest of the
 * gateway sees a client that sends its whole transcript. An item that the input has already is not repeated. Throws
 * `object.not_found` naming the first item that `find` does not find.
 */
export async function resolveReferences(request: ParsedRequest, find: FindItems): Promise<ParsedRequest> {
  if (!request.isDecoded || !hasReferences(request)) return request;
  const resolved = await resolveItems(request.messages.map(sentItemOf), find, "input");
  const pairs = resolved.map((stored, i): Pair => {
    if (stored === undefined) return { text: request.items[i]!, message: request.messages[i]! };
    if (stored === REPEATED) return undefined;
    const { id, turn, item, message } = stored;
    return { text: JSON.stringify(item), message: { ...message, stored: { id, turn } } };
  });
  return withPairs(request, pairs).with({ hasRewrittenItems: true });
}

/** The item of a message as the client sent it; null on other surfaces than Responses. */
const sentItemOf = ({ native }: Message): Json => (native?.dialect === openaiResponses.id ? native.item : null);

export const hasReferences = ({ messages }: Pick<ParsedRequest, "messages">): boolean =>
  messages.some((message) => isReference(sentItemOf(message)));

/** The same for items alone. `param`: the member that lists them. */
export async function replaceReferences(
  items: readonly JsonObject[],
  find: FindItems,
  param: string,
): Promise<readonly JsonObject[]> {
  if (!items.some(isReference)) return items;
  const resolved = await resolveItems(items, find, param);
  return items.flatMap((item, i) => {
    const stored = resolved[i];
    return stored === undefined ? [item] : stored === REPEATED ? [] : [stored.item];
  });
}

/** A reference to an item that the list has already. */
const REPEATED = Symbol("repeated");

/** For each item: the stored one that it references; undefined if it is no reference. */
async function resolveItems(
  items: readonly Json[],
  find: FindItems,
  param: string,
): Promise<(StoredItem | typeof REPEATED | undefined)[]> {
  const referenced = items.map((item, i) => (isReference(item) ? readId(item, `${param}[${i}].id`) : undefined));
  const present = new Set(items.flatMap((item) => (isObject(item) && !isReference(item) ? [item.id] : [])));
  const ids = new Set(referenced.filter((id) => id !== undefined && !present.has(id)));
  const found = new Map((await find([...ids] as string[])).map((item) => [item.id, item]));
  return referenced.map((id) => {
    if (id === undefined) return undefined;
    if (present.has(id)) return REPEATED;
    present.add(id);
    const stored = found.get(id);
    if (stored === undefined) throw itemNotFound(id, param);
    return stored;
  });
}

function readId(item: Json, param: string): string {
  const id = isObject(item) ? item.id : undefined;
  if (typeof id !== "string" || id === "") throw invalid(param, "expected the id of an item");
  return id;
}

/** With OpenAI's status, message and parameter. */
const itemNotFound = (id: string, param: string): GatewayError =>
  new GatewayError(
    "object.not_found",
    `Item with id '${id}' not found. Items are not persisted when \`store\` is set to false. ` +
      `Try again with \`store\` set to true, or remove this item from your ${param}.`,
    { param },
  );

type CallContext = ItemStore & { session: Session; response: ResponsesState | undefined };

/**
 * The request without referenced items that the history before it has already: a session adds its history to the
 * request. What the history matches as the start of the request stays. Throws as `findContext` does.
 */
export const omitKnownItems = async (request: ParsedRequest, context: CallContext): Promise<ParsedRequest> =>
  withoutItems(request, await findKnownItems(toTurnInput(request), context));

/** The indices of the messages that `omitKnownItems` leaves out. */
export async function findKnownItems(input: TurnInput, context: CallContext): Promise<number[]> {
  const referenced = input.messages.flatMap(({ stored }, i) => (stored === undefined ? [] : [{ i, id: stored.id }]));
  if (referenced.length === 0) return [];
  const { session } = context;
  const { parent, known } = findContext(input, context);
  const listed = await listTurnItems(parent === undefined ? [] : session.pathOf(parent.id), context);
  const inHistory = new Set(listed.flatMap((turn) => [...turn.input, ...turn.output].map(({ id }) => id)));
  return referenced.filter(({ i, id }) => i >= known && inHistory.has(id)).map(({ i }) => i);
}

/** The request without some messages, whose indices count from behind the leading system messages. */
export function withoutItems(request: ParsedRequest, indices: readonly number[]): ParsedRequest {
  if (indices.length === 0) return request;
  const left = request.messages.map((message, i): Pair =>
    indices.includes(i - request.systemCount) ? undefined : { text: request.items[i]!, message },
  );
  return withPairs(request, left);
}

/** An item's text and message; undefined if it is left out. */
type Pair = { text: string; message: Message } | undefined;

/** The request with these items instead of its own. Their number may be smaller. */
function withPairs(parsed: ParsedRequest, pairs: readonly Pair[]): ParsedRequest {
  const { request } = parsed;
  const left = pairs.filter((pair) => pair !== undefined);
  const messages = left.map(({ message }) => message);
  // The canonical request starts with the instructions, which are no items.
  const before = request.messages.slice(0, request.messages.length - parsed.messages.length);
  return parsed.with({
    items: left.map(({ text }) => text),
    messages,
    request: { ...request, messages: [...before, ...messages] },
  });
}
