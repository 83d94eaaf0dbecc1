import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { fold } from "../../src/canonical/accumulator.ts";
import { pairResults } from "../../src/canonical/tool-results.ts";
import type { Dialect, ModelResponse } from "../../src/canonical/types.ts";
import { DIALECTS } from "../../src/dialects/index.ts";
import { openaiChat } from "../../src/dialects/openai-chat/index.ts";
import { encodeUtf8 } from "../../src/wire/bytes.ts";
import type { Json, JsonObject } from "../../src/wire/json.ts";
import { decodeSse, SseSplitter } from "../../src/wire/sse.ts";
import {
  type Call,
  chatCalls,
  messageCalls,
  responseCalls,
  outputText,
  WIRES,
  LOSS,
  foldStream,
  callsOf,
} from "../support/answered-calls.ts";

describe.each(Object.keys(WIRES) as Dialect[])("a call of an answer of %s", (dialect) => {
  const bothOf = (calls: readonly Call[], callId = "call_1"): ModelResponse[] => [
    DIALECTS[dialect].decodeResponse(WIRES[dialect].whole(calls), "home", callId),
    foldStream(dialect, WIRES[dialect].stream(calls), callId),
  ];
  const encoded = (target: Dialect, answer: ModelResponse): string =>
    JSON.stringify(
      DIALECTS[target].encodeMessages(answer.messages, { dialect: target, model: "m", issuer: "home" }).value,
    );

  it.each([undefined, ""])("a call without a name (%j) enters no history, and is a loss", (name) => {
    const nameless: Call = { id: "lost", args: { secret: 1 }, ...(name !== undefined && { name }) };
    for (const answer of bothOf([nameless, { id: "b", name: "find", args: { y: 2 } }])) {
      expect(callsOf(answer)).toMatchObject([{ id: "b", name: "find", arguments: '{"y":2}' }]);
      expect([answer.losses, answer.finish.reason]).toEqual([[LOSS], "tool_calls"]);
      for (const target of Object.keys(DIALECTS) as Dialect[])
        expect(encoded(target, answer)).not.toMatch(/secret|lost/);
    }
  });

  it("an answer whose only call has no name ends as a text", () => {
    for (const answer of bothOf([{ id: "lost", args: { secret: 1 } }])) {
      expect([callsOf(answer), answer.finish.reason]).toEqual([[], "stop"]);
      expect(answer.losses).toContainEqual(LOSS);
      expect(answer.messages.flatMap(({ blocks }) => blocks)).toMatchObject([{ kind: "text", text: "so" }]);
    }
  });

  it.each([undefined, ""])(
    "a call without an id (%j) from the provider gets an id, the same one streamed and whole",
    (id) => {
      const calls = ["look", "look", "find"].map((name, i): Call => ({
        ...(id !== undefined && { id }),
        name,
        args: { x: i },
      }));
      const [whole, streamed] = bothOf(calls);
      const ids = callsOf(whole!).map((call) => call.id);
      expect(new Set(ids).size).toBe(3);
      for (const one of ids) expect(one).toMatch(/^call_[\w-]{22}$/);
      expect(callsOf(streamed!).map((call) => call.id)).toEqual(ids);
      expect(callsOf(streamed!).map((call) => call.arguments)).toEqual(['{"x":0}', '{"x":1}', '{"x":2}']);
      expect([whole!.losses, streamed!.losses]).toEqual([undefined, undefined]);
      const [other] = bothOf(calls, "call_2");
      expect(callsOf(other!).filter((call) => ids.includes(call.id))).toEqual([]);
      // Sent to any wire, and read from there, the calls have ids that their results can name.
      for (const target of Object.keys(DIALECTS) as Dialect[]) {
        if (target === "gemini") continue;
        const items = JSON.parse(encoded(target, whole!)) as Json[];
        expect(callsOf({ messages: DIALECTS[target].decodeMessages(items) }).map((call) => call.id)).toEqual(ids);
      }
    },
  );

  it("a call's own id stays the same beside a call without an id", () => {
    for (const answer of bothOf([
      { id: "a", name: "look", args: {} },
      { name: "look", args: { x: 1 } },
    ])) {
      const [first, second] = callsOf(answer);
      expect(first!.id).toBe("a");
      expect(second!.id).toMatch(/^call_/);
    }
  });
});

