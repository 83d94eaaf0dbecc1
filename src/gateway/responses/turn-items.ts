import { CARRIED_SEAL } from "../../canonical/carried.ts";
import { editItem } from "../../canonical/native.ts";
import { mergeParts } from "../../canonical/step-merger.ts";
import { pairResults } from "../../canonical/tool-results.ts";
import type { Block, Message, Opaque, ToolCall } from "../../canonical/types.ts";
import { openaiResponses } from "../../dialects/openai-responses/index.ts";
import { pairOutput } from "../../dialects/openai-responses/items.ts";
import { decodeItems } from "../../session/history/decode.ts";
import { findItemIds } from "../../session/item-ids.ts";
import { inline } from "../../session/large-strings.ts";
import { findTurn, isHiddenCall, splitAnswers, type Turn, type WireItems } from "../../session/turns.ts";
import type { Blobs } from "../../store/blobs.ts";
import type { Sql } from "../../store/sql.ts";
import { deriveInputId, deriveItemId, withPrefix } from "../../wire/id.ts";
import { isObject, type Json, lookUp } from "../../wire/json.ts";

/**
 * What the client of a run was shown beside the replies of the model, such as the calls of a server's tools: in front of the first
 * reply, and behind that of each turn, by the turn's id.
 */
export type ShownBeside = { opening: readonly Opaque[]; behind: ReadonlyMap<string, readonly Opaque[]> };

/**
 * Where the content of turns and the ids of their items are stored. `findShown`: of the run that has ended with this turn, whose
 * reply has these calls.
 */
export type ItemStore = {
  sql: Sql;
  blobs: Blobs;
  findShown: (last: Turn, calls: readonly ToolCall[]) => ShownBeside;
};

/**
 * An item of a turn as its client knows it. `message`: that of the model from which it was built; its blocks have the items of their own
 * wire. `isBeside`: it is not in the turn, but was shown beside it.
 */
export type TurnItem = { id: string; item: Json; message?: Message; isBeside?: true };

/**
 * `results`: of calls that the client does not see, as items of the turn's input. `reply`: the turn's output, with the large strings in it.
 */
export type TurnItems = { turn: Turn; input: TurnItem[]; results: Json[]; output: TurnItem[]; reply: WireItems };

/**
 * The items of turns, which follow one another, as their client knows them: a request has one answer. Where the gateway has executed
 * tools for it, the calls of these and their results are left out, and the items have the ids that they have in that one answer. The
 * first turn starts an answer.
 */
export async function listTurnItems(turns: readonly Turn[], store: ItemStore): Promise<TurnItems[]> {
  const answers = splitAnswers(turns);
  const items = answers.map((answer, i) => listAnswerItems(answer, answers[i - 1]?.at(-1), store));
  return (await Promise.all(items)).flat();
}

/** The messages of a path up to the answer with which its last turn has ended. An earlier answer of several steps is one message. */
export async function listInputMessages(
  path: readonly Turn[],
  store: Omit<ItemStore, "findShown">,
): Promise<Message[]> {
  const answers = splitAnswers(path);
  const messages = answers.map(async (turns, i): Promise<Message[]> => {
    const { sent } = await readSent(turns[0]!, answers[i - 1]?.at(-1), store);
    if (i === answers.length - 1) return sent;
    const replies = await Promise.all(turns.map(({ output }) => inline(output, store.blobs)));
    const shown = replies.map((reply, at) =>
      decodeItems(reply).flatMap((one) => pick(one, (block) => !isHiddenCall(turns[at]!, block))),
    );
    return [...sent, ...(shown.length === 1 ? shown[0]! : joinReplies(shown))];
  });
  return (await Promise.all(messages)).flat();
}

/** A message with some of its blocks; none if it has none of them. */
function pick(message: Message, isPicked: (block: Block) => boolean): Message[] {
  const blocks = message.blocks.filter(isPicked);
  if (blocks.length === message.blocks.length) return [message];
  return blocks.length === 0 ? [] : [editItem(message, { blocks })];
}

/**
 * The input of a turn: what the client has sent, and the results that the gateway has added of calls which that does not see. `before`: the
 * turn in front of it.
 */
async function readSent(
  { input, parent }: Turn,
  before: Turn | undefined,
  { sql, blobs }: Omit<ItemStore, "findShown">,
): Promise<{ sent: Message[]; results: Message[] }> {
  const messages = decodeItems(await inline(input, blobs));
  const answered = before ?? (parent === undefined ? undefined : findTurn(sql, parent));
  if (answered === undefined || answered.open.length === 0) return { sent: [...messages], results: [] };
  const hidden = new Set(answered.open.flatMap(({ id, isHidden }) => (isHidden === true ? [id] : [])));
  // On some wires a result has no id but that of the call before it.
  const reply = decodeItems(await inline(answered.output, blobs));
  const paired = pairResults([...reply, ...messages]).slice(reply.length);
  const isResult = (block: Block): boolean => block.kind === "tool_result" && hidden.has(block.id);
  return {
    sent: paired.flatMap((message) => pick(message, (block) => !isResult(block))),
    results: paired.flatMap((message) => pick(message, isResult)),
  };
}

