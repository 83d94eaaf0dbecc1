import { fold } from "../../../src/canonical/accumulator.ts";
import type { Block, Dialect, StreamEvent } from "../../../src/canonical/types.ts";
import { DIALECTS } from "../../../src/dialects/index.ts";
import { encodeUtf8 } from "../../../src/wire/bytes.ts";
import { decodeSse } from "../../../src/wire/sse.ts";

/** What a model says, and calls. */
type Said = { text: string; arguments: string };

/** The stream of an answer, with its texts cut into pieces of these sizes, again and again. */
export function streamOf(dialect: Dialect, said: Said, sizes: readonly number[]): string {
  const call: Block = { kind: "tool_call", id: "call_1", name: "send", arguments: said.arguments };
  const blocks: [open: Block, whole: Block, said: string][] = [
    [{ kind: "text", text: "" }, { kind: "text", text: said.text }, said.text],
    [{ ...call, arguments: "" }, call, said.arguments],
  ];
  const events: StreamEvent[] = [
    { type: "start", id: "msg_1", model: "m" },
    ...blocks.flatMap(([open, whole, text], index): StreamEvent[] => [
      { type: "open", index, block: open },
      ...cut(text, sizes).map((piece): StreamEvent => ({ type: "delta", index, text: piece })),
      { type: "close", index, block: whole },
    ]),
    { type: "end", finish: { reason: "tool_calls" }, usage: {} },
  ];
  const encoder = DIALECTS[dialect].encodeStream({ created: 1, id: "msg_1", model: "m" });
  return events.map((event) => encoder.push(event)).join("");
}

function cut(text: string, sizes: readonly number[]): string[] {
  const pieces: string[] = [];
  for (let at = 0, i = 0; at < text.length; i++) {
    const size = sizes[i % sizes.length]!;
    pieces.push(text.slice(at, at + size));
    at += size;
  }
  return pieces;
}

/** What a stream says. */
export function decodeAnswer(dialect: Dialect, stream: string): Said {
  const decoder = DIALECTS[dialect].decodeStream("issuer", "call_1");
  const events = [...decodeSse(encodeUtf8(stream)).flatMap((event) => decoder.push(event)), ...decoder.end()];
  const blocks = fold(events).messages.flatMap((message) => message.blocks);
  const join = (kind: "text" | "tool_call"): string =>
    blocks
      .map((block) => {
        if (block.kind !== kind) return "";
        return block.kind === "tool_call" ? block.arguments : "text" in block ? block.text : "";
      })
      .join("");
  return { text: join("text"), arguments: join("tool_call") };
}
