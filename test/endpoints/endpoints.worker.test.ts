import { createHash } from "node:crypto";
import { describe, expect, it } from "vitest";
import { noise } from "../fake/endpoints.ts";
import { errorOf, eventsOf, get, request } from "../support/worker/client.ts";
import { asked, mirrored, recordOf, type Said, send, VERSION, WORDS } from "../support/worker/endpoint-client.ts";

describe("a request that is relayed", () => {
  it.each([
    ["/v1/embeddings", "/v1/embeddings", '"input":"x"'],
    ["/v1/completions", "/v1/completions", '"prompt":"x"'],
    ["/v1/images/generations", "/v1/images/generations", '"prompt":"x"'],
    ["/v1/images/edits", "/v1/images/edits", '"prompt":"x","images":[{"image_url":"https://x.test/i.png"}]'],
    ["/v1/audio/speech", "/v1/audio/speech", '"input":"x","voice":"alloy"'],
    ["/v1/moderations", "/v1/moderations", '"input":[{"type":"text","text":"x"}]'],
    ["/v1/compat/openai/embeddings", "/v1/embeddings", '"input":"x"'],
  ])(
    "a relayed request has every byte of the caller's except for the model's name and `rhone`: %s",
    async (path, below, member) => {
      const body = `{ "rhone":{"metadata":{"a":"b"}},\n"model":"oai/mirror" , "big":12345678901234567890,${member},"vendor":{"model":"\\u00e9"}}`;
      const sent = await mirrored(path, body, { cookie: "a=1", "x-forwarded-for": "1.2.3.4" });
      expect(sent.raw).toBe(`{ "model":"mirror" , "big":12345678901234567890,${member},"vendor":{"model":"\\u00e9"}}`);
      expect(sent.path).toBe(below.replace(/^\/v1/, ""));
      expect(sent.headers).toMatchObject({ authorization: "Bearer fake-key", "accept-encoding": "identity" });
      expect(JSON.stringify(sent.headers)).not.toMatch(/a=1|rhone_sk|1\.2\.3\.4/);
    },
  );

  it("a relayed answer has the provider's own bytes, and headers that name the provider", async () => {
    const response = await send("/v1/moderations", { model: "oai/m", input: "x" });
    expect(await response.text()).toBe(
      '{ "id": "modr-1", "model": "m", "results": [{"flagged": false, "score": 1.00}] }',
    );
    expect(response.headers.has("set-cookie")).toBe(false);
    expect(Object.fromEntries(response.headers)).toMatchObject({
      "x-request-id": "req_endpoint",
      "x-rhone-provider": "oai",
      "x-rhone-model": "m",
      "content-type": "application/json",
    });
  });

  it("megabytes of sound are relayed as they are", async () => {
    const response = await send("/v1/audio/speech", { model: "oai/sound-3000000", input: "Hello", voice: "alloy" });
    expect(response.headers.get("content-type")).toBe("audio/mpeg");
    expect(digest(new Uint8Array(await response.arrayBuffer()))).toBe(digest(noise(3_000_000)));
    expect(await recordOf(response)).toMatchObject({ surface: "audio.speech", status: "completed", provider: "oai" });
  });

  it.each([
    ["/v1/audio/speech", { input: "x", stream_format: "sse" }, { fresh: 3, output: 9 }],
    ["/v1/images/generations", { prompt: "x", stream: true }, { fresh: 14, output: 272 }],
    ["/v1/completions", { prompt: "x", stream: true }, { fresh: 2, output: 1 }],
  ])("a relayed stream arrives without an error, and its usage is counted: %s", async (path, body, usage) => {
    const response = await send(path, { model: "oai/say", ...body });
    expect(response.headers.get("content-type")).toBe("text/event-stream");
    expect((await eventsOf(response)).join("")).not.toContain("error");
    expect(await recordOf(response)).toMatchObject({ usage, stream: true });
  });

  it("a relayed stream that ends before the answer is finished ends with an error", async () => {
    const response = await send("/v1/completions", { model: "oai/cut", prompt: "x", stream: true });
    const events = await eventsOf(response);
    expect(JSON.parse(events.at(-1)!)).toMatchObject({ error: { code: "stream.interrupted" } });
    expect(await recordOf(response, "incomplete")).toMatchObject({ error: { code: "stream.interrupted" } });
  });

  it("a relayed stream ends with an error, which is recorded, if the provider's connection breaks", async () => {
    const stream = await send("/v1/completions", { model: "oai/reset", prompt: "x", stream: true });
    expect((await eventsOf(stream)).at(-1)).toContain("stream.interrupted");
    expect(await recordOf(stream, "incomplete")).toMatchObject({ error: { code: "stream.interrupted" } });
  });

  it("a relayed call is recorded as completed if its client has left", async () => {
    const response = await send("/v1/audio/speech", { model: "oai/sound-3000000", input: "Hello" });
    const reader = response.body!.getReader();
    await reader.read();
    await reader.cancel();
    expect(await recordOf(response)).toMatchObject({ status: "completed" });
  });

  it.each([
    ["cancel", "interrupted"],
    ["complete", "completed"],
  ])("a relayed stream whose client leaves ends as the client chose: %s", async (on_disconnect, status) => {
    const body = { model: "oai/slow", prompt: "x", stream: true, rhone: { on_disconnect } };
    const response = await send("/v1/completions", body);
    const reader = response.body!.getReader();
    await reader.read();
    await reader.cancel();
    expect(await recordOf(response, status)).toMatchObject({ status });
  });

  it("a relayed request is recorded as a call and a run, with its usage and metadata", async () => {
    const response = await send("/v1/embeddings", {
      model: "demo",
      input: "one two",
      rhone: { metadata: { team: "a" } },
    });
    await response.text();
    const record = await recordOf(response);
    expect(record).toMatchObject({
      surface: "embeddings",
      context_mode: "stateless",
      model_asked: "demo",
      usage: { fresh: 2, output: 0 },
      metadata: { team: "a" },
      session_id: response.headers.get("x-rhone-session-id"),
    });
    expect(record).not.toHaveProperty("turn_id");
    expect(await get(`/v1/runs/${record.run_id as string}`)).toMatchObject({ calls: [{ id: record.id }] });
  });

  it("a relayed call is recorded under the session that it names, and refused if that does not exist", async () => {
    const first = await send("/v1/embeddings", { model: "demo", input: "x" });
    await recordOf(first);
    const session_id = first.headers.get("x-rhone-session-id")!;
    const second = await send("/v1/embeddings", { model: "demo", input: "y" }, { "x-rhone-session-id": session_id });
    expect(await recordOf(second)).toMatchObject({ session_id });
    const { data } = (await get(`/v1/sessions/${session_id}/timeline`)) as { data: Said[] };
    expect(data).toHaveLength(2);
    const none = await send("/v1/embeddings", { model: "demo", input: "y", rhone: { session_id: "sess_typo" } });
    expect([none.status, (await errorOf(none)).code]).toEqual([404, "session.not_found"]);
  });

  it("a provider's refusal of a relayed request has its own status, code and message", async () => {
    const response = await send("/v1/images/generations", { model: "oai/refuse", prompt: "x" });
    expect([response.status, await response.text()]).toEqual([
      404,
      '{"error": {"message": "no such model", "type": "odd", "param": "model", "code": "nope"}}',
    ]);
    expect(await recordOf(response, "failed")).toMatchObject({ error: { message: "no such model", status: 404 } });
  });
});