function joinReplies(replies: readonly Message[][]): Message[] {
  const parts = replies.map((messages) => ({
    reply: { id: "", model: "", messages, finish: { reason: "stop" as const }, usage: {} },
  }));
  const { messages } = mergeParts(parts, { isHidden: () => false, gap: "\n\n" });
  const blocks = messages.flatMap((message) => message.blocks);
  return blocks.length === 0 ? [] : [{ role: "assistant", blocks }];
}

/** `before`: the turn in front of them. */
async function listAnswerItems(
  turns: readonly Turn[],
  before: Turn | undefined,
  { sql, blobs, findShown }: ItemStore,
): Promise<TurnItems[]> {
  const last = turns.at(-1)!;
  const { issuer } = turns[0]!.input;
  const request = await readSent(turns[0]!, before, { sql, blobs });
  const replies = await Promise.all(turns.map(({ output }) => inline(output, blobs)));
  const { opening, behind } = findShown(last, decodeItems(replies.at(-1)!).flatMap(toolCallsIn));
  // Steps whose last turn was copied alone keep their ids.
  const owner = withPrefix((turns.length > 1 ? last.origin : undefined) ?? last.id, "resp");
  let from = 0;
  const toItems = (messages: readonly Message[], isHidden?: (block: Block) => boolean): TurnItem[] => {
    const pairs = pairOutput(messages, owner, { from, ...(isHidden && { isHidden }) });
    const items = pairs.map(({ item, message }, at) => ({ id: outputIdOf(item, owner, from + at), item, message }));
    from += items.length;
    return items;
  };
  const beside = (shown: readonly Opaque[] = []): TurnItem[] =>
    toItems(shown.map((block) => ({ role: "assistant", blocks: [block] }))).map((one) => ({ ...one, isBeside: true }));
  return turns.map((turn, i) => {
    const sent = i > 0 ? [] : encodeSent(request.sent, issuer);
    const input = sent.map((item, at) => ({ id: inputIdOf(item, turn.id, at), item }));
    const output = [
      ...beside(i > 0 ? [] : opening),
      ...toItems(decodeItems(replies[i]!), (block) => isHiddenCall(turn, block)),
      ...beside(behind.get(turn.origin ?? turn.id)),
    ];
    const ids = findItemIds(sql, turn);
    return {
      turn,
      input: withIds(input, ids),
      results: i > 0 ? [] : encodeSent(request.results, issuer),
      output: withIds(output, ids.slice(input.length)),
      reply: replies[i]!,
    };
  });
}

const toolCallsIn = ({ blocks }: Message): ToolCall[] => blocks.filter((block) => block.kind === "tool_call");

/** The items with the stored ids, as far as there are any. */
const withIds = (items: readonly TurnItem[], ids: readonly string[]): TurnItem[] =>
  items.map((item, at) => ({ ...item, id: ids[at] ?? item.id }));

/** Input as items that have an id only if the client gave them one. */
export const encodeInput = (wireItems: WireItems): Json[] => encodeSent(decodeItems(wireItems), wireItems.issuer);

/** The same for messages. What a client carries is listed as it sent it. */
const encodeSent = (messages: readonly Message[], issuer = CARRIED_SEAL): Json[] =>
  openaiResponses.encodeMessages(messages, { dialect: openaiResponses.id, model: "", issuer }).value;

/** The id of an input item: its own, or one derived from its owner and its place among the owner's items of a kind. */
export const inputIdOf = (item: Json, owner: string, at: number, kind = "in"): string =>
  idOf(item, (prefix) => deriveInputId(prefix, owner, `${kind} ${at}`));

/**
 * The id of an output item: its own, or one derived as in the answer itself: a stream that another provider went on with has an id that
 * its stored item lacks.
 */
const outputIdOf = (item: Json, owner: string, at: number): string =>
  idOf(item, (prefix) => deriveItemId(prefix, owner, `${at}`));

/** The item's own id, or a derived one, which is the same for every listing. */
function idOf(item: Json, deriveId: (prefix: string) => string): string {
  const own = isObject(item) ? item.id : undefined;
  return typeof own === "string" && own !== "" ? own : deriveId(lookUp(ID_PREFIXES, itemTypeOf(item)) ?? "item");
}

export const itemTypeOf = (item: Json): string =>
  isObject(item) && typeof item.type === "string" ? item.type : "message";

/** Prefixes of OpenAI's own item ids, by item type. */
const ID_PREFIXES: Record<string, string> = {
  message: "msg",
  function_call: "fc",
  function_call_output: "fco",
  reasoning: "rs",
};
