import { afterEach, describe, expect, it, vi } from "vitest";
import { encodeUtf8 } from "../../../src/wire/bytes.ts";
import { decodeSse } from "../../../src/wire/sse.ts";
import { get, request, user } from "../../support/worker/client.ts";

/** Answers of Chat and Responses hosts that leave out what the wire has, through the runtime. */
const received: string[] = [];
afterEach(() => {
  vi.restoreAllMocks();
  received.length = 0;
});

const script = (events: readonly (object | string)[]): void => {
  vi.spyOn(globalThis, "fetch").mockImplementation(async (input, init) => {
    received.push(await new Request(input, init).text());
    const sse = events.map((data) => `data: ${typeof data === "string" ? data : JSON.stringify(data)}\n\n`).join("");
    return new Response(sse, { headers: { "content-type": "text/event-stream" } });
  });
};

const chunk = (delta: object, finish_reason: string | null = null): object => ({
  id: "chatcmpl-1",
  object: "chat.completion.chunk",
  created: 1,
  model: "kimi",
  choices: [{ index: 0, delta, finish_reason }],
});
const USAGE = {
  id: "chatcmpl-1",
  model: "kimi",
  choices: [],
  usage: { prompt_tokens: 3, completion_tokens: 4, total_tokens: 7 },
};
const call = (index: number, fn: object, id?: string): object => ({
  tool_calls: [{ index, ...(id && { id }), function: fn }],
});

type Event = {
  type?: string;
  id?: string;
  model?: string;
  error?: object;
  rhone?: { losses?: object[]; session_id: string };
};
async function send(path: string, body: object): Promise<{ text: string; events: Event[]; callId: string }> {
  const headers = { "anthropic-version": "2023-06-01" };
  const response = await request(path, { method: "POST", body: JSON.stringify(body), headers });
  const text = await response.text();
  expect(response.status, text).toBe(200);
  const events = decodeSse(encodeUtf8(text)).flatMap(({ data = "" }) =>
    data.startsWith("{") ? [JSON.parse(data) as Event] : [],
  );
  return { text, events, callId: response.headers.get("x-rhone-call-id")! };
}

const MODES = ["stateful", "stateless"];

describe("a Chat answer with [DONE] and no finish reason", () => {
  // Without the stateless Chat call: the runtime's own pipe relays its stream, and cannot read a body made in a test.
  it.each<[string, string, string, object, RegExp]>([
    ["stateful", "chat", "/v1/chat/completions", { messages: [user("x")] }, /data: \[DONE\]\n\n$/],
    ...MODES.flatMap((mode): [string, string, string, object, RegExp][] => [
      [mode, "messages", "/v1/messages", { messages: [user("x")], max_tokens: 9 }, /"stop_reason":"tool_use"/],
      [mode, "responses", "/v1/responses", { input: "x" }, /"type":"response.completed"/],
    ]),
  ])(
    "a Chat answer without a finish reason is whole for a %s call of the surface %s, and its loss is recorded",
    async (context_mode, _, path, body, end) => {
      script([chunk(call(0, { name: "look", arguments: "{}" }, "functions.look:0")), USAGE, "[DONE]"]);
      const { text, events, callId } = await send(path, {
        ...body,
        model: "fake/kimi",
        stream: true,
        rhone: { context_mode },
      });
      expect(text).toMatch(end);
      expect(events.filter(({ error }) => error)).toEqual([]);
      await expect.poll(async () => (await get(`/v1/calls/${callId}`)).status).toBe("completed");
      expect(await get(`/v1/calls/${callId}`)).toMatchObject({
        finish_reason: "tool_calls",
        losses: [{ at: "finish_reason", what: "approximated" }],
      });
    },
  );
});

describe("a Chat call without a name", () => {
  it("a Chat call without a name does not enter the session", async () => {
    const calls = [call(0, { arguments: '{"lost":1}' }, "n"), call(1, { name: "look", arguments: "{}" }, "a")];
    script([...calls.map((one) => chunk(one)), chunk({}, "tool_calls"), "[DONE]"]);
    const first = await send("/v1/chat/completions", { model: "fake/kimi", messages: [user("x")], stream: true });
    const { session_id } = first.events[0]!.rhone!;
    const result = { role: "tool", tool_call_id: "a", content: "ok" };
    for (const model of ["fake/kimi", "fakeanth/kimi", "fakeresp/kimi"]) {
      received.length = 0;
      script([chunk({ content: "so" }, "stop"), "[DONE]"]);
      await request("/v1/chat/completions", {
        method: "POST",
        body: JSON.stringify({ model, messages: [result], rhone: { session_id, parent: "head" } }),
      });
      expect(received.join()).not.toContain("lost");
    }
  });
});