describe("the events of several calls and texts", () => {
  /** Any order of the lists that leaves each of them in its own order. `picks` decide which list is next. */
  function interleave(lists: readonly (readonly JsonObject[])[], picks: readonly number[]): JsonObject[] {
    const rest = lists.map((list) => [...list]);
    const order: JsonObject[] = [];
    for (let i = 0; rest.some((list) => list.length > 0); i++) {
      const open = rest.filter((list) => list.length > 0);
      order.push(open[(picks[i] ?? 0) % open.length]!.shift()!);
    }
    return order;
  }
  const picks = fc.array(fc.nat(5), { maxLength: 40 });
  const calls: Call[] = ["a", "b", "c"].map((id, i) => ({ id, name: `f${i}`, args: { x: i, y: "{}" } }));
  const split = (text: string): string[] => [text.slice(0, 3), text.slice(3, 7), text.slice(7)];

  /** The start of a stream, the events of each block, and the end. */
  const STREAMS: [Dialect, JsonObject[], JsonObject[][], JsonObject[]][] = [
    [
      "anthropic",
      [{ type: "message_start", message: { id: "msg_1", model: "m", content: [] } }],
      [
        ...messageCalls(calls).map((block, index) => [
          { type: "content_block_start", index, content_block: { ...block, input: {} } },
          ...split(JSON.stringify(block.input)).map((piece) => ({
            type: "content_block_delta",
            index,
            delta: { type: "input_json_delta", partial_json: piece },
          })),
          { type: "content_block_stop", index },
        ]),
        [
          { type: "content_block_start", index: 3, content_block: { type: "text", text: "" } },
          ...["s", "o"].map((text) => ({ type: "content_block_delta", index: 3, delta: { type: "text_delta", text } })),
          { type: "content_block_stop", index: 3 },
        ],
      ],
      [{ type: "message_delta", delta: { stop_reason: "tool_use" } }, { type: "message_stop" }],
    ],
    [
      "openai-responses",
      [{ type: "response.created", response: { id: "r", model: "m" } }],
      [
        ...responseCalls(calls).map((item, output_index) => [
          { type: "response.output_item.added", output_index, item: { ...item, arguments: "" } },
          ...split(item.arguments as string).map((delta) => ({
            type: "response.function_call_arguments.delta",
            output_index,
            delta,
          })),
          { type: "response.output_item.done", output_index, item },
        ]),
        [
          { type: "response.output_item.added", output_index: 3, item: { ...outputText, content: [] } },
          ...["s", "o"].map((delta) => ({
            type: "response.output_text.delta",
            output_index: 3,
            content_index: 0,
            delta,
          })),
          { type: "response.output_item.done", output_index: 3, item: outputText },
        ],
      ],
      [{ type: "response.completed", response: { id: "r", model: "m", status: "completed", output: [] } }],
    ],
    [
      "openai-chat",
      [{ id: "c", model: "m", choices: [{ index: 0, delta: { role: "assistant" } }] }],
      [
        ...chatCalls(calls).map((call, index) => {
          const { name, arguments: args } = call.function as { name: string; arguments: string };
          const deltas: JsonObject[] = [
            { index, type: "function", function: { arguments: "" } },
            { index, id: call.id!, function: { arguments: args.slice(0, 3) } },
            { index, function: { name, arguments: args.slice(3, 7) } },
            { index, function: { arguments: args.slice(7) } },
          ];
          return deltas.map((delta) => ({
            id: "c",
            model: "m",
            choices: [{ index: 0, delta: { tool_calls: [delta] } }],
          }));
        }),
        ["s", "o"].map((content) => ({ id: "c", model: "m", choices: [{ index: 0, delta: { content } }] })),
      ],
      [{ id: "c", model: "m", choices: [{ index: 0, delta: {}, finish_reason: "tool_calls" }] }],
    ],
  ];

  it.each(STREAMS)(
    "the events of several calls and a text decode to these calls and this text in any order: %s",
    (dialect, start, blocks, end) => {
      fc.assert(
        fc.property(picks, (order) => {
          const answer = foldStream(dialect, [...start, ...interleave(blocks, order), ...end]);
          const named = callsOf(answer).map((call) => [call.id, call.name, call.arguments]);
          expect(named.toSorted(([a], [b]) => a!.localeCompare(b!))).toEqual(
            calls.map(({ id, name, args }) => [id, name, JSON.stringify(args)]),
          );
          const texts = answer.messages.flatMap((one) =>
            one.blocks.flatMap((block) => (block.kind === "text" ? block.text : [])),
          );
          expect([texts.join(""), answer.finish.reason, answer.losses]).toEqual(["so", "tool_calls", undefined]);
        }),
      );
    },
  );

  it.each(Object.keys(WIRES) as Dialect[])(
    "a stream of %s, wherever it ends, has no call without a name or an id",
    (dialect) => {
      const unidentified: Call[] = [{ args: { x: 1 } }, { id: "a", args: {} }, { name: "f", args: { y: 2 } }];
      const sse = encodeUtf8(
        WIRES[dialect]
          .stream(unidentified)
          .map((event) => `data: ${JSON.stringify(event)}\n\n`)
          .join(""),
      );
      for (let end = 0; end <= sse.length; end++) {
        const decoder = DIALECTS[dialect].decodeStream("home", "call_1");
        const splitter = new SseSplitter();
        const events = [...splitter.push(sse.slice(0, end)), ...splitter.flush()].flatMap((event) =>
          decoder.push(event),
        );
        events.push(...decoder.end());
        expect(events.filter(({ type }) => type === "end" || type === "error")).toHaveLength(1);
        for (const event of events)
          if ((event.type === "open" || event.type === "close") && event.block.kind === "tool_call")
            expect([event.block.name, event.block.id]).toEqual(["f", expect.stringMatching(/^call_/)]);
      }
    },
  );
});

