import { describe, expect, it } from "vitest";
import { fold, StreamAccumulator } from "../../../src/canonical/accumulator.ts";
import { DIALECTS } from "../../../src/dialects/index.ts";
import { openaiChat } from "../../../src/dialects/openai-chat/index.ts";
import { encodeUtf8 } from "../../../src/wire/bytes.ts";
import type { JsonObject } from "../../../src/wire/json.ts";
import { decodeSse } from "../../../src/wire/sse.ts";
import { piece, text, reasoning, chunk, DONE, eventsOf, A, LOOK } from "../../support/chat-chunks.ts";

describe("a Chat answer without a finish reason", () => {
  const APPROXIMATED = { at: "finish_reason", what: "approximated" };
  const call = piece(0, { name: "look", arguments: A[2]! }, { id: "functions.look:0", type: "function" });
  const usage = {
    id: "chatcmpl-1",
    model: "m",
    choices: [],
    usage: { prompt_tokens: 3, completion_tokens: 4, total_tokens: 7 },
  };

  it.each<[string, (JsonObject | string)[], string]>([
    ["a call, usage and [DONE]", [chunk(call), usage, DONE], "tool_calls"],
    ["a text and [DONE]", [chunk(text("so")), DONE], "stop"],
    ["a text, a call and [DONE]", [chunk(text("so")), chunk(call), DONE], "tool_calls"],
    ["a refusal and [DONE]", [chunk({ refusal: "no" }), DONE], "refusal"],
    ["empty reasons and [DONE]", [chunk(text("so"), ""), chunk(text("!"), ""), DONE], "stop"],
    [
      "no reasons at all and [DONE]",
      [{ id: "c", model: "m", choices: [{ index: 0, delta: text("so") }] }, DONE],
      "stop",
    ],
  ])("a Chat answer without a finish reason is whole with %s", (_, chunks, reason) => {
    const answer = fold(eventsOf(chunks));
    expect(answer.finish).toEqual({ reason });
    expect(answer.losses).toMatchObject([APPROXIMATED]);
    for (const target of Object.values(DIALECTS)) {
      const encoder = target.encodeStream({ created: 1 });
      const sse = eventsOf(chunks)
        .map((event) => encoder.push(event))
        .join("");
      const decoder = target.decodeStream();
      const again = fold([...decodeSse(encodeUtf8(sse)).flatMap((event) => decoder.push(event)), ...decoder.end()]);
      if (reason !== "refusal") expect([target.id, again.finish.reason]).toEqual([target.id, reason]);
    }
  });

  it.each<[string, (JsonObject | string)[]]>([
    ["arguments that break off", [chunk(piece(0, { name: "look", arguments: '{"x"' }, { id: "a" })), usage, DONE]],
    ["one complete call of two", [chunk(call), chunk(piece(1, { name: "find", arguments: '{"y' }, { id: "b" })), DONE]],
    ["no arguments", [chunk(piece(0, LOOK, { id: "a" })), DONE]],
    ["a call without a name", [chunk(piece(0, { arguments: "{}" }, { id: "a" })), DONE]],
    ["a text and a call without a name", [chunk(text("so")), chunk(piece(0, { arguments: "{" }, { id: "a" })), DONE]],
    ["reasoning only", [chunk(reasoning("hm")), usage, DONE]],
    ["nothing", [chunk({ role: "assistant", content: "" }), DONE]],
    ["no chunk", [DONE]],
    ["no [DONE]", [chunk(call), usage]],
    ["no [DONE], and an empty reason", [chunk(text("so"), "")]],
  ])("a Chat answer without a finish reason is broken with %s", (_, chunks) => {
    const accumulator = new StreamAccumulator();
    for (const event of eventsOf(chunks)) accumulator.push(event);
    expect(accumulator.error?.code).toBe("stream.interrupted");
    expect(accumulator.response).toBeUndefined();
  });

  it("a Chat answer without a finish reason is not complete before [DONE], so that nothing is held back", () => {
    const decoder = openaiChat.decodeStream();
    for (const reason of [null, ""])
      for (const event of decodeSse(encodeUtf8(`data: ${JSON.stringify(chunk(text("so"), reason))}\n\n`)))
        decoder.push(event);
    expect(decoder.isAnswerComplete).toBe(false);
  });

  it("a whole Chat answer without a finish reason gets the reason that follows from its content", () => {
    const message = {
      role: "assistant",
      content: null,
      tool_calls: [{ id: "a", type: "function", function: { name: "look", arguments: A[2]! } }],
    };
    for (const finish_reason of [null, ""]) {
      const answer = openaiChat.decodeResponse({
        id: "c",
        model: "m",
        choices: [{ index: 0, message, finish_reason }],
      });
      expect(answer.finish).toEqual({ reason: "tool_calls" });
      expect(answer.losses).toMatchObject([APPROXIMATED]);
      const said = { ...message, content: "so", tool_calls: [] };
      const text = openaiChat.decodeResponse({
        id: "c",
        model: "m",
        choices: [{ index: 0, message: said, finish_reason }],
      });
      expect(text.finish).toEqual({ reason: "stop" });
    }
  });
});