describe.each(MODES)("a Responses answer without response.created, %s", (context_mode) => {
  it("a Responses answer without response.created has one id and the model in every chunk of Chat", async () => {
    const item = { type: "message", id: "msg_1", role: "assistant", content: [] };
    script([
      { type: "response.output_item.added", output_index: 0, item },
      { type: "response.output_text.delta", output_index: 0, content_index: 0, item_id: "msg_1", delta: "so" },
      { type: "response.completed", response: { status: "completed", output: [] } },
    ]);
    const body = { model: "fakeresp/gpt-x", messages: [user("x")], stream: true, rhone: { context_mode } };
    const { events, callId } = await send("/v1/chat/completions", body);
    expect(events.length).toBeGreaterThan(1);
    for (const event of events) expect(event).toMatchObject({ id: callId, model: "gpt-x" });
  });
});

describe.each(MODES)("citations that arrive when their text has ended, %s", (context_mode) => {
  it("citations that arrive when their text has ended are a loss of a stream of Anthropic, and of no other", async () => {
    const annotations = [
      { type: "url_citation", url_citation: { url: "https://a.test", title: "a", start_index: 0, end_index: 2 } },
    ];
    const answer = [
      chunk({ content: "so" }),
      chunk(call(0, { name: "look", arguments: "{}" }, "a")),
      chunk({ annotations }),
      chunk({}, "tool_calls"),
      "[DONE]",
    ];
    const model = "fake/kimi";
    const isLost = async (path: string, body: object): Promise<boolean> => {
      script(answer);
      const { callId } = await send(path, { ...body, model, stream: true, rhone: { context_mode } });
      await expect.poll(async () => (await get(`/v1/calls/${callId}`)).status).toBe("completed");
      return JSON.stringify((await get(`/v1/calls/${callId}`)).losses ?? "").includes("output.citations");
    };
    expect(await isLost("/v1/messages", { messages: [user("x")], max_tokens: 9 })).toBe(true);
    expect(await isLost("/v1/responses", { input: "x" })).toBe(false);
  });
});

describe.each(MODES)("citations that a surface cannot represent, %s", (context_mode) => {
  const annotations = [{ type: "file_citation", file_id: "f", filename: "a.txt", index: 1 }];
  const content = [{ type: "output_text", text: "so", annotations }];
  const item = { type: "message", id: "msg_1", role: "assistant", content };
  const answer = { id: "resp_1", model: "gpt-x", status: "completed", output: [item] };
  const contents = [{ role: "user", parts: [{ text: "x" }] }];

  it.each<[string, (stream: boolean) => string, object]>([
    ["chat", () => "/v1/chat/completions", { model: "fakeresp/gpt-x", messages: [user("x")] }],
    ["messages", () => "/v1/messages", { model: "fakeresp/gpt-x", messages: [user("x")], max_tokens: 9 }],
    [
      "gemini",
      (stream) => `/v1beta/models/fakeresp/gpt-x:${stream ? "streamGenerateContent?alt=sse" : "generateContent"}`,
      { contents },
    ],
  ])("citations that a surface cannot represent are a loss of %s, streamed and whole", async (_, pathOf, body) => {
    for (const stream of [true, false]) {
      script([
        { type: "response.created", response: { ...answer, status: "in_progress", output: [] } },
        { type: "response.output_item.added", output_index: 0, item: { ...item, content: [] } },
        { type: "response.output_text.delta", output_index: 0, content_index: 0, item_id: "msg_1", delta: "so" },
        { type: "response.output_item.done", output_index: 0, item },
        { type: "response.completed", response: answer },
      ]);
      const { text, callId } = await send(pathOf(stream), { ...body, stream, rhone: { context_mode } });
      const lost = expect.arrayContaining([expect.objectContaining({ at: "output.citations", what: "dropped" })]);
      expect(text).toContain("cites sources with a URL only");
      await expect.poll(async () => (await get(`/v1/calls/${callId}`)).losses).toEqual(lost);
    }
  });
});

