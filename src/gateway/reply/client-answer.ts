import { CARRIED } from "../../canonical/carried.ts";
import type { Block, Message, ModelResponse, StreamEvent } from "../../canonical/types.ts";
import type { ReplyContext, WireDialect } from "../../dialects/dialect.ts";
import type { JsonObject } from "../../wire/json.ts";

/** A whole answer as its client gets it, encoded by `surface`. */
export function toClientAnswer(answer: ModelResponse, surface: WireDialect, reply: ReplyContext): ModelResponse {
  const identified = withIdentity(answer, reply);
  const toClient = (message: Message): Message => ({
    ...message,
    blocks: message.blocks.map((block) => toCarried(block, surface, reply)),
  });
  return reply.carry === undefined ? identified : { ...identified, messages: identified.messages.map(toClient) };
}

/** The same for one event of a stream. */
export function toClientEvent(event: StreamEvent, surface: WireDialect, reply: ReplyContext): StreamEvent {
  if (event.type === "start") return withIdentity(event, reply);
  return event.type === "close" ? { ...event, block: toCarried(event.block, surface, reply) } : event;
}

/**
 * The answer with an id and a model, which clients require: those of the call where the provider left them out.
 */
export function withIdentity<T extends { id: string; model: string }>(
  answer: T,
  { call, model = "" }: ReplyContext,
): T {
  if (answer.id !== "" && answer.model !== "") return answer;
  return { ...answer, id: answer.id || (call?.id ?? ""), model: answer.model || model };
}

/** Reasoning of another wire as the item that the client of this one carries, and sends back. */
function toCarried(block: Block, { id }: WireDialect, { carry }: ReplyContext): Block {
  if (block.kind !== "thinking" || carry === undefined || block.native?.dialect === id) return block;
  const carried = carry(block.native);
  // Nothing to read and nothing to carry.
  if (block.text === "" && carried === CARRIED) return block;
  const item = CARRIERS[id]?.(block.text, carried);
  return item === undefined ? block : { ...block, native: { dialect: id, item } };
}

/** The wire's item for reasoning that only its provider can read. */
const CARRIERS: Partial<Record<WireDialect["id"], (text: string, carried: string) => JsonObject>> = {
  anthropic: (thinking, signature) => ({ type: "thinking", thinking, signature }),
  // The encoder gives the item its id.
  "openai-responses": (text, encrypted_content) => ({
    id: "",
    type: "reasoning",
    summary: text === "" ? [] : [{ type: "summary_text", text }],
    encrypted_content,
  }),
};
