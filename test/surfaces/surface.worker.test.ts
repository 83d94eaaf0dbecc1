import { describe, expect, it } from "vitest";
import { decodeUtf8 } from "../../src/wire/bytes.ts";
import { decodeSse } from "../../src/wire/sse.ts";
import { eventsOf, get, KEY, post, request, user } from "../support/worker/client.ts";

const say = { model: "fake/say", messages: [user("x")] };
const stateless = { rhone: { context_mode: "stateless" } };
const exact = { "x-rhone-annotate": "headers" };
const modes = [
  ["stateful", {}],
  ["stateless", stateless],
] as const;

describe.each(modes)("a %s call", (_, mode) => {
  it("an answer has the provider's bytes, whole and streamed, when nothing may be added", async () => {
    const whole = await post({ ...say, ...mode }, exact);
    expect(await whole.text()).toContain('"vendor": 12345678901234567890}, "finish_reason": "stop"}],\n  "usage"');
    const stream = await post({ ...say, ...mode, stream: true }, exact);
    expect(stream.headers.get("content-type")).toContain("text/event-stream");
    const events = decodeSse(new Uint8Array(await stream.arrayBuffer()));
    expect(events).toHaveLength(5);
    expect(decodeUtf8(events[1]!.raw)).toBe(
      'data: {"id":"chatcmpl-fake","object":"chat.completion.chunk","created":1750000000,"model":"fake-model-1","choices":[{"index":0,"delta":{"content":"Said say."},"finish_reason":null}]}\n\n',
    );
    expect(events.at(-1)!.data).toBe("[DONE]");
  });

  it("unknown members are sent to the provider, and the gateway's own are not", async () => {
    const body =
      '{ "rhone":{"context_mode":"MODE"},\n"model":"fake/mirror" , "big":12345678901234567890,"messages":[{"role":"user","content":"\\u00e9"}],"vendor":{"model":"x"}, "big":1}';
    const contextMode = "rhone" in mode ? "stateless" : "stateful";
    const answer = (await (await post(body.replace("MODE", contextMode))).json()) as {
      choices: [{ message: { content: string } }];
    };
    expect(answer.choices[0].message.content).toBe(
      '{ "model":"mirror" , "big":12345678901234567890,"messages":[{"role":"user","content":"\\u00e9"}],"vendor":{"model":"x"}, "big":1}',
    );
  });

  it("the provider gets its own credential and no other", async () => {
    const headers = {
      cookie: "a=1",
      "x-api-key": "leak",
      "openai-organization": "org",
      "anthropic-beta": "b",
      "x-forwarded-for": "1.2.3.4",
    };
    const answer = await post({ ...say, ...mode, model: "fake/headers" }, headers);
    const { choices } = (await answer.json()) as { choices: [{ message: { content: string } }] };
    const sent = JSON.parse(choices[0].message.content) as Record<string, string>;
    expect(sent).toMatchObject({
      authorization: "Bearer fake-key",
      "accept-encoding": "identity",
      "content-type": "application/json",
    });
    expect(JSON.stringify(sent)).not.toMatch(/leak|a=1|rhone_sk|1\.2\.3\.4/);
    expect(sent).not.toHaveProperty("anthropic-beta");
    expect(answer.headers.has("set-cookie")).toBe(false);
    expect(answer.headers.get("x-request-id")).toBe("req_fake");
  });

  it.each([
    ["refuse", 400, "max_tokens is too large", "too_large"],
    ["flat", 422, "Flat refusal", "3051"],
    ["limited", 429, "Slow down", "rate_limit"],
    ["broken", 500, "Internal trouble", "provider.execution_failed"],
    ["garbage", 502, "not JSON", "provider.execution_failed"],
    ["cut", 502, "not a valid chat completion", "provider.execution_failed"],
    ["redirect", 502, "status 302", "provider.execution_failed"],
  ])("an error of the provider is reported: %s", async (script, status, message, code) => {
    const response = await post({ ...say, ...mode, model: `fake/${script}` });
    const { error } = (await response.json()) as { error: { message: string; code: string | null } };
    expect([response.status, error.message]).toEqual([status, expect.stringContaining(message)]);
    expect(error.code ?? code).toBe(code);
    expect(response.headers.get("x-rhone-call-id")).toMatch(/^call_/);
    if (script === "limited") expect(response.headers.get("retry-after")).toBe("7");
  });

  it.each([
    ["cut", "stream.interrupted"],
    ["reset", "stream.interrupted"],
    ["empty", "stream.interrupted"],
    ["notjson", "stream.interrupted"],
    ["failing", "overloaded"],
  ])("a broken stream never becomes an answer: %s", async (script, code) => {
    const response = await post({ ...say, ...mode, model: `fake/${script}`, stream: true });
    const events = await eventsOf(response);
    expect(events).not.toContain("[DONE]");
    expect(events.filter((data) => data?.includes('"error"'))).toHaveLength(1);
    expect(JSON.parse(events.at(-1)!)).toMatchObject({ error: { code } });
    const callId = response.headers.get("x-rhone-call-id")!;
    await expect
      .poll(async () => (await get(`/v1/calls/${callId}`)).status)
      .toBe(code === "stream.interrupted" ? "incomplete" : "failed");
  });

  it("a stream without [DONE] is whole when the provider finished it, and the gateway adds [DONE]", async () => {
    const events = await eventsOf(await post({ ...say, ...mode, model: "fake/nodone", stream: true }));
    expect(events).toEqual([expect.any(String), expect.stringContaining('"finish_reason":"stop"'), "[DONE]"]);
  });

  it("a stream is not held back while it is recorded", async () => {
    const started = Date.now();
    const response = await post({ ...say, ...mode, model: "fake/slow", stream: true }, exact);
    const reader = response.body!.getReader();
    const first = decodeUtf8((await reader.read()).value as Uint8Array);
    const afterFirst = Date.now() - started;
    let rest = "";
    for (let read = await reader.read(); !read.done; read = await reader.read())
      rest += decodeUtf8(read.value as Uint8Array);
    // Six pauses of 150 ms: the first event must not wait for the others.
    expect(afterFirst).toBeLessThan((Date.now() - started) / 2);
    expect([first.includes("One "), rest.includes("three.")]).toEqual([true, true]);
  });

  it("the first event of a stream has the ids of its session and call", async () => {
    const response = await post({ ...say, ...mode, stream: true });
    const [first] = await eventsOf(response);
    expect((JSON.parse(first!) as { rhone: object }).rhone).toMatchObject({
      session_id: response.headers.get("x-rhone-session-id"),
      call_id: response.headers.get("x-rhone-call-id"),
    });
  });

  it("a stream of a hundred thousand chunks arrives whole", { timeout: 60_000 }, async () => {
    const response = await post({ ...say, ...mode, model: "fake/long-100000", stream: true }, exact);
    let size = 0;
    let tail = "";
    for await (const chunk of response.body!) {
      size += chunk.length;
      tail = (tail + decodeUtf8(chunk)).slice(-40);
    }
    expect(tail).toContain("data: [DONE]\n\n");
    expect(size).toBeGreaterThan(15_000_000);
  });
});