describe("a form", () => {
  const BOUNDARY = "----form7";
  const field = (name: string, value: string): string =>
    `--${BOUNDARY}\r\nContent-Disposition: form-data; name="${name}"\r\n\r\n${value}\r\n`;
  const file = (bytes: Uint8Array): Uint8Array =>
    Buffer.concat([
      Buffer.from(
        `--${BOUNDARY}\r\nContent-Disposition: form-data; name="file"; filename="a.wav"\r\nContent-Type: audio/wav\r\n\r\n`,
      ),
      bytes,
      Buffer.from("\r\n"),
    ]);
  const END = `--${BOUNDARY}--\r\n`;
  const formOf = (...parts: (string | Uint8Array)[]): Buffer =>
    Buffer.concat([...parts, END].map((part) => Buffer.from(part as Uint8Array)));
  const upload = (path: string, body: BodyInit, headers: Record<string, string> = {}): Promise<Response> =>
    request(path, {
      method: "POST",
      body,
      headers: { "content-type": `multipart/form-data; boundary=${BOUNDARY}`, ...headers },
    });
  const big = noise(6_000_000);

  it.each([
    ["first", (model: string) => formOf(field("model", model), file(big))],
    ["behind the file, as the Node SDK writes it", (model: string) => formOf(file(big), field("model", model))],
  ])("a form arrives byte for byte except for its model's name, which is %s", async (_, form) => {
    const response = await upload("/v1/audio/transcriptions", form("oai/whisper-1"));
    const told = (await response.json()) as Said;
    expect(response.status).toBe(200);
    expect(told).toMatchObject({
      path: "/v1/audio/transcriptions",
      model: "whisper-1",
      sha256: digest(form("whisper-1")),
      authorization: "Bearer fake-key",
    });
    expect(await recordOf(response)).toMatchObject({
      surface: "audio.transcriptions",
      usage: { fresh: 37, output: 12 },
    });
  });

  it("the memory that a form holds is released however its call ends", async () => {
    // Each holds 24 MiB, and an isolate no more than 64 at a time.
    const file24 = file(new Uint8Array(24 * 1024 * 1024));
    for (const model of ["oai/say", "oai/refuse", "nobody-knows-this", "oai/say", "oai/say"]) {
      const response = await upload("/v1/audio/transcriptions", formOf(file24, field("model", model)));
      expect([model, response.status]).toEqual([model, model === "oai/say" ? 200 : 404]);
      await response.text();
    }
  });

  it("a form is sent with its length, which some providers require", async () => {
    const form = formOf(field("model", "oai/whisper-1"), file(noise(1000)));
    const response = await upload("/v1/audio/translations", form, { "content-length": String(form.length) });
    expect(await response.json()).toMatchObject({ length: String(form.length - "oai/".length) });
  });

  it.each([
    ["x-rhone-model", "/v1/images/variations", { "x-rhone-model": "oai/dall-e-2" }],
    ["?model=", "/v1/images/edits?model=oai/dall-e-2", {}],
  ])("a form is not parsed if its model is given beside it: %s", async (_, path, headers) => {
    const form = formOf(file(noise(100_000)), field("model", "dall-e-2"));
    const response = await upload(path, form, headers);
    expect(await response.json()).toMatchObject({ model: "dall-e-2", sha256: digest(form) });
    expect(response.headers.get("x-rhone-provider")).toBe("oai");
  });

  it("a form is answered with a stream if the provider streams", async () => {
    const response = await upload(
      "/v1/audio/transcriptions",
      formOf(field("model", "oai/say"), field("stream", "true")),
    );
    expect(await response.text()).toMatch(/^data: .*"Ruby".*\r\n\r\n[^]*data: \[DONE\]\r\n\r\n$/);
    expect(await recordOf(response)).toMatchObject({ stream: true, usage: { fresh: 37, output: 12 } });
    const cut = await upload("/v1/audio/transcriptions", formOf(field("model", "oai/cut"), field("stream", "true")));
    expect(await cut.text()).toContain("stream.interrupted");
  });

  it.each([
    ["no boundary", "content-type", { "content-type": "multipart/form-data" }, () => "x"],
    ["no form", "content-type", { "content-type": "application/json" }, () => "{}"],
    ["no model", "model", {}, () => formOf(file(noise(10)))],
    ["an unknown model", "model", {}, () => formOf(field("model", "nobody-knows-this"))],
    ["a provider without", "model", {}, () => formOf(field("model", "ant/claude-x"))],
  ])("a form is refused with the name of the field that is wrong: %s", async (_, param, headers, body) => {
    const response = await upload("/v1/audio/transcriptions", body() as BodyInit, headers);
    expect([response.status >= 400 && response.status < 500, (await errorOf(response)).param]).toEqual([true, param]);
  });
});

