import { describe, expect, it, vi } from "vitest";
import { decodeSse } from "../../src/wire/sse.ts";
import { request } from "../support/worker/client.ts";
import {
  type Body,
  PATCH,
  LONG,
  TOOLS,
  namesOf,
  sse,
  TEXT,
  script,
  get,
  post,
  received,
} from "../support/worker/custom-tool-script.ts";

const CONTEXTS = [
  ["whole, in a session", false, true],
  ["streamed, in a session", true, true],
  ["whole, without a session", false, false],
  ["streamed, without a session", true, false],
] as const;

describe.each(["fakeanth", "fakegem"])("a tool loop of Responses over %s", (provider) => {
  it.each(CONTEXTS)(
    "custom tools, namespaces and names stay the same through a tool loop, %s",
    async (_, stream, isStateful) => {
      script();
      const context = isStateful ? {} : { context_mode: "stateless" };
      const first = await post({ model: `${provider}/m`, input: "go", tools: TOOLS, stream, rhone: context });
      const called = namesOf(received[0]!);
      for (const name of called) expect(name).toMatch(/^[a-zA-Z0-9_-]{1,128}$/);
      expect(first.output).toMatchObject([
        { type: "custom_tool_call", name: "apply_patch", input: PATCH },
        { type: "function_call", name: "read", namespace: "mcp__files", arguments: '{"path":"a"}' },
        { type: "function_call", name: LONG },
      ]);

      const results = first.output.map(({ type, call_id }) => ({
        type: type === "custom_tool_call" ? "custom_tool_call_output" : "function_call_output",
        call_id,
        output: "ok",
      }));
      for (const next of [`${provider}/m`, "fake/m", "fakeresp/m"]) {
        received.length = 0;
        await post({
          model: next,
          tools: TOOLS,
          ...(isStateful
            ? { input: results, previous_response_id: first.id }
            : { input: [{ role: "user", content: "go" }, ...first.output, ...results], rhone: context }),
        });
        const text = JSON.stringify(received[0]);
        if (next === `${provider}/m`) {
          expect(namesOf(received[0]!)).toEqual(called);
          for (const name of called) expect(text.split(`"name":${JSON.stringify(name)}`).length).toBeGreaterThan(2);
          expect(text).toContain(JSON.stringify({ input: PATCH }));
        } else if (next === "fake/m") {
          expect(received[0]).toMatchObject({
            messages: [
              {},
              {
                tool_calls: [
                  { type: "custom", custom: { name: "apply_patch", input: PATCH } },
                  { type: "function", function: { name: "mcp__files__read" } },
                  { type: "function", function: { name: namesOf(received[0]!)[2] } },
                ],
              },
              { role: "tool" },
              { role: "tool" },
              { role: "tool" },
            ],
          });
        } else {
          expect((received[0] as { input: Body[] }).input.slice(-6)).toMatchObject([
            { type: "custom_tool_call", name: "apply_patch", input: PATCH },
            { type: "function_call", name: "read", namespace: "mcp__files" },
            { type: "function_call" },
            { type: "custom_tool_call_output" },
            { type: "function_call_output" },
            { type: "function_call_output" },
          ]);
        }
      }
    },
  );
});

describe.each(["fakeanth", "fakegem"])("a session whose turn %s answered", (provider) => {
  it("a session has the client's tool names in its history, with any tools of the next call", async () => {
    script();
    const first = await post({ model: `${provider}/m`, input: "go", tools: TOOLS });
    const id = first.rhone.session_id;
    const called = [
      { name: "apply_patch", custom: true, arguments: JSON.stringify({ input: PATCH }) },
      { name: "read", namespace: "mcp__files" },
      { name: LONG },
    ];
    const blocks = called.map((one) => ({ type: "tool_call", ...one }));
    const { data: head } = await get(`/v1/sessions/${id}/blocks`);
    expect((head as Body[]).filter(({ type }) => type === "tool_call")).toMatchObject(blocks);
    const { data: timeline } = await get(`/v1/sessions/${id}/timeline`);
    expect((timeline as { output: Body[] }[])[0]!.output).toMatchObject(blocks);
    const { data: items } = await get(`/v1/conversations/${id.replace("sess_", "conv_")}/items?order=asc`);
    const output = [
      { type: "custom_tool_call", name: "apply_patch", input: PATCH },
      { type: "function_call", name: "read", namespace: "mcp__files" },
      { type: "function_call", name: LONG },
    ];
    expect((items as Body[]).slice(1)).toMatchObject(output);
    expect(await get(`/v1/responses/${first.id as string}`)).toMatchObject({ output });

    const results = first.output.map(({ type, call_id }) => ({
      type: type === "custom_tool_call" ? "custom_tool_call_output" : "function_call_output",
      call_id,
      output: "ok",
    }));
    received.length = 0;
    const second = await post({ model: "fakeresp/m", input: results, previous_response_id: first.id });
    expect((received[0] as { input: Body[] }).input.slice(1, 3)).toMatchObject(output.slice(0, 2));
    const { data: input } = await get(`/v1/responses/${second.id as string}/input_items?order=asc`);
    expect((input as Body[]).slice(1, 4)).toMatchObject(output);
  });
});

