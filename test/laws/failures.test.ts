import { describe, expect, it } from "vitest";
import { fold } from "../../src/canonical/accumulator.ts";
import { findFailure } from "../../src/canonical/failed-answer.ts";
import type { ModelResponse } from "../../src/canonical/types.ts";
import type { WireDialect } from "../../src/dialects/dialect.ts";
import { gemini } from "../../src/dialects/gemini/index.ts";
import { openaiChat } from "../../src/dialects/openai-chat/index.ts";
import { openaiResponses } from "../../src/dialects/openai-responses/index.ts";
import { encodeUtf8 } from "../../src/wire/bytes.ts";
import type { Json, JsonObject } from "../../src/wire/json.ts";
import { decodeSse } from "../../src/wire/sse.ts";

/** An answer of one wire with this finish reason: whole, and as a stream. */
type Answers = { wire: WireDialect; whole: (reason: Json, text: string) => Json; stream: (whole: Json) => Json[] };

const chat: Answers = {
  wire: openaiChat,
  whole: (finish_reason, content) => ({
    id: "c",
    model: "m",
    choices: [{ index: 0, message: { role: "assistant", content: content || null }, finish_reason }],
  }),
  stream: (whole) => {
    const { choices, ...head } = whole as { choices: { message: JsonObject }[] };
    return [{ ...head, choices: choices.map(({ message, ...choice }) => ({ ...choice, delta: message })) }];
  },
};
const google: Answers = {
  wire: gemini,
  whole: (finishReason, text) => ({
    responseId: "g",
    modelVersion: "m",
    candidates: [{ index: 0, ...(text !== "" && { content: { role: "model", parts: [{ text }] } }), finishReason }],
  }),
  stream: (whole) => [whole],
};

function bothOf({ wire, whole, stream }: Answers, reason: Json, text: string): ModelResponse[] {
  const body = whole(reason, text);
  const decoder = wire.decodeStream();
  const sse = stream(body).map((chunk) => `data: ${JSON.stringify(chunk)}\n\n`);
  const events = decodeSse(encodeUtf8(sse.join(""))).flatMap((event) => decoder.push(event));
  expect(decoder.isFailing === true).toBe(findFailure(wire.decodeResponse(body)) !== undefined);
  return [wire.decodeResponse(body), fold([...events, ...decoder.end()])];
}

const FAILURES: [Answers, reason: Json, name: string, isModelFault: boolean][] = [
  ...["MALFORMED_FUNCTION_CALL", "UNEXPECTED_TOOL_CALL", "TOO_MANY_TOOL_CALLS", "MISSING_THOUGHT_SIGNATURE"].map(
    (name) => [google, name, name, true] as [Answers, Json, string, boolean],
  ),
  [google, "NO_IMAGE", "NO_IMAGE", true],
  [google, "IMAGE_OTHER", "IMAGE_OTHER", true],
  [google, "OTHER", "OTHER", false],
  [google, 5, "OTHER", false],
  [google, 9, "MALFORMED_FUNCTION_CALL", true],
  ...["error", "network_error", "abort", "insufficient_system_resource", "ERROR", "timeout"].map(
    (name) => [chat, name, name, false] as [Answers, Json, string, boolean],
  ),
  [chat, "function_call_filter: MALFORMED_FUNCTION_CALL", "function_call_filter: MALFORMED_FUNCTION_CALL", true],
  [chat, "malformed_function_call", "malformed_function_call", true],
];

describe.each(FAILURES)("%o: a finish reason of failure: %s", (answers, reason, name, isModelFault) => {
  it.each(["", "Half a"])("is an error with that name, whole and streamed, with the text %j", (text) => {
    for (const answer of bothOf(answers, reason, text)) {
      const error = findFailure(answer);
      expect(error).toMatchObject({
        code: "provider.execution_failed",
        status: 502,
        upstream: { status: 200, code: name },
      });
      expect(error!.message).toContain(name);
      expect(error!.isModelFault ?? false).toBe(isModelFault);
    }
  });
});

describe("a finish reason", () => {
  it.each([
    [chat, "sensitive", "content_filter"],
    [chat, "content_filter: PROHIBITED_CONTENT", "content_filter"],
    [chat, "model_context_window_exceeded", "length"],
    [chat, "LENGTH", "length"],
    [chat, "stop", "stop"],
    [google, 3, "content_filter"],
    [google, "SAFETY", "content_filter"],
    [google, "STOP", "stop"],
  ] as [Answers, Json, string][])("of %o is no failure: %s", (answers, reason, expected) => {
    for (const answer of bothOf(answers, reason, "text")) {
      expect(answer.finish.reason).toBe(expected);
      expect(findFailure(answer)).toBeUndefined();
    }
  });

  it("of a call that Gemini itself rejects is a failure, with Gemini's explanation", () => {
    const parts = [{ functionCall: { name: "look", args: {} } }];
    const finish = { finishReason: "UNEXPECTED_TOOL_CALL", finishMessage: "look is not declared" };
    const error = findFailure(
      gemini.decodeResponse({ candidates: [{ content: { role: "model", parts }, ...finish }] }),
    );
    expect(error!.message).toContain("look is not declared");
  });

  it("of a second answer counts as well", () => {
    const message = { role: "assistant", content: "x" };
    const choices = ["stop", "error"].map((finish_reason, index) => ({ index, message, finish_reason }));
    expect(findFailure(openaiChat.decodeResponse({ id: "c", model: "m", choices }))?.upstream?.code).toBe("error");
  });

  it("is a filter for a refused prompt, whatever the reason", () => {
    for (const blockReason of ["OTHER", "JAILBREAK", "SAFETY"]) {
      const { finish } = gemini.decodeResponse({ promptFeedback: { blockReason } });
      expect(finish).toEqual({ reason: "content_filter", native: blockReason });
    }
  });
});

it.each([
  ["cancelled", {}, "error"],
  ["queued", {}, "error"],
  ["incomplete", { incomplete_details: { reason: "max_tool_calls" } }, "length"],
  ["incomplete", {}, "length"],
  ["completed", {}, "stop"],
])("the status %s of a response is told as what it is", (status, details, reason) => {
  const output = [{ type: "message", role: "assistant", content: [{ type: "output_text", text: "Half a" }] }];
  const { finish } = openaiResponses.decodeResponse({ id: "r", model: "m", status, output, ...details });
  expect(finish.reason).toBe(reason);
});
