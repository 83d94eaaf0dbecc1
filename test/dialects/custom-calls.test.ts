import { describe, expect, it } from "vitest";
import { unfold } from "../../src/canonical/accumulator.ts";
import { customArguments } from "../../src/canonical/custom-tools.ts";
import { restoreEvent, restoreResponse } from "../../src/canonical/tool-names.ts";
import type { ModelResponse, StreamEvent } from "../../src/canonical/types.ts";
import { DIALECTS } from "../../src/dialects/index.ts";
import { decodeItems } from "../../src/session/history/decode.ts";
import { listPendingCalls } from "../../src/session/turns.ts";
import { encodeUtf8 } from "../../src/wire/bytes.ts";
import { isObject, joinItems, type Json, type JsonObject } from "../../src/wire/json.ts";
import { decodeSse } from "../../src/wire/sse.ts";
import { PATCH, responses, chat, RESPONSES_BODY, CHAT_BODY, encode } from "../support/custom-tools.ts";

describe("a call of a custom tool", () => {
  const answer = (name: string, args: string): ModelResponse => ({
    id: "a",
    model: "m",
    messages: [{ role: "assistant", blocks: [{ kind: "tool_call", id: "c1", name, arguments: args }] }],
    finish: { reason: "tool_calls" },
    usage: {},
  });
  const reply = { created: 1, id: "resp_1", request: chat.decodeRequest(CHAT_BODY) };
  /** An answer whose arguments arrive in pieces of two characters. */
  const inPieces = (events: StreamEvent[]): StreamEvent[] =>
    events.flatMap((event): StreamEvent[] =>
      event.type === "delta" ? (event.text.match(/[^]{1,2}/g) ?? []).map((text) => ({ ...event, text })) : [event],
    );
  const cases: [string, string, JsonObject][] = [
    ["apply_patch", "a function", { type: "custom_tool_call", name: "apply_patch", input: PATCH }],
    [
      "mcp__files__write",
      "a namespace",
      { type: "custom_tool_call", name: "write", namespace: "mcp__files", input: PATCH },
    ],
  ];

  it.each(cases)(
    "a call of %s that was sent as %s has the client's name and form again, whole and streamed",
    (name, _, item) => {
      const { aliases } = encode("anthropic", RESPONSES_BODY);
      const received = answer(name, JSON.stringify({ input: PATCH, more: 1 }));
      const whole = responses.encodeResponse(restoreResponse(received, aliases), reply);
      expect(whole.output).toEqual([expect.objectContaining({ ...item, call_id: "c1" })]);
      const encoder = responses.encodeStream(reply);
      const text = inPieces(unfold(received))
        .map((event) => encoder.push(restoreEvent(event, aliases!)))
        .join("");
      const events = decodeSse(encodeUtf8(text)).map(({ data }) => JSON.parse(data!) as Record<string, never>);
      const deltas = events.filter(({ type }) => type === "response.custom_tool_call_input.delta");
      expect(deltas.length).toBeGreaterThan(1);
      expect(deltas.map(({ delta }) => delta).join("")).toBe(PATCH);
      expect(events.find(({ type }) => type === "response.custom_tool_call_input.done")).toMatchObject({
        input: PATCH,
      });
      expect(events.find(({ type }) => type === "response.output_item.added")).toMatchObject({
        item: { ...item, input: "" },
      });
      expect(events.find(({ type }) => type === "response.output_item.done")).toMatchObject({ item });
      expect(events.at(-1)).toMatchObject({ response: { output: [item] } });
    },
  );

  it("a custom call is a function's call for a Chat client without such a tool, whole and streamed", () => {
    const received = answer("apply_patch", JSON.stringify({ input: PATCH }));
    received.messages = received.messages.map((message) => ({
      ...message,
      blocks: message.blocks.map((block) => (block.kind === "tool_call" ? { ...block, custom: true } : block)),
    }));
    const called = { name: "apply_patch", arguments: JSON.stringify({ input: PATCH }) };
    const unaware = { created: 1, id: "resp_1", request: chat.decodeRequest({ ...CHAT_BODY, tools: [] }) };
    expect(chat.encodeResponse(received, unaware)).toMatchObject({
      choices: [{ message: { tool_calls: [{ id: "c1", type: "function", function: called }] } }],
    });
    const encoder = chat.encodeStream(unaware);
    const text = unfold(received)
      .map((event) => encoder.push(event))
      .join("");
    expect(text).toContain('"type":"function"');
    expect(text).not.toContain("custom");
  });

  it("a call of a custom tool is a custom call again over Chat, whole and streamed", () => {
    const { aliases } = encode("gemini", CHAT_BODY, chat);
    const received = answer("apply_patch", JSON.stringify({ input: PATCH }));
    const custom = { name: "apply_patch", input: PATCH };
    expect(chat.encodeResponse(restoreResponse(received, aliases), reply)).toMatchObject({
      choices: [{ message: { tool_calls: [{ id: "c1", type: "custom", custom }] } }],
    });
    const encoder = chat.encodeStream(reply);
    const text = inPieces(unfold(received))
      .map((event) => encoder.push(restoreEvent(event, aliases!)))
      .join("");
    type Chunk = { choices: { delta: { tool_calls?: { id?: string; type?: string; custom: Body }[] } }[] };
    type Body = { name?: string; input: string };
    const calls = decodeSse(encodeUtf8(text))
      .flatMap(({ data = "" }) => (data === "[DONE]" ? [] : (JSON.parse(data) as Chunk).choices))
      .flatMap(({ delta }) => delta.tool_calls ?? []);
    expect(calls[0]).toEqual({ index: 0, id: "c1", type: "custom", custom: { name: "apply_patch", input: "" } });
    expect(calls.length).toBeGreaterThan(2);
    expect(calls.map((call) => call.custom.input).join("")).toBe(PATCH);
  });

  it.each<[string, string]>([
    [JSON.stringify({ patch: PATCH }), PATCH],
    [JSON.stringify({ patch: "" }), ""],
    [JSON.stringify({ patch: PATCH, more: "b" }), JSON.stringify({ patch: PATCH, more: "b" })],
    [JSON.stringify({ command: ["apply_patch", PATCH] }), JSON.stringify({ command: ["apply_patch", PATCH] })],
    [PATCH, PATCH],
  ])("a custom call with arguments of another form, %j, has the same input whole and streamed", (args, input) => {
    type Data = { type?: string; delta?: string; input?: string; item?: Json; choices?: Choice[] };
    type Choice = { delta: { tool_calls?: { custom: { input: string } }[] } };
    for (const [surface, body] of [
      [responses, RESPONSES_BODY],
      [chat, CHAT_BODY],
    ] as const) {
      const { aliases } = encode("anthropic", body, surface);
      const received = answer("apply_patch", args);
      const whole = restoreResponse(received, aliases);
      const block = whole.messages[0]!.blocks[0]!;
      expect(block).toMatchObject({ custom: true, arguments: customArguments(input) });
      expect(JSON.stringify(surface.encodeResponse(whole, reply))).toContain(`"input":${JSON.stringify(input)}`);
      for (let size = 1; size <= args.length; size++) {
        const encoder = surface.encodeStream(reply);
        const pieces = args.match(new RegExp(`[^]{1,${size}}`, "g"))!;
        const text = unfold(received)
          .flatMap((event) =>
            event.type === "delta" ? pieces.map((piece): StreamEvent => ({ ...event, text: piece })) : [event],
          )
          .map((event) => encoder.push(restoreEvent(event, aliases!)))
          .join("");
        const data = decodeSse(encodeUtf8(text)).flatMap(({ data = "" }) =>
          data === "[DONE]" ? [] : [JSON.parse(data) as Data],
        );
        const deltas =
          surface === responses
            ? data.flatMap(({ type, delta }) => (type === "response.custom_tool_call_input.delta" ? [delta!] : []))
            : data
                .flatMap(({ choices = [] }) => choices)
                .flatMap(({ delta }) => (delta.tool_calls ?? []).map(({ custom }) => custom.input));
        expect(deltas.join("")).toBe(input);
        if (surface === chat) continue;
        const done = data.find(({ type }) => type === "response.custom_tool_call_input.done");
        expect(done).toMatchObject({ input });
        expect(data.at(-1)).toMatchObject({ response: { output: [{ type: "custom_tool_call", input }] } });
      }
    }
  });

  it.each(["anthropic", "gemini", "openai-chat", "native"] as const)(
    "a call of a custom tool stays one in a history that %s stored, with any tools of the next call",
    (id) => {
      const { messages } = responses.decodeRequest(RESPONSES_BODY);
      const wire = DIALECTS[id];
      const { value } = wire.encodeMessages(messages, { dialect: id, model: "m" });
      const stored = decodeItems({ dialect: id, items: joinItems(value), calls: listPendingCalls(messages) });
      const back = responses.encodeMessages(stored, { dialect: "openai-responses", model: "m" });
      expect(back.value.slice(1)).toMatchObject([
        { type: "custom_tool_call", name: "apply_patch", input: PATCH },
        { type: "custom_tool_call_output", output: "Done" },
        { type: "function_call", namespace: "mcp__files", name: "read" },
        { type: "function_call_output", output: "text" },
      ]);
    },
  );
});