describe("a host of the client's own dialect that has functions only", () => {
  it.each(CONTEXTS)(
    "a Responses call with a custom tool is answered by a host that has functions only, %s",
    async (_, stream, isStateful) => {
      script();
      const context = isStateful ? {} : { context_mode: "stateless" };
      const tools = [TOOLS[0]!];
      const first = await post({
        model: "plainresp/m",
        input: "go",
        tools,
        stream,
        metadata: { a: "b" },
        rhone: context,
      });
      expect(received[0]).toMatchObject({ metadata: { a: "b" }, tools: [{ type: "function", name: "apply_patch" }] });
      expect(first.output).toMatchObject([{ type: "custom_tool_call", name: "apply_patch", input: PATCH }]);
      const result = { type: "custom_tool_call_output", call_id: first.output[0]!.call_id, output: "ok" };
      received.length = 0;
      await post({
        model: "plainresp/m",
        tools,
        stream: false,
        ...(isStateful
          ? { input: [result], previous_response_id: first.id }
          : { input: [{ role: "user", content: "go" }, ...first.output, result], rhone: context }),
      });
      expect((received[0] as { input: Body[] }).input.slice(1)).toMatchObject([
        { type: "function_call", name: "apply_patch", arguments: JSON.stringify({ input: PATCH }) },
        { type: "function_call_output", output: "ok" },
      ]);
    },
  );

  it.each(CONTEXTS)(
    "a Chat call with a custom tool is answered by a host that has functions only, %s",
    async (_, stream, isStateful) => {
      script();
      const context = isStateful ? {} : { context_mode: "stateless" };
      const tools = [{ type: "custom", custom: { name: "apply_patch" } }];
      const question = { role: "user", content: "go" };
      const ask = async (body: object): Promise<string> => {
        const response = await request("/v1/chat/completions", {
          method: "POST",
          body: JSON.stringify({ model: "plain/m", tools, logit_bias: { "1": 1 }, ...body }),
        });
        expect(response.status).toBe(200);
        return await response.text();
      };
      const text = await ask({ messages: [question], stream, rhone: context });
      expect(received[0]).toMatchObject({ logit_bias: { "1": 1 }, tools: [{ function: { name: "apply_patch" } }] });
      type Call = { id: string; type: string; custom: { name: string; input: string } };
      type Answer = { choices: { message?: { tool_calls: Call[] }; delta?: { tool_calls?: Call[] } }[]; rhone?: Body };
      const answers = (stream ? decodeSse(new TextEncoder().encode(text)).map(({ data }) => data!) : [text])
        .filter((data) => data !== "[DONE]")
        .map((data) => JSON.parse(data) as Answer);
      const calls = answers.flatMap(({ choices }) =>
        choices.flatMap(({ message, delta }) => (message ?? delta)?.tool_calls ?? []),
      );
      expect(calls[0]).toMatchObject({ id: "call_0", type: "custom", custom: { name: "apply_patch" } });
      const input = calls.map(({ custom }) => custom.input).join("");
      expect(input).toBe(PATCH);
      const call = { id: "call_0", type: "custom", custom: { name: "apply_patch", input } };
      const result = { role: "tool", tool_call_id: "call_0", content: "ok" };
      received.length = 0;
      const session = answers.find(({ rhone }) => rhone !== undefined)?.rhone?.session_id;
      await ask(
        isStateful
          ? { messages: [result], rhone: { session_id: session } }
          : { messages: [question, { role: "assistant", content: null, tool_calls: [call] }, result], rhone: context },
      );
      expect((received[0] as { messages: Body[] }).messages.slice(1)).toMatchObject([
        {
          tool_calls: [
            { type: "function", function: { name: "apply_patch", arguments: JSON.stringify({ input: PATCH }) } },
          ],
        },
        { role: "tool", tool_call_id: "call_0", content: "ok" },
      ]);
    },
  );
});

/** How the requests of a provider name tools. */
const ACCEPTED: Record<string, RegExp> = {
  fakeanth: /^[a-zA-Z0-9_-]{1,128}$/,
  fakegem: /^[a-zA-Z_][a-zA-Z0-9_.:-]{0,63}$/,
  fake: /^[a-zA-Z0-9_-]{1,64}$/,
  plainresp: /./,
};

