import { describe, expect, it } from "vitest";
import { type Block, CallFailure, create, events, streamed, textOf } from "./calls.ts";
import { baseUrl, key } from "./gateway.ts";
import { failureOf, FORMAT, IMAGE, PNG, PROVIDERS, type ProviderId, SEALED, shown, WEATHER } from "./matrix.ts";

const says = (text: string): Block => ({ type: "input", text });

const rounds = PROVIDERS.flatMap((provider) => [
  { provider, mode: "whole", ask: create },
  { provider, mode: "streamed", ask: streamed },
]);

/** Where each wire hides the seal of its model's thoughts. */
const ISSUED: Record<ProviderId, string> = {
  fakechat: "openai-chat",
  fakeresp: "openai-responses",
  fakeanth: "anthropic",
  fakegem: "gemini",
};

const tool = { name: WEATHER.name, description: WEATHER.description, parameters: WEATHER.schema };

describe.each(rounds)("$mode answers of $provider", ({ provider, ask }) => {
  it("an answer has blocks, its call and its counts", async () => {
    const answer = await ask({ model: `${provider}/say`, input: "hello" });
    expect(answer).toMatchObject({
      call: {
        id: expect.stringMatching(/^call_/) as string,
        object: "call",
        session_id: expect.stringMatching(/^sess_/) as string,
        status: "completed",
        finish_reason: "stop",
      },
      output: [{ type: "response", text: "Said say." }],
      usage: { fresh: 8, cache_read: 4, output: 5 },
    });
    const found = await fetch(`${baseUrl}/v1/calls/${answer.call.id}`, { headers: { authorization: `Bearer ${key}` } });
    const { usage: _, ...known } = answer.call as unknown as Record<string, unknown>;
    // The moment is told to the second in an answer and to the millisecond in the record.
    expect(await found.json()).toMatchObject({ ...known, created_at: expect.any(String) as string });
  });

  it("an answer calls several tools, and their results are accepted in the session", async () => {
    const first = await ask({ model: `${provider}/tools`, input: [says("hello")], tools: [tool] });
    expect(first.call.finish_reason).toBe("tool_calls");
    expect(textOf(first)).toBe("Let me look.");
    const calls = first.output.filter(({ type }) => type === "tool_call");
    expect(calls.map((call) => call.arguments)).toEqual(['{"city":"Paris"}', '{"city":"Rome"}']);
    const results = calls.map(({ id }, i) => ({
      type: "tool_result",
      id,
      content: ["sunny in Paris", "rainy in Rome"][i]!,
    }));
    const { session_id } = first.call;
    const next = await ask({ routing: { model: `${provider}/tools` }, session_id, blocks: results, tools: [tool] });
    expect(textOf(next)).toBe("It is sunny in Paris and rainy in Rome.");
  });

  it("a stateless caller gives the model its own thoughts again", async () => {
    const said = {
      model: `${provider}/think`,
      context_mode: "stateless",
      reasoning: { effort: "low", summary: "auto" },
    };
    const { output } = await ask({ ...said, input: "hello" });
    expect(output.slice(0, 2).map(({ type }) => type)).toEqual(["thinking", "response"]);
    expect(output.find(({ native }) => native !== undefined)!.native!.dialect).toBe(ISSUED[provider]);
    const next = await ask({ ...said, input: [says("hello"), ...output, says("and?")] });
    expect(shown(textOf(next))).toContainEqual(SEALED[provider]);
  });

  it("images and the instructions reach the provider", async () => {
    const media = { mime: "image/png", source: { type: "base64", data: PNG } };
    const input = [{ type: "input", media }, says("What is it?")];
    const answer = await ask({ model: `${provider}/mirror`, input, instructions: "Be brief." });
    expect(shown(textOf(answer))).toContainEqual(IMAGE[provider]);
    expect(textOf(answer)).toContain("Be brief.");
  });

  it("an answer has the form of a schema", async () => {
    const format = { type: "json_schema", name: "weather", schema: WEATHER.schema };
    const answer = await ask({ model: `${provider}/json`, input: "hello", format });
    expect(JSON.parse(textOf(answer))).toEqual({ city: "Paris", degrees: 21 });
    const mirrored = await ask({ model: `${provider}/mirror`, input: "hello", format });
    expect(shown(textOf(mirrored))).toContainEqual(FORMAT[provider]);
  });

  it.each([
    ["refuse", "request.invalid", 400, "max_tokens is too large"],
    ["limited", "rate.limited", 429, "Slow down"],
    ["broken", "provider.execution_failed", 500, "Internal trouble"],
  ] as const)("a failure has the native shape: %s", async (script, code, status, message) => {
    const failure = await failureOf(ask({ model: `${provider}/${script}`, input: "hello" }));
    expect(failure).toBeInstanceOf(CallFailure);
    expect(failure).toMatchObject({
      status,
      error: {
        code,
        message,
        retryable: status !== 400,
        details: { upstream: { status } },
        request_id: expect.stringMatching(/^call_/) as string,
      },
    });
  });
});