describe("a stateful stream", () => {
  it("the last event of a stateful stream that has room for it has its context and routing", async () => {
    const events = await eventsOf(await post({ ...say, stream: true }));
    const { rhone, usage } = JSON.parse(events.at(-2)!) as { rhone: object; usage: object };
    expect(usage).toBeDefined();
    expect(rhone).toMatchObject({
      context: { mode: "stateful", turns: 0 },
      routing: { model: "fake-model-1", provider: "fake", attempts: 1 },
    });
  });
});

describe("token counts of a stream", () => {
  const stream = { model: "counted/mirror", messages: [user("x")], stream: true };
  const heard = async (
    body: object,
    headers = {},
  ): Promise<{ text: string; usages: number; rhone: unknown; callId: string }> => {
    const response = await post(body, headers);
    const chunks = (await eventsOf(response)).flatMap((data) =>
      data === undefined || data === "[DONE]"
        ? []
        : [JSON.parse(data) as { choices: { delta: { content?: string } }[]; usage?: object; rhone?: object }],
    );
    return {
      text: chunks.map(({ choices }) => choices[0]?.delta.content ?? "").join(""),
      usages: chunks.filter(({ usage }) => usage !== undefined).length,
      rhone: chunks.at(-1)?.rhone,
      callId: response.headers.get("x-rhone-call-id")!,
    };
  };

  it("token counts of a stream are requested and recorded, and hidden from a client that did not request them", async () => {
    const { text, usages, rhone, callId } = await heard(stream);
    expect(JSON.parse(text)).toMatchObject({ stream_options: { include_usage: true } });
    expect([usages, rhone]).toEqual([0, expect.objectContaining({ call_id: callId })]);
    expect(await get(`/v1/calls/${callId}`)).toMatchObject({ usage: { fresh: 8, cache_read: 4, output: 5 } });
  });

  it("token counts of a stream are sent on request, and nothing is added to a stream that is to stay as it is", async () => {
    expect((await heard({ ...stream, stream_options: { include_usage: true } })).usages).toBe(1);
    const untouched = await heard(stream, exact);
    expect(JSON.parse(untouched.text)).not.toHaveProperty("stream_options");
  });
});