describe.each(["fakeanth", "fakegem", "plainresp"])("a count of tokens by %s", (provider) => {
  it("a count of tokens has the tools that the call would have", async () => {
    vi.spyOn(globalThis, "fetch").mockImplementation(async (input, init) => {
      received.push(await new Request(input, init).json());
      return Response.json({ input_tokens: 7, totalTokens: 7 });
    });
    const input = [
      { role: "user", content: "go" },
      { type: "custom_tool_call", call_id: "c1", name: "apply_patch", input: PATCH },
      { type: "custom_tool_call_output", call_id: "c1", output: "ok" },
      { type: "function_call", call_id: "c2", namespace: "mcp__files", name: "read", arguments: "{}" },
      { type: "function_call_output", call_id: "c2", output: "ok" },
    ];
    const body = { model: `${provider}/m`, input, tools: TOOLS };
    const response = await request("/v1/responses/input_tokens", { method: "POST", body: JSON.stringify(body) });
    expect(await response.json()).toMatchObject({ input_tokens: 7 });
    const { generateContentRequest: inner = received[0] } = received[0] as { generateContentRequest?: Body };
    const names = namesOf(inner!);
    expect(new Set(names).size).toBe(body.tools.length);
    for (const name of names) expect(name).toMatch(ACCEPTED[provider]!);
    const sent = JSON.stringify(inner);
    expect(sent).not.toMatch(/"custom|namespace/);
    // In the list, and in the history.
    expect(sent.split('"apply_patch"').length).toBeGreaterThan(2);
    expect(sent).toContain(JSON.stringify({ input: PATCH }).slice(2, 8));
  });
});

describe.each([
  ["fakeresp", "fakeanth"],
  ["fakeresp", "fakegem"],
  ["fakeanth", "fakegem"],
  ["fakegem", "fakeanth"],
  ["plainresp", "fakeanth"],
])("a call that %s refuses and %s takes", (first, second) => {
  it.each(CONTEXTS)(
    "a call has the names of the second provider, and the client's in the answer, %s",
    async (_, stream, isStateful) => {
      script(1);
      const mode = isStateful ? "stateful" : "stateless";
      const name = `m.after-${first}-${second}-${mode}-${stream}`;
      const routing = { fallbacks: [`${second}/${name}`], retries: { max: 0 } };
      const { output } = await post({
        model: `${first}/${name}`,
        input: "go",
        tools: TOOLS,
        stream,
        rhone: { context_mode: mode, routing },
      });
      expect(received).toHaveLength(2);
      const [refused, taken] = received;
      expect(JSON.stringify(refused!.tools).includes('"custom"')).toBe(first === "fakeresp");
      const names = namesOf(taken!);
      expect(names).toHaveLength(3);
      for (const one of names) expect(one).toMatch(ACCEPTED[second]!);
      expect(output).toMatchObject([
        { type: "custom_tool_call", name: "apply_patch", input: PATCH },
        { type: "function_call", name: "read", namespace: "mcp__files" },
        { type: "function_call", name: LONG },
      ]);
    },
  );
});

describe("a call that a provider with fitted names refuses and one with the client's own takes", () => {
  it.each(CONTEXTS)(
    "a call whose second provider has the client's wire has the client's tool names at both ends, %s",
    async (_, stream, isStateful) => {
      const call = { type: "custom_tool_call", id: "ctc_1", call_id: "c1", name: "apply_patch", input: PATCH };
      const whole = { ...TEXT.fakeresp, output: [call] };
      vi.spyOn(globalThis, "fetch").mockImplementation(async (input, init) => {
        received.push(await new Request(input, init).json());
        if (received.length === 1) return Response.json({ error: { message: "broken" } }, { status: 500 });
        if (!stream) return Response.json(whole);
        const events = [
          { type: "response.created", response: { ...whole, status: "in_progress", output: [] } },
          { type: "response.output_item.added", output_index: 0, item: { ...call, input: "" } },
          { type: "response.custom_tool_call_input.delta", item_id: call.id, output_index: 0, delta: PATCH },
          { type: "response.output_item.done", output_index: 0, item: call },
          { type: "response.completed", response: whole },
        ];
        // Read event by event, not by the runtime's own pipe, which cannot read a body made in a test.
        return new Response(sse(events), { headers: { "content-type": "text/event-stream" } });
      });
      const mode = isStateful ? "stateful" : "stateless";
      const name = `m.own-${mode}-${stream}`;
      const routing = { fallbacks: [`fakeresp/${name}`], retries: { max: 0 }, midstream: "continue" };
      const rhone = { context_mode: mode, routing };
      const { output } = await post({ model: `fakeanth/${name}`, input: "go", tools: TOOLS, stream, rhone });
      expect(JSON.stringify(received[0])).not.toContain('"custom"');
      expect(received[1]).toMatchObject({ tools: TOOLS });
      expect(output).toMatchObject([call]);
    },
  );
});
