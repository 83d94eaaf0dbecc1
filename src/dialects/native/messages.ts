import { readNativeItem, readNativeMessage } from "../../canonical/native.ts";
import type { Message } from "../../canonical/types.ts";
import { isObject, type Json, lookUp } from "../../wire/json.ts";
import type { Encoded, EncodeTarget } from "../dialect.ts";
import { decodeBlock, encodeBlock, ROLE_BY_TYPE } from "./blocks.ts";

const dialect = "native";

/** Every block is an item of the list, and so a message of its own. */
export const decodeMessages = (items: readonly Json[], _seal?: string): Message[] => items.map(decodeMessage);

/** Every canonical block has a form in this wire: there are no losses. */
export function encodeMessages(messages: readonly Message[], target: EncodeTarget): Encoded<Json[]> {
  return { value: messages.flatMap((message) => encodeMessage(message, target)), losses: [] };
}

/**
 * The type of a block determines its role. `name` is that of the participant; a tool call has the name of its
 * tool.
 */
export function decodeMessage(item: Json): Message {
  const role = (isObject(item) && typeof item.type === "string" && lookUp(ROLE_BY_TYPE, item.type)) || "user";
  const name = isObject(item) && role !== "assistant" && item.type !== "tool_result" ? item.name : undefined;
  return {
    role,
    blocks: [decodeBlock(item)],
    ...(typeof name === "string" && { name }),
    native: { dialect, item },
  };
}

/** A message that came over this wire is passed unchanged, all others block by block. */
function encodeMessage(message: Message, target: EncodeTarget): Json[] {
  const ownItem = readNativeMessage(message, target);
  if (ownItem !== undefined) return [toItem(ownItem)];
  const { role, name, blocks } = message;
  return blocks.map((block) => ({ ...encodeBlock(block, role), ...nameMember(block.kind, name) }));
}

/** Name of the participant. Calls and results have `name` for their tool. */
const nameMember = (kind: string, name: string | undefined): { name?: string } =>
  name === undefined || kind === "tool_call" || kind === "tool_result" ? {} : { name };

/** `instructions`. The native item is the member itself, so that it is not mistaken for a block. */
export const decodeInstructions = (instructions: Json | undefined): Message[] => {
  const blocks = [instructions ?? []].flat().map(decodeBlock);
  return blocks.length === 0
    ? []
    : [{ role: "system", blocks, native: { dialect, item: { instructions: instructions! } } }];
};

/** The member `instructions` if the first message came from it, and the messages after it. */
export function encodeInstructions(
  messages: readonly Message[],
  target: EncodeTarget,
): { member: Json | undefined; rest: readonly Message[] } {
  const own = readNativeItem(messages[0]?.native, target);
  const isMember = isObject(own) && own.type === undefined && own.instructions !== undefined;
  return isMember ? { member: own.instructions, rest: messages.slice(1) } : { member: undefined, rest: messages };
}

/** Bare texts, and instructions that are no longer first, become blocks. */
function toItem(ownItem: Json): Json {
  if (typeof ownItem === "string") return { type: "input", text: ownItem };
  if (!isObject(ownItem) || ownItem.type !== undefined || ownItem.instructions === undefined) return ownItem;
  const texts = [ownItem.instructions].flat().map((one) => (isObject(one) ? one.text : one));
  return { type: "system", text: texts.filter((text) => typeof text === "string").join("\n\n") };
}