describe("legacy completions", () => {
  const body = { prompt: "My name is Alice.", max_tokens: 3 };

  it("legacy completions are answered by models that only chat, whole and streamed", async () => {
    const whole = await asked("/v1/completions", { model: "demo", ...body });
    expect(whole).toMatchObject({
      object: "text_completion",
      choices: [{ text: "I will remember", index: 0, logprobs: null, finish_reason: "length" }],
      usage: { prompt_tokens: 4, completion_tokens: 3, total_tokens: 7 },
    });
    expect(whole.id).toMatch(/^cmpl-/);
    const response = await send("/v1/completions", { model: "demo", ...body, stream: true });
    const events = await eventsOf(response);
    expect(events.at(-1)).toBe("[DONE]");
    const choices = events.slice(0, -1).map((data) => (JSON.parse(data!) as { choices: Said[] }).choices[0]!);
    expect(choices.map(({ text }) => text).join("")).toBe("I will remember");
    expect(choices.at(-1)).toMatchObject({ finish_reason: "length" });
    expect(await recordOf(response)).toMatchObject({ surface: "completions", turn_id: expect.any(String) as string });
  });

  it.each([{ n: 2 }, { echo: true }, { best_of: 2 }, { suffix: "x" }, { logprobs: 1 }])(
    "a legacy completion is refused if no chat can answer it: %j",
    async (member) => {
      const response = await send("/v1/completions", { model: "demo", ...body, ...member });
      expect([response.status, (await errorOf(response)).param]).toEqual([422, Object.keys(member)[0]]);
    },
  );
});