describe("a call of a Responses stream", () => {
  const added = (item: JsonObject): JsonObject => ({
    type: "response.output_item.added",
    output_index: 0,
    item: { type: "function_call", id: "fc_1", arguments: "", ...item },
  });
  const delta = (text: string): JsonObject => ({
    type: "response.function_call_arguments.delta",
    output_index: 0,
    delta: text,
  });
  const whole = { type: "function_call", id: "fc_1", call_id: "a", name: "look", arguments: '{"x":1}' };
  const completed = (output: Json[]): JsonObject => ({
    type: "response.completed",
    response: { id: "r", model: "m", status: "completed", output },
  });

  it.each<[string, JsonObject[]]>([
    [
      "a name that comes with the whole item",
      [
        added({ call_id: "a", name: "" }),
        delta('{"x":1}'),
        { type: "response.output_item.done", output_index: 0, item: whole },
      ],
    ],
    [
      "an id that comes with the whole item",
      [added({ name: "look" }), delta('{"x":1}'), { type: "response.output_item.done", output_index: 0, item: whole }],
    ],
    ["a name that comes with the whole response", [added({ call_id: "a" }), delta('{"x"'), delta(":1}")]],
    [
      "a name that comes with the whole arguments",
      [
        added({ call_id: "a" }),
        {
          type: "response.function_call_arguments.done",
          output_index: 0,
          name: "look",
          arguments: '{"x":1}',
        },
      ],
    ],
  ])("a call of a Responses stream is one call with %s", (name, events) => {
    const output = name.includes("response") ? [whole] : [];
    const decoder = DIALECTS["openai-responses"].decodeStream();
    const decoded = [...events, completed(output)].flatMap((event) =>
      decodeSse(encodeUtf8(`data: ${JSON.stringify(event)}\n\n`)).flatMap((one) => decoder.push(one)),
    );
    const opened = decoded.flatMap((event) => (event.type === "open" ? [event.block] : []));
    expect(opened).toMatchObject([{ kind: "tool_call", id: "a", name: "look" }]);
    expect(callsOf(fold(decoded))).toMatchObject([{ id: "a", name: "look", arguments: '{"x":1}' }]);
  });
});