describe.each(PROVIDERS)("streams of %s", (provider) => {
  it("the deltas of a stream have the index of their block, and the events are numbered", async () => {
    const told = await events({ model: `${provider}/tools`, input: "hello", tools: [tool] });
    expect(told.map(({ event_id }) => event_id)).toEqual(told.map((_, i) => i + 1));
    const types = told.map(({ type }) => type);
    expect([types[0], types.at(-1)]).toEqual(["call.started", "call.completed"]);
    const { output } = told.at(-1)!;
    for (const [index, block] of output!.entries()) {
      const grown = told.filter((event) => event.index === index && event.type.endsWith(".delta"));
      const said = grown.map(({ text, arguments: args }) => text ?? args).join("");
      expect(said).toBe(block.text ?? block.arguments);
    }
    expect(types.filter((type) => type === "tool_call.done")).toHaveLength(2);
  });

  it("a stream that is cut or fails ends with call.failed", async () => {
    for (const script of ["cut", "failing"]) {
      const told = await events({ model: `${provider}/${script}`, input: "hello" });
      expect(told.at(-1)).toMatchObject({ type: "call.failed", error: { code: expect.any(String) as string } });
      expect(told.filter(({ type }) => type === "call.completed")).toEqual([]);
    }
  });
});

it("a block that only its provider can read is returned without a loss", async () => {
  const answer = await streamed({ model: "fakegem/fixture-code-execution-in-a-stream", input: "hello" });
  const labels = answer.output.flatMap(({ opaque }) => opaque?.label ?? []);
  expect(labels).toEqual(["executableCode", "codeExecutionResult"]);
  expect(answer.rhone.losses).toBeUndefined();
});

it("a session's head can be sent as the blocks of another call", async () => {
  const image = { type: "input", media: { mime: "image/png", source: { type: "base64", data: PNG } } };
  const first = await create({ model: "fakeanth/think", input: [says("hello"), image], instructions: "Be brief." });
  const { session_id } = first.call;
  const called = await create({ model: "fakegem/tools", session_id, input: "And the weather?", tools: [tool] });
  const results = called.output.flatMap(({ type, id }) =>
    type === "tool_call" ? [{ type: "tool_result", id, content: "ok" }] : [],
  );
  await create({ model: "fakeresp/think", session_id, input: results, tools: [tool] });
  const head = await fetch(`${baseUrl}/v1/sessions/${session_id}/blocks`, {
    headers: { authorization: `Bearer ${key}` },
  });
  const { data: blocks } = (await head.json()) as { data: Block[] };
  const again = await create({
    model: "fakeanth/mirror",
    context_mode: "stateless",
    blocks: [...blocks, says("and?")],
  });
  const mirrored = await create({ model: "fakeanth/mirror", session_id, input: "and?" });
  const asked = (answer: string): unknown => (JSON.parse(answer) as { messages: unknown }).messages;
  expect(asked(textOf(again))).toEqual(asked(textOf(mirrored)));
  expect(shown(textOf(again))).toContainEqual(IMAGE.fakeanth);
});

it.each([
  [{ input: "x" }, "model"],
  [{ model: "demo" }, "input"],
  [{ model: "demo", input: [] }, "input"],
  [{ model: "demo", input: "x", blocks: "x" }, "blocks"],
  [{ model: "demo", input: "x", sesion_id: "sess_1" }, "sesion_id"],
  [{ model: "demo", input: "x", session_id: "1" }, "session_id"],
  [{ model: "demo", input: [{ type: "text", text: "x" }] }, "input[0].type"],
  [{ model: "demo", blocks: [{ type: "input", media: { mime: "png", source: {} } }] }, "blocks[0].media.mime"],
  [{ model: "demo", input: "x", tools: [{ name: "" }] }, "tools[0].name"],
  [{ model: "demo", input: "x", rhone: { session: "x" } }, "rhone.session"],
])("the body %j is refused, naming %s", async (body, param) => {
  const failure = await failureOf(create(body));
  expect(failure).toMatchObject({
    status: 400,
    error: { code: "request.invalid", details: { param }, retryable: false },
  });
});