describe("bad input", () => {
  it.each([
    ["/v1/embeddings", { input: "x" }, "model"],
    ["/v1/embeddings", { model: "demo" }, "input"],
    ["/v1/embeddings", { model: "demo", input: [] }, "input"],
    ["/v1/embeddings", { model: "demo", input: "" }, "input"],
    ["/v1/embeddings", { model: "demo", input: [1, "x"] }, "input"],
    ["/v1/embeddings", { model: 7, input: "x" }, "model"],
    ["/v1/embeddings", { model: "demo", input: "x", dimensions: 0 }, "dimensions"],
    ["/v1/embeddings", { model: "demo", input: "x", encoding_format: "int8" }, "encoding_format"],
    ["/v1/embeddings", { model: "demo", input: "x", rhone: { sesion_id: "x" } }, "rhone.sesion_id"],
    ["/v1/embeddings", [], "body"],
    ["/v1/embeddings", "{nonsense", "body"],
    ["/v1/completions", { model: "demo" }, "prompt"],
    ["/v1/completions", { model: "demo", prompt: [] }, "prompt"],
    ["/v1/images/generations", { model: "oai/x" }, "prompt"],
    ["/v1/audio/speech", { model: "oai/x" }, "input"],
    ["/v1/moderations", { model: "oai/x", input: [] }, "input"],
    ["/v1/responses/input_tokens", { input: "x" }, "model"],
    ["/v1/responses/input_tokens", { model: "demo", input: [] }, "input"],
  ])("the error of bad input names its field in OpenAI's shape: %s %j", async (path, body, param) => {
    const response = await send(path, body);
    expect(response.status).toBe(400);
    expect(await errorOf(response)).toMatchObject({ type: "invalid_request_error", param, code: "request.invalid" });
  });

  it("the error of bad input has Anthropic's and Gemini's shape for their clients", async () => {
    const anthropic = await send("/v1/messages/count_tokens", { model: "demo" }, VERSION);
    expect([anthropic.status, await anthropic.json()]).toMatchObject([
      400,
      {
        type: "error",
        error: { type: "invalid_request_error", message: expect.stringContaining("messages") as string },
      },
    ]);
    const unversioned = await send("/v1/messages/count_tokens", { model: "demo", messages: WORDS });
    expect(unversioned.status).toBe(400);
    for (const [method, body] of [
      ["embedContent", {}],
      ["batchEmbedContents", { requests: [] }],
      ["countTokens", {}],
    ] as const) {
      const response = await send(`/v1beta/models/demo:${method}`, body);
      expect([response.status, await response.json()]).toMatchObject([400, { error: { status: "INVALID_ARGUMENT" } }]);
    }
  });

  it("an unknown model is not found, and an endpoint that a provider lacks is refused", async () => {
    const unknown = await send("/v1/embeddings", { model: "nobody-knows-this", input: "x" });
    expect([unknown.status, (await errorOf(unknown)).code]).toEqual([404, "model.not_found"]);
    for (const [path, body] of [
      ["/v1/embeddings", { model: "ant/claude", input: "x" }],
      ["/v1/audio/speech", { model: "demo", input: "x" }],
      ["/v1/images/generations", { model: "gem/x", prompt: "x" }],
    ] as const) {
      const response = await send(path, body);
      expect([path, response.status, (await errorOf(response)).param]).toEqual([path, 422, "model"]);
    }
  });

  it("a body above 32 MiB is refused as too large", async () => {
    const body = `{"model":"demo","input":"${"x".repeat(33 * 1024 * 1024)}"}`;
    const response = await send("/v1/embeddings", body);
    expect([response.status, (await errorOf(response)).code]).toEqual([413, "request.too_large"]);
  });

  it("every endpoint needs a key", async () => {
    for (const path of ["/v1/embeddings", "/v1/audio/transcriptions", "/v1/messages/count_tokens"])
      expect([path, (await request(path, { method: "POST", body: "{}", key: null })).status]).toEqual([path, 401]);
  });
});

it("every endpoint is in the OpenAPI document", async () => {
  const { paths } = (await get("/openapi.json")) as { paths: Said };
  expect(Object.keys(paths)).toEqual(
    expect.arrayContaining([
      "/v1/completions",
      "/v1/embeddings",
      ...["generations", "edits", "variations"].map((name) => `/v1/images/${name}`),
      ...["speech", "transcriptions", "translations"].map((name) => `/v1/audio/${name}`),
      "/v1/moderations",
      ...["embedContent", "batchEmbedContents", "countTokens"].map((name) => `/v1beta/models/{model}:${name}`),
      "/v1/messages/count_tokens",
      "/v1/responses/input_tokens",
    ]),
  );
});

const digest = (bytes: Uint8Array): string => createHash("sha256").update(bytes).digest("hex");