describe("results without an id", () => {
  it("results without an id answer the calls without one in order, and no call to which another result refers", () => {
    const calls = [
      { name: "look", args: { x: 1 } },
      { id: "a", name: "look", args: { x: 2 } },
      { name: "find", args: {} },
    ];
    const answer = openaiChat.decodeResponse(WIRES["openai-chat"].whole(calls), "home", "call_1");
    const results = openaiChat.decodeMessages([
      { role: "tool", tool_call_id: "", content: "1" },
      { role: "tool", content: "3" },
      { role: "tool", tool_call_id: "a", content: "2" },
    ]);
    const history = pairResults([...answer.messages, ...results]);
    const [first, , third] = callsOf(answer).map((call) => call.id);
    const ids = history.flatMap(({ blocks }) =>
      blocks.flatMap((block) => (block.kind === "tool_result" ? block.id : [])),
    );
    expect(ids).toEqual([first, third, "a"]);
  });
});

describe("results of Gemini's calls without an id", () => {
  it("results of Gemini's calls without ids are in the order of the calls of their name, otherwise in the client's", () => {
    const names = ["look", "find", "look"];
    const calls = names.map((name, i): Call => ({ name, args: { x: i } }));
    const answer = DIALECTS.gemini.decodeResponse(WIRES.gemini.whole(calls), "home", "call_1");
    const ids = callsOf(answer).map((call) => call.id);
    const results = [1, 2, 0].map((i) => ({ role: "tool", tool_call_id: ids[i]!, content: `r${i}` }));
    const history = [...answer.messages, ...openaiChat.decodeMessages(results)];
    const { value } = DIALECTS.gemini.encodeMessages(history, { dialect: "gemini", model: "m", issuer: "home" });
    const sent = JSON.stringify(value.at(-1)).match(/"name":"\w+"|r\d/g);
    expect(sent).toEqual(['"name":"find"', "r1", '"name":"look"', "r0", '"name":"look"', "r2"]);
  });
});

describe("a function call of Chat, the predecessor of tool calls", () => {
  const chunk = (delta: JsonObject, finish_reason: Json = null): JsonObject => ({
    id: "c",
    model: "m",
    choices: [{ index: 0, delta, finish_reason }],
  });
  const answer = (): ModelResponse =>
    foldStream("openai-chat", [
      chunk({ role: "assistant", content: null, function_call: { name: "look", arguments: "" } }),
      chunk({ function_call: { arguments: '{"x"' } }),
      chunk({ function_call: { arguments: ":1}" } }),
      chunk({}, "function_call"),
    ]);

  it("a function call of a Chat stream is decoded whole, and its native item has its own form", () => {
    const { messages, finish } = answer();
    expect(callsOf({ messages })).toMatchObject([{ id: "look", name: "look", arguments: '{"x":1}' }]);
    expect(finish.reason).toBe("tool_calls");
    expect(messages[0]!.native!.item).toEqual({
      role: "assistant",
      function_call: { name: "look", arguments: '{"x":1}' },
    });
  });

  it("a function call of Chat is answered by its result on every wire", () => {
    const result = openaiChat.decodeMessages([{ role: "function", name: "look", content: "sunny" }]);
    const history = pairResults([...answer().messages, ...result]);
    for (const target of [DIALECTS.anthropic, DIALECTS["openai-responses"]]) {
      const { value } = target.encodeMessages(history, { dialect: target.id, model: "m" });
      const again = target.decodeMessages(value).flatMap(({ blocks }) => blocks);
      expect(again).toMatchObject([
        { kind: "tool_call", id: "look" },
        { kind: "tool_result", id: "look" },
      ]);
    }
  });
});
