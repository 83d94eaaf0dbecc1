import type { Message } from "../../canonical/types.ts";
import { DIALECTS } from "../../dialects/index.ts";
import { type Json, parseJson } from "../../wire/json.ts";
import type { Instructions } from "../session.ts";
import type { WireItems } from "../turns.ts";

/** Decodes wire items. The result is cached for the lifetime of the argument, so each turn of a session is decoded once. */
export function decodeItems(wireItems: WireItems): readonly Message[] {
  const cached = DECODED.get(wireItems);
  if (cached !== undefined) return cached;
  const { dialect, items, issuer, calls } = wireItems;
  const decoded = DIALECTS[dialect].decodeMessages(parseJson(`[${items}]`) as Json[], issuer);
  const messages = calls === undefined ? decoded : assignCallIds(decoded, calls);
  DECODED.set(wireItems, messages);
  return messages;
}

/** Gives calls whose wire items have no id the ids that the client received. `ids`: those of all calls, in order. */
function assignCallIds(messages: Message[], ids: readonly string[]): Message[] {
  let next = 0;
  return messages.map((message) => {
    const blocks = message.blocks.map((block) => {
      if (block.kind !== "tool_call") return block;
      const id = ids[next++];
      return id === undefined || block.isIdAssigned !== true ? block : { ...block, id };
    });
    return blocks.every((block, i) => block === message.blocks[i]) ? message : { ...message, blocks };
  });
}

/** Weak: an entry goes with the turn in memory. */
const DECODED = new WeakMap<WireItems, readonly Message[]>();

/** The system messages of instructions, whether they were a body member or leading items. */
export function decodeInstructions(instructions: Instructions | undefined): Message[] {
  if (instructions === undefined) return [];
  const { dialect, member } = instructions;
  const wire = DIALECTS[dialect];
  const inMember =
    member === undefined
      ? []
      : wire.decodeRequest({ [member.key]: parseJson(member.json), [wire.layout.items]: [] }).messages;
  return [...inMember, ...instructionItems(instructions).flatMap(decodeItems)];
}

/** Instructions that were items of the input, as wire items; none if they were a body member. */
export const instructionItems = (instructions: Instructions | undefined): WireItems[] =>
  instructions?.items === undefined ? [] : [{ dialect: instructions.dialect, items: instructions.items }];
