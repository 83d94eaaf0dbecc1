import { mapCalls, nameCall } from "../../canonical/tool-names.ts";
import type { Message } from "../../canonical/types.ts";
import { DIALECTS } from "../../dialects/index.ts";
import { type Json, parseJson } from "../../wire/json.ts";
import type { Instructions } from "../session.ts";
import type { PendingToolCall, WireItems } from "../turns.ts";

/** Decodes wire items. The result is cached for the lifetime of the argument, so each turn of a session is decoded once. */
export function decodeItems(wireItems: WireItems): readonly Message[] {
  const cached = DECODED.get(wireItems);
  if (cached !== undefined) return cached;
  const { dialect, items, issuer, calls } = wireItems;
  const decoded = DIALECTS[dialect].decodeMessages(parseJson(`[${items}]`) as Json[], issuer);
  const messages = calls === undefined ? decoded : restoreCalls(decoded, calls);
  DECODED.set(wireItems, messages);
  return messages;
}

/** Gives calls the names that the client knows, and those whose wire items have no id the ids that it received. */
function restoreCalls(messages: Message[], calls: readonly PendingToolCall[]): Message[] {
  let next = 0;
  return messages.map((message) =>
    mapCalls(message, (call) => {
      const at = calls[next++];
      const isAt = call.isIdAssigned === true || at?.id === call.id;
      const known = isAt ? at : calls.find(({ id }) => id === call.id);
      if (known === undefined) return call;
      return nameCall(call.id === known.id ? call : { ...call, id: known.id }, known);
    }),
  );
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
