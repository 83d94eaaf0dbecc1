import type { WireItems } from "../turns.ts";
import type { Message } from "../../canonical/types.ts";
import { DIALECTS } from "../../dialects/index.ts";
import { parseJson, type Json } from "../../wire/json.ts";
import type { Instructions } from "../session.ts";

/** What wire items mean; their seals are their issuer's. Kept as long as the passage: a session's history is decoded once. */
export function decodeItems(passage: WireItems): readonly Message[] {
  const known = MEANINGS.get(passage);
  if (known !== undefined) return known;
  const { dialect, items, issuer } = passage;
  const messages = DIALECTS[dialect].decodeMessages(parseJson(`[${items}]`) as Json[], issuer);
  MEANINGS.set(passage, messages);
  return messages;
}

const MEANINGS = new WeakMap<WireItems, readonly Message[]>();

export function decodeInstructions(instructions: Instructions | undefined): Message[] {
  if (instructions === undefined) return [];
  const { dialect, member } = instructions;
  const wire = DIALECTS[dialect];
  const inMember =
    member === undefined
      ? []
      : wire.decodeRequest({ [member.key]: parseJson(member.json), [wire.layout.items]: [] }).messages;
  return [...inMember, ...itemsPassage(instructions).flatMap(decodeItems)];
}

export const itemsPassage = (instructions: Instructions | undefined): WireItems[] =>
  instructions?.items === undefined ? [] : [{ dialect: instructions.dialect, items: instructions.items }];
