import type { WireItems } from "../turns.ts";
import type { Message } from "../../canonical/types.ts";
import { DIALECTS } from "../../dialects/index.ts";
import { parseJson, type Json } from "../../wire/json.ts";
import type { Instructions } from "../session.ts";

/** What wire items mean; their seals are their issuer's. Kept as long as the passage: a session's history is decoded once. */
export function decodeItems(wireItems: WireItems): readonly Message[] {
  const cached = DECODED.get(wireItems);
  if (cached !== undefined) return cached;
  const { dialect, items, issuer } = wireItems;
  const messages = DIALECTS[dialect].decodeMessages(parseJson(`[${items}]`) as Json[], issuer);
  DECODED.set(wireItems, messages);
  return messages;
}

const DECODED = new WeakMap<WireItems, readonly Message[]>();

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

export const instructionItems = (instructions: Instructions | undefined): WireItems[] =>
  instructions?.items === undefined ? [] : [{ dialect: instructions.dialect, items: instructions.items }];
