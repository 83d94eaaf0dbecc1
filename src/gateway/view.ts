import type { Block, Message, Role } from "../canonical/types.ts";
import { openaiChat } from "../dialects/openai-chat/index.ts";
import { listCalls } from "../session/calls.ts";
import type { Session } from "../session/session.ts";
import type { Sql } from "../session/sql.ts";
import { findTurn, type Passage } from "../session/turns.ts";
import type { CallRecord } from "../store/records.ts";
import { isObject, type Json, parseJson } from "../wire/json.ts";
import { renamed } from "../wire/id.ts";
import { messagesOf, messagesOfInstructions } from "./restore.ts";

/** The forms in which the continuity head can be read. */
export const BLOCK_FORMATS = ["native", "openai"] as const;
export type BlockFormat = (typeof BLOCK_FORMATS)[number];

/** One thing that happened: a turn of the session, or a call that became none. Times are RFC 3339. */
export type TimelineEntry = {
  type: "turn" | "call";
  call_id: string;
  turn_id?: string;
  parent_id?: string;
  status: CallRecord["status"] | "running";
  model?: string;
  provider?: string;
  created_at: string;
  input?: Json[];
  output?: Json[];
  error?: { code: string; message: string };
};

/** The continuity head: what the model sees next. */
export function headBlocks(session: Session, format: BlockFormat): Json[] {
  const messages = [
    ...messagesOfInstructions(session.instructions),
    ...session.path.flatMap(({ input, output }) => [...messagesOf(input), ...messagesOf(output)]),
  ];
  if (format === "native") return messages.flatMap(nativeBlocks);
  return openaiChat.encodeMessages(messages, { dialect: openaiChat.id, model: "" }).value;
}

/** Everything that happened, in order, for rendering. */
export function timelineOf(sql: Sql): TimelineEntry[] {
  return listCalls(sql).map(({ id, status, started, record, received }) => {
    const turn = status === "completed" ? findTurn(sql, renamed(id, "turn")) : undefined;
    const partial = received === undefined ? undefined : parseJson(received);
    return {
      type: turn === undefined ? "call" : "turn",
      call_id: id,
      ...(turn !== undefined && { turn_id: turn.id }),
      ...(turn?.parent !== undefined && { parent_id: turn.parent }),
      status,
      ...(record?.model !== undefined && { model: record.model }),
      ...(record?.provider !== undefined && { provider: record.provider }),
      created_at: new Date(started.createdAt).toISOString(),
      ...(turn !== undefined && { input: blocksOf(turn.input), output: blocksOf(turn.output) }),
      ...(Array.isArray(partial) && { output: partial }),
      ...(record?.error !== undefined && { error: { code: record.error.code, message: record.error.message } }),
    };
  });
}

const blocksOf = (passage: Passage): Json[] => messagesOf(passage).flatMap(nativeBlocks);

/** SPEC 2's block types; what a block came as stays in the session and is not part of this view. */
function nativeBlocks({ role, blocks }: Message): Json[] {
  return blocks.map((block) => nativeBlock(block, role));
}

const SPOKEN: Record<Role, string> = { system: "system", user: "input", assistant: "response" };

function nativeBlock(block: Block, role: Role): Json {
  switch (block.kind) {
    case "text":
      return { type: SPOKEN[role], text: block.text };
    case "thinking":
      return { type: "thinking", text: block.text };
    case "media":
      return { type: SPOKEN[role], media: { mime: block.mime, source: block.source } };
    case "tool_call":
      return { type: "tool_call", id: block.id, name: block.name, arguments: block.arguments };
    case "tool_result":
      return { type: "tool_result", id: block.id, content: block.content.map((part) => nativeBlock(part, role)) };
    case "opaque": {
      const { dialect, item } = block.native;
      return { type: SPOKEN[role], opaque: { dialect, label: block.label, ...(isObject(item) && { item }) } };
    }
  }
}