describe("outputs of tools that a client runs", () => {
  const call = { type: "shell_call", call_id: "s1", action: { commands: ["ls"] } };
  const output = { type: "shell_call_output", id: "sho_1", call_id: "s1", output: [{ stdout: "a.txt" }] };
  it.each<[string, JsonObject]>([
    ["local_shell", { type: "local_shell_call_output", id: "lso_1", call_id: "c", output: '{"stdout":"x"}' }],
    ["shell", output],
    ["apply_patch", { type: "apply_patch_call_output", id: "apo_1", call_id: "c", status: "completed", output: "x" }],
  ])("outputs of %s have the user's role, with and without an id", (_, item) => {
    const { id: _id, ...rest } = item;
    expect(responses.decodeMessages([item, rest]).map(({ role }) => role)).toEqual(["user", "user"]);
  });

  const history: JsonObject[] = [
    { role: "user", content: "go" },
    { type: "local_shell_call", id: "l", call_id: "c1", action: { type: "exec", command: ["ls"] } },
    { type: "local_shell_call_output", id: "lo", call_id: "c1", output: "from local_shell" },
    { type: "shell_call", id: "s", call_id: "c2", action: { commands: ["run shell"] } },
    { type: "shell_call_output", id: "so", call_id: "c2", output: [{ stdout: "from shell" }] },
    { type: "apply_patch_call", id: "a", call_id: "c3", operation: { type: "create_file", path: "a", diff: "+x" } },
    { type: "apply_patch_call_output", call_id: "c3", status: "completed", output: "from apply_patch" },
    { role: "assistant", content: "done" },
    { role: "user", content: "next" },
  ];

  it.each(["anthropic", "gemini", "openai-chat"] as const)(
    "outputs of tools that a client runs have the user's role in a history sent to %s",
    (id) => {
      const { value, losses } = encode(id, { model: "m", input: history });
      const sent = (value.messages ?? value.contents) as { role: string }[];
      const authorOf = (text: string): string[] =>
        sent.filter((message) => JSON.stringify(message).includes(text)).map(({ role }) => role);
      const assistant = id === "gemini" ? "model" : "assistant";
      for (const tool of ["local_shell", "shell", "apply_patch"]) expect(authorOf(`"from ${tool}"`)).toEqual(["user"]);
      expect(authorOf("run shell")).toEqual([assistant]);
      expect(authorOf("done")).toEqual([assistant]);
      for (const item of history.filter(({ type }) => type !== undefined))
        expect(losses).toContainEqual(expect.objectContaining({ at: item.type, what: "dropped" }));
    },
  );

  it("outputs of tools that a client runs are the same items again at Responses, also through the native dialect", () => {
    const { messages } = responses.decodeRequest({ model: "m", input: history });
    const target = { dialect: "openai-responses", model: "m" } as const;
    expect(responses.encodeMessages(messages, target).value).toEqual(history);
    const passed = DIALECTS.native.encodeMessages(messages, { dialect: "native", model: "m" }).value;
    const back = responses.encodeMessages(DIALECTS.native.decodeMessages(passed), target).value;
    expect(back.filter((item) => isObject(item) && item.type !== undefined && item.type !== "message")).toEqual(
      history.filter(({ type }) => type !== undefined),
    );
  });

  it("outputs have the assistant's role if the provider ran the tool in a container", () => {
    const hosted = { ...call, environment: { type: "container_reference", container_id: "c" } };
    const local = { ...call, environment: { type: "local" } };
    expect(responses.decodeMessages([hosted, output]).map(({ role }) => role)).toEqual(["assistant", "assistant"]);
    expect(responses.decodeMessages([local, output]).map(({ role }) => role)).toEqual(["assistant", "user"]);
  });
});