describe("a structured answer of another wire", () => {
  const schema = { type: "object", properties: { a: { type: "integer" } }, required: ["a"] };
  const response_format = { type: "json_schema", json_schema: { name: "x", schema } };

  it("a structured answer is checked against the caller's own schema, and a mismatch is reported", async () => {
    const response = await post({ model: "fakeanth/say", messages: [user("x")], response_format });
    const text = await response.text();
    expect(response.status, text).toBe(200);
    const { rhone } = JSON.parse(text) as { rhone: { losses: { at: string; why: string }[] } };
    expect(rhone.losses).toContainEqual({
      at: "format",
      what: "approximated",
      why: expect.stringContaining("not JSON"),
    });
  });
});

describe("admission", () => {
  it("admission comes before everything, on every path but two", async () => {
    for (const path of [
      "/v1/chat/completions",
      "/v1/models",
      "/v1/sessions/sess_x",
      "/v1/nothing",
      "/",
      "/v1/sessions/%2e%2e/x",
      "/HEALTHZ",
    ]) {
      const response = await request(path, { key: null });
      expect([path, [401, 404].includes(response.status)]).toEqual([path, true]);
      if (path.startsWith("/v1/chat") || path === "/v1/nothing") expect(response.status).toBe(401);
    }
    for (const path of ["/healthz", "//healthz", "/healthz/"])
      expect((await request(path, { key: null })).status).toBe(200);
    expect((await request("/openapi.json", { key: null })).status).toBe(200);
  });

  it.each([
    "wrong",
    "",
    "rhone_sk_tes",
    `${KEY}x`,
    "x".repeat(100_000),
    "' OR 1=1 --",
    "rhone_sk_\u0442est".normalize("NFKD").replace(/[^\x20-\x7e]/g, "?"),
  ])("the key %.20s is refused", async (key) => {
    const response = await request("/v1/models", { key });
    const { error } = (await response.json()) as { error: { code: string } };
    expect([response.status, error.code]).toEqual([401, key === "" ? "auth.missing" : "auth.invalid"]);
  });

  it("the key is accepted in the header of Anthropic's clients, too", async () => {
    expect((await request("/v1/models", { key: null, headers: { "x-api-key": KEY } })).status).toBe(200);
  });

  it.each([
    "/v1/sessions/..%2F..%2Fhealthz",
    "/v1%2Fkeys/..%2Fmodels",
    "/v1/models%00",
    "/v1/%252e%252e/healthz",
    "/v1/models%5c..",
    "/%",
  ])("a path that hides another one is not found: %s", async (path) => {
    const response = await request(path);
    expect(response.status).toBe(404);
  });

  it("the SDKs' mounts lead to the same routes", async () => {
    expect((await request("/v1/compat/openai/models")).status).toBe(200);
    expect((await request("/v1/compat/openai/models", { key: null })).status).toBe(401);
  });
});
