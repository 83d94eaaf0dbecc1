import { describe, expect, it } from "vitest";
import { fold } from "../../src/canonical/accumulator.ts";
import { GatewayError } from "../../src/canonical/error.ts";
import { findFailure } from "../../src/canonical/failed-answer.ts";
import type { ModelResponse } from "../../src/canonical/types.ts";
import { anthropic } from "../../src/dialects/anthropic/index.ts";
import type { WireDialect } from "../../src/dialects/dialect.ts";
import { gemini } from "../../src/dialects/gemini/index.ts";
import { DIALECTS } from "../../src/dialects/index.ts";
import { openaiChat } from "../../src/dialects/openai-chat/index.ts";
import { openaiResponses } from "../../src/dialects/openai-responses/index.ts";
import { StreamReader } from "../../src/gateway/upstream/stream-reader.ts";
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
  it.each(["", "Half a"])(
    "a finish reason of failure is an error with its name, whole and streamed, with the text %j",
    (text) => {
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
    },
  );
});

describe("an error in the body of a success", () => {
  const wires = Object.values(DIALECTS);
  const message = "The model is overloaded.";
  const errorOf = (work: () => unknown): GatewayError => {
    try {
      work();
    } catch (thrown) {
      if (thrown instanceof GatewayError) return thrown;
      throw thrown;
    }
    throw new Error("no error");
  };

  it.each(wires)(
    "an error in the body of a success has the provider's message and code at $id, whole and streamed",
    (wire) => {
      const error = { message, type: "overloaded_error", code: "overloaded" };
      for (const body of [{ error }, { type: "error", error }, { error, choices: [], output: [], content: [] }]) {
        const decoder = wire.decodeStream();
        const event = wire.id === "native" ? { ...body, type: "call.failed" } : { ...body, type: "error" };
        const [streamed] = decodeSse(encodeUtf8(`data: ${JSON.stringify(event)}\n\n`)).flatMap((one) =>
          decoder.push(one),
        );
        const whole = errorOf(() => wire.decodeResponse(body));
        expect(whole.message).toBe(message);
        expect(whole.status).toBeGreaterThanOrEqual(500);
        expect(streamed).toMatchObject({ type: "error", error: { message, code: whole.code, status: whole.status } });
        // Google's string code is `status`; that of `details` is its reason.
        if (wire.id !== "gemini") expect(whole.upstream).toMatchObject({ code: "overloaded" });
      }
    },
  );

  it.each([openaiChat, openaiResponses, gemini])(
    "an error in the body of a success has the status that its code is at $id",
    (wire) => {
      const body = { error: { code: 429, message, status: "RESOURCE_EXHAUSTED" } };
      const error = errorOf(() => wire.decodeResponse(body));
      expect(error).toMatchObject({ code: "rate.limited", status: 429, message, upstream: { code: "429" } });
    },
  );

  it.each(wires)("an error in the body of a success may be a text at $id", (wire) => {
    expect(errorOf(() => wire.decodeResponse({ error: message })).message).toBe(message);
  });

  it.each(wires)("an empty error member is no error of the provider at $id", (wire) => {
    const body: JsonObject = { error: null, note: 1 };
    expect(errorOf(() => wire.decodeResponse(body)).message).toMatch(/^the provider's answer/);
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
  ] as [Answers, Json, string][])("a finish reason of %o is no failure: %s", (answers, reason, expected) => {
    for (const answer of bothOf(answers, reason, "text")) {
      expect(answer.finish.reason).toBe(expected);
      expect(findFailure(answer)).toBeUndefined();
    }
  });

  it("a finish reason beside a complete call of an undeclared tool is no failure, whole and streamed", () => {
    const parts = [{ functionCall: { name: "look", args: {} } }];
    const finish = { finishReason: "UNEXPECTED_TOOL_CALL", finishMessage: "look is not declared" };
    const body = { candidates: [{ content: { role: "model", parts }, ...finish }] };
    const decoder = gemini.decodeStream();
    const events = decodeSse(encodeUtf8(`data: ${JSON.stringify(body)}\n\n`)).flatMap((event) => decoder.push(event));
    expect(decoder.isFailing).toBe(false);
    for (const answer of [gemini.decodeResponse(body), fold([...events, ...decoder.end()])]) {
      expect(findFailure(answer)).toBeUndefined();
      expect(answer.finish).toMatchObject({ reason: "tool_calls", message: "look is not declared" });
      expect(answer.messages[0]!.blocks).toMatchObject([{ kind: "tool_call", name: "look" }]);
    }
  });

  it.each(["constructor", "toString", "hasOwnProperty", "__proto__"])(
    "a finish reason that is a member of every object is unknown: %s",
    (word) => {
      for (const answers of [chat, google])
        for (const answer of bothOf(answers, word, "text")) expect(answer.finish).toMatchObject({ reason: "other" });
      const answer = anthropic.decodeResponse({ id: "m", model: "m", content: [], stop_reason: word });
      expect(answer.finish.reason).toBe("other");
      const error = { type: "error", error: { type: word, message: "no", code: word } };
      for (const dialect of [anthropic, openaiChat, openaiResponses, gemini])
        expect(dialect.decodeError(500, JSON.stringify(error)).status).toBe(500);
    },
  );

  it("a finish reason of failure in a second answer is a failure as well", () => {
    const message = { role: "assistant", content: "x" };
    const choices = ["stop", "error"].map((finish_reason, index) => ({ index, message, finish_reason }));
    expect(findFailure(openaiChat.decodeResponse({ id: "c", model: "m", choices }))?.upstream?.code).toBe("error");
  });

  it("the finish reason of a refused prompt is a filter, for any block reason", () => {
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
])("the status %s of a response has the finish reason that it means", (status, details, reason) => {
  const output = [{ type: "message", role: "assistant", content: [{ type: "output_text", text: "Half a" }] }];
  const { finish } = openaiResponses.decodeResponse({ id: "r", model: "m", status, output, ...details });
  expect(finish.reason).toBe(reason);
});

const message: Answers = {
  wire: anthropic,
  whole: (stop_reason, text) => ({
    type: "message",
    id: "msg_1",
    model: "m",
    content: text === "" ? [] : [{ type: "text", text }],
    stop_reason,
  }),
  stream: (whole) => {
    const { content, stop_reason, ...head } = whole as { content: JsonObject[]; stop_reason: Json };
    return [
      { type: "message_start", message: { ...head, content: [], stop_reason: null } },
      ...content.flatMap((block, index): JsonObject[] => [
        { type: "content_block_start", index, content_block: { type: "text", text: "" } },
        { type: "content_block_delta", index, delta: { type: "text_delta", text: block.text! } },
        { type: "content_block_stop", index },
      ]),
      { type: "message_delta", delta: { stop_reason } },
      { type: "message_stop" },
    ];
  },
};

/** Every reason of the wires' references, with its meaning; an unknown one is `other`, and never a failure. */
const MEANINGS: [string, Answers, Record<string, string>][] = [
  [
    "Gemini",
    google,
    {
      STOP: "stop",
      MAX_TOKENS: "length",
      SAFETY: "content_filter",
      RECITATION: "content_filter",
      LANGUAGE: "content_filter",
      OTHER: "error",
      BLOCKLIST: "content_filter",
      PROHIBITED_CONTENT: "content_filter",
      SPII: "content_filter",
      MALFORMED_FUNCTION_CALL: "error",
      MODEL_ARMOR: "content_filter",
      IMAGE_SAFETY: "content_filter",
      IMAGE_PROHIBITED_CONTENT: "content_filter",
      IMAGE_RECITATION: "content_filter",
      IMAGE_OTHER: "error",
      NO_IMAGE: "error",
      UNEXPECTED_TOOL_CALL: "error",
      TOO_MANY_TOOL_CALLS: "error",
      MISSING_THOUGHT_SIGNATURE: "error",
      MALFORMED_RESPONSE: "error",
      A_NEW_REASON: "other",
    },
  ],
  [
    "Anthropic",
    message,
    {
      end_turn: "stop",
      stop_sequence: "stop",
      max_tokens: "length",
      model_context_window_exceeded: "length",
      tool_use: "tool_calls",
      pause_turn: "pause",
      compaction: "pause",
      refusal: "refusal",
      a_new_reason: "other",
    },
  ],
  [
    "Chat",
    chat,
    {
      stop: "stop",
      length: "length",
      model_length: "length",
      tool_calls: "tool_calls",
      function_call: "tool_calls",
      content_filter: "content_filter",
      sensitive: "content_filter",
      SAFETY: "content_filter",
      guardrail_intervened: "content_filter",
      refusal: "refusal",
      malformed_tool_use: "error",
      aborted: "error",
      cancelled: "error",
      a_new_reason: "other",
    },
  ],
];

describe.each(MEANINGS)("the reasons of %s", (_, answers, meanings) => {
  it.each(Object.entries(meanings))(
    "the reason %s means %s, whole and streamed, with a text and without",
    (reason, expected) => {
      for (const text of ["", "Half a"])
        for (const answer of bothOf(answers, reason, text)) expect(answer.finish).toMatchObject({ reason: expected });
    },
  );
});

describe("a Gemini stream", () => {
  const reader = (chunks: Json[]): StreamReader => {
    const all = new StreamReader(gemini.decodeStream());
    all.push(encodeUtf8(chunks.map((one) => `data: ${JSON.stringify(one)}\n\n`).join("")));
    all.end();
    return all;
  };
  const part = (finishReason: Json, text = "a"): Json => ({
    responseId: "g",
    candidates: [{ content: { role: "model", parts: [{ text }] }, finishReason }],
  });

  it.each([null, "", "FINISH_REASON_UNSPECIFIED", 0])("a Gemini stream does not end with the reason %j", (none) => {
    expect(reader([part(none)]).accumulated.error?.code).toBe("stream.interrupted");
    const whole = reader([part(none), part("STOP", "b"), { responseId: "g", candidates: [{ finishReason: none }] }]);
    expect(whole.accumulated.response?.finish).toEqual({ reason: "stop", native: "STOP" });
    expect(whole.accumulated.messages).toMatchObject([{ blocks: [{ text: "ab" }] }]);
  });

  it("a Gemini stream is not refused by an unspecified block reason", () => {
    const promptFeedback = { blockReason: "BLOCK_REASON_UNSPECIFIED" };
    expect(reader([{ promptFeedback, responseId: "g" }]).accumulated.error?.code).toBe("stream.interrupted");
  });
});

it.each(["cancelled", "failed", "in_progress"])("a Responses stream with the status %s is a failure", (status) => {
  const reader = new StreamReader(openaiResponses.decodeStream());
  const output = [{ type: "message", id: "m", role: "assistant", content: [{ type: "output_text", text: "Half a" }] }];
  const response = { id: "r", model: "m", status, output };
  reader.push(encodeUtf8(`data: ${JSON.stringify({ type: "response.completed", response })}\n\n`));
  reader.end();
  expect(reader.accumulated.error).toMatchObject({ code: "provider.execution_failed", upstream: { code: status } });
  expect(reader.accumulated.response).toBeUndefined();
});