describe.each(MODES)("a stream that another provider goes on with, %s", (context_mode) => {
  it.each([
    ["chat", "/v1/chat/completions", { messages: [user("x")] }],
    ["responses", "/v1/responses", { input: "x" }],
    ["messages", "/v1/messages", { messages: [user("x")], max_tokens: 9 }],
  ])(
    "a stream that another provider goes on with has the citations of the second answer at %s",
    async (surface, path, body) => {
      const url_citation = { url: "https://a.test", title: "a", start_index: 5, end_index: 9 };
      const second = [
        chunk({ content: "so, Rome." }),
        chunk({ annotations: [{ type: "url_citation", url_citation }] }),
        chunk({}, "stop"),
        "[DONE]",
      ];
      const streams = [[chunk({ content: "s" })], second];
      vi.spyOn(globalThis, "fetch").mockImplementation(async () => {
        const sse = streams
          .shift()!
          .map((data) => `data: ${typeof data === "string" ? data : JSON.stringify(data)}\n\n`);
        return new Response(sse.join(""), { headers: { "content-type": "text/event-stream" } });
      });
      const name = `kimi.cited-${surface}-${context_mode}`;
      const routing = { fallbacks: [`fake/${name}-2`], midstream: "continue" };
      const model = `fake/${name}`;
      const { text, callId } = await send(path, { ...body, model, stream: true, rhone: { context_mode, routing } });
      expect(text).toContain("https://a.test");
      await expect.poll(async () => (await get(`/v1/calls/${callId}`)).status).toBe("completed");
      const losses = JSON.stringify((await get(`/v1/calls/${callId}`)).losses ?? []);
      expect(losses.includes("approximated")).toBe(surface === "messages");
    },
  );
});

describe.each(MODES)("an answer whose provider left out its start, %s", (context_mode) => {
  const item = { type: "message", id: "msg_1", role: "assistant", content: [] };
  const WIRES: [string, object[]][] = [
    [
      "fakeresp/gpt-x",
      [
        { type: "response.output_item.added", output_index: 0, item },
        { type: "response.output_text.delta", output_index: 0, content_index: 0, item_id: "msg_1", delta: "so" },
        { type: "response.completed", response: { status: "completed", output: [] } },
      ],
    ],
    [
      "fakeanth/gpt-x",
      [
        { type: "content_block_delta", index: 0, delta: { type: "text_delta", text: "so" } },
        { type: "message_delta", delta: { stop_reason: "end_turn" }, usage: { output_tokens: 1 } },
        { type: "message_stop" },
      ],
    ],
  ];
  type Shown = { message?: Event; response?: Event & { id: string }; responseId?: string; modelVersion?: string };

  it.each(WIRES)("an answer without its start has one id and the model on every surface: %s", async (model, events) => {
    const rhone = { context_mode };
    const ask = async (path: string, body: object): Promise<{ events: (Event & Shown)[]; callId: string }> => {
      script(events);
      return await send(path, { ...body, model, stream: true, rhone });
    };
    if (!model.startsWith("fakeanth")) {
      const { events: sent } = await ask("/v1/messages", { messages: [user("x")], max_tokens: 9 });
      expect(sent[0]).toMatchObject({
        type: "message_start",
        message: { model: "gpt-x", id: expect.stringMatching(/^msg_./) },
      });
    }
    const gemini = await ask(`/v1beta/models/${model}:streamGenerateContent?alt=sse`, {
      contents: [{ role: "user", parts: [{ text: "x" }] }],
    });
    for (const event of gemini.events)
      expect(event).toMatchObject({ responseId: gemini.callId, modelVersion: "gpt-x" });
    const responses = await ask("/v1/responses", { input: "x" });
    expect(responses.events.filter(({ type }) => type === "response.created")).toHaveLength(1);
    expect(responses.events[0]).toMatchObject({ type: "response.created", response: { model: "gpt-x" } });
    expect(new Set(responses.events.flatMap(({ response }) => response?.id ?? [])).size).toBe(1);
    const { callId } = gemini;
    await expect.poll(async () => (await get(`/v1/calls/${callId}`)).status).toBe("completed");
    expect(await get(`/v1/calls/${callId}`)).toMatchObject({ id: callId, model: "gpt-x" });
  });
});

describe.each(MODES)("a host that gives all of its answers one id, %s", (context_mode) => {
  const body = { model: "fake/say", max_tokens: 9, rhone: { context_mode } };
  it.each([
    ["/v1/messages", { ...body, messages: [user("x")] }],
    ["/v1/responses", { ...body, input: "x", store: false }],
    ["/v1beta/models/fake%2Fsay:generateContent", { contents: [{ role: "user", parts: [{ text: "x" }] }] }],
  ])("translated answers have ids of their own, whole and streamed: %s", async (path, sent) => {
    const ids: string[] = [];
    for (const stream of [false, true, false, true]) {
      const at = stream ? path.replace(":generateContent", ":streamGenerateContent?alt=sse") : path;
      const answer = at === path ? { ...sent, ...("model" in sent && { stream }) } : sent;
      const { text } = await send(at, answer);
      ids.push(/"(?:id|responseId)":"((?:msg_|resp_|call_)[^"]*)"/.exec(text)![1]!);
    }
    expect(new Set(ids).size, ids.join()).toBe(4);
  });
});
