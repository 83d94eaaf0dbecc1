import { createHash, createHmac, createVerify, generateKeyPairSync } from "node:crypto";
import { describe, expect, it } from "vitest";
import { encodeFrame } from "../../src/providers/aws-event-stream.ts";
import { concatBytes, encodeUtf8 } from "../../src/wire/bytes.ts";
import { decodeSse } from "../../src/wire/sse.ts";
import { ask, network, type Said, withNetwork } from "../support/worker/network.ts";

/** Every provider's exact request. */
withNetwork();

const MESSAGES = [{ role: "user", content: "Hi" }];
const CHAT = {
  id: "c1",
  object: "chat.completion",
  created: 1,
  model: "some-model",
  choices: [{ index: 0, message: { role: "assistant", content: "Hello" }, finish_reason: "stop" }],
  usage: { prompt_tokens: 100, completion_tokens: 20, total_tokens: 120 },
};
const MESSAGE = {
  id: "msg_1",
  type: "message",
  role: "assistant",
  model: "claude-sonnet-4-5-20250929",
  content: [{ type: "text", text: "Hello" }],
  stop_reason: "end_turn",
  stop_sequence: null,
  usage: { input_tokens: 1000, output_tokens: 100 },
};
const GENERATED = {
  candidates: [{ content: { role: "model", parts: [{ text: "Hello" }] }, finishReason: "STOP", index: 0 }],
  usageMetadata: { promptTokenCount: 10, candidatesTokenCount: 5, totalTokenCount: 15 },
  modelVersion: "gemini-2.5-pro",
};
/** Anthropic's events of one short reply. */
const EVENTS = [
  {
    type: "message_start",
    message: { ...MESSAGE, content: [], stop_reason: null, usage: { input_tokens: 1000, output_tokens: 1 } },
  },
  { type: "content_block_start", index: 0, content_block: { type: "text", text: "" } },
  { type: "content_block_delta", index: 0, delta: { type: "text_delta", text: "Hello" } },
  { type: "content_block_stop", index: 0 },
  { type: "message_delta", delta: { stop_reason: "end_turn", stop_sequence: null }, usage: { output_tokens: 100 } },
  { type: "message_stop" },
];

const frame = (payload: object, headers: Record<string, string>): Uint8Array =>
  encodeFrame({ headers, payload: encodeUtf8(JSON.stringify(payload)) });
const chunk = (event: object): Uint8Array =>
  frame(
    { bytes: Buffer.from(JSON.stringify(event)).toString("base64"), p: "abc" },
    { ":event-type": "chunk", ":content-type": "application/json", ":message-type": "event" },
  );
const framed = (...frames: Uint8Array[]): Response =>
  new Response(concatBytes(frames), { headers: { "content-type": "application/vnd.amazon.eventstream" } });
const eventsIn = (text: string): (string | undefined)[] => decodeSse(encodeUtf8(text)).map(({ event }) => event);

describe("an OpenAI-compatible host", () => {
  it.each([
    ["groq", { GROQ_API_KEY: "k" }, "https://api.groq.com/openai/v1/chat/completions"],
    ["mistral", { MISTRAL_API_KEY: "k" }, "https://api.mistral.ai/v1/chat/completions"],
    ["deepseek", { DEEPSEEK_API_KEY: "k" }, "https://api.deepseek.com/v1/chat/completions"],
    ["together", { TOGETHER_API_KEY: "k" }, "https://api.together.xyz/v1/chat/completions"],
    ["fireworks", { FIREWORKS_API_KEY: "k" }, "https://api.fireworks.ai/inference/v1/chat/completions"],
    ["openrouter", { OPENROUTER_API_KEY: "k" }, "https://openrouter.ai/api/v1/chat/completions"],
    ["xai", { XAI_API_KEY: "k" }, "https://api.x.ai/v1/chat/completions"],
    ["moonshot", { MOONSHOT_API_KEY: "k" }, "https://api.moonshot.ai/v1/chat/completions"],
    ["cerebras", { CEREBRAS_API_KEY: "k" }, "https://api.cerebras.ai/v1/chat/completions"],
    ["perplexity", { PERPLEXITY_API_KEY: "k" }, "https://api.perplexity.ai/chat/completions"],
    ["nvidia", { NVIDIA_API_KEY: "k" }, "https://integrate.api.nvidia.com/v1/chat/completions"],
    ["vllm", { VLLM_API_KEY: "k", VLLM_BASE_URL: "http://vllm.test/v1" }, "http://vllm.test/v1/chat/completions"],
    ["custom", { CUSTOM_API_KEY: "k", CUSTOM_BASE_URL: "http://own.test/v1" }, "http://own.test/v1/chat/completions"],
    [
      "workers-ai",
      { WORKERS_AI_API_KEY: "k", WORKERS_AI_ACCOUNT_ID: "acc" },
      "https://api.cloudflare.com/client/v4/accounts/acc/ai/v1/chat/completions",
    ],
  ])("the host %s is called as its row says", async (id, settings, url) => {
    network.answers = () => Response.json(CHAT);
    const body = { model: `${id}/some-model`, messages: MESSAGES };
    const { status, text } = await ask(settings, "/v1/chat/completions", body);
    expect([status, text]).toEqual([200, expect.stringContaining("Hello")]);
    expect(network.sent).toHaveLength(1);
    expect(network.sent[0]).toMatchObject({ url, headers: { authorization: "Bearer k" } });
    expect(JSON.parse(network.sent[0]!.body)).toEqual({ model: "some-model", messages: MESSAGES });
  });

  it("a host whose owner set no key is called without one", async () => {
    network.answers = () => Response.json(CHAT);
    const settings = { OLLAMA_BASE_URL: "http://127.0.0.1:11434/v1" };
    await ask(settings, "/v1/chat/completions", { model: "ollama/llama3", messages: MESSAGES });
    expect(network.sent[0]!.url).toBe("http://127.0.0.1:11434/v1/chat/completions");
    expect(network.sent[0]!.headers).not.toHaveProperty("authorization");
  });

  it("a host gets only what it accepts, and the caller gets the losses", async () => {
    network.answers = () => Response.json(CHAT);
    const body = { model: "mistral-large-latest", max_tokens: 5, messages: MESSAGES, metadata: { user_id: "u" } };
    const { headers, json } = await ask({ MISTRAL_API_KEY: "k" }, "/v1/messages", body, {
      "anthropic-version": "2023-06-01",
    });
    expect(JSON.parse(network.sent[0]!.body)).toEqual({
      model: "mistral-large-latest",
      max_tokens: 5,
      messages: MESSAGES,
    });
    expect(headers.get("x-rhone-loss")).toBe("1");
    expect(json).toMatchObject({ rhone: { losses: [{ at: "user", what: "dropped" }] } });
    const seeded = {
      contents: "Hi",
      generationConfig: { seed: 7, responseMimeType: "application/json", responseSchema: { type: "OBJECT" } },
    };
    await ask({ MISTRAL_API_KEY: "k" }, "/v1beta/models/mistral-large-latest:streamGenerateContent", seeded);
    const asked = JSON.parse(network.sent[1]!.body) as object;
    expect(asked).toMatchObject({ random_seed: 7, stream: true });
    expect(Object.keys(asked)).not.toEqual(expect.arrayContaining(["stream_options"]));
    await ask({ DEEPSEEK_API_KEY: "k" }, "/v1beta/models/deepseek-chat:generateContent", seeded);
    expect(JSON.parse(network.sent[2]!.body)).toMatchObject({ response_format: { type: "json_object" } });
  });
});

it("Azure is called below its resource, with its own header", async () => {
  network.answers = () => Response.json(CHAT);
  const settings = { AZURE_API_KEY: "k", AZURE_BASE_URL: "https://res.openai.azure.com" };
  const { json } = await ask(settings, "/v1/chat/completions", { model: "azure/my-gpt", messages: MESSAGES });
  expect(network.sent[0]!.url).toBe("https://res.openai.azure.com/openai/v1/chat/completions");
  expect(network.sent[0]!.headers).toMatchObject({ "api-key": "k" });
  expect(network.sent[0]!.headers).not.toHaveProperty("authorization");
  expect(json).toMatchObject({ rhone: { routing: { provider: "azure", model: "some-model" } } });
});

it("the key is sent in the query if the provider's row says so", async () => {
  network.answers = () => Response.json(GENERATED);
  const row = { id: "g", dialect: "gemini", base_url: "http://g.test/v1beta", api_key: "a&b", auth: "query" };
  const settings = { RHONE_PROVIDERS: JSON.stringify([row]) };
  await ask(settings, "/v1beta/models/g%2Fgemini-x:generateContent", { contents: "Hi" });
  expect(network.sent[0]!.url).toBe("http://g.test/v1beta/models/gemini-x:generateContent?key=a%26b");
});

describe("vertex", () => {
  const { privateKey, publicKey } = generateKeyPairSync("rsa", { modulusLength: 2048 });
  const account = (email: string): string =>
    JSON.stringify({
      type: "service_account",
      project_id: "proj",
      private_key_id: "kid1",
      private_key: privateKey.export({ type: "pkcs8", format: "pem" }),
      client_email: email,
      token_uri: "https://oauth2.test/token",
    });
  const google = (answer: () => Response) => (request: Request) =>
    request.url === "https://oauth2.test/token"
      ? Response.json({ access_token: "ya29.token", expires_in: 3599, token_type: "Bearer" })
      : answer();
  const AT = "https://europe-west1-aiplatform.googleapis.com/v1/projects/proj/locations/europe-west1";

  it("a signed statement is exchanged for a token of Vertex, once for many calls", async () => {
    network.answers = google(() => Response.json(GENERATED));
    const settings = { VERTEX_API_KEY: account("one@proj.test"), VERTEX_LOCATION: "europe-west1" };
    const body = { contents: [{ role: "user", parts: [{ text: "Hi" }] }] };
    const call = (): Promise<Said> =>
      ask(settings, "/v1/publishers/google/models/vertex%2Fgemini-2.5-pro:generateContent", body);
    const all = await Promise.all([call(), call(), call()]);
    expect((await call()).status).toBe(200);
    expect(all.map(({ status }) => status)).toEqual([200, 200, 200]);
    const exchanges = network.sent.filter(({ url }) => url === "https://oauth2.test/token");
    expect(exchanges).toHaveLength(1);
    const form = new URLSearchParams(exchanges[0]!.body);
    expect(form.get("grant_type")).toBe("urn:ietf:params:oauth:grant-type:jwt-bearer");
    const [head, claims, signature] = form.get("assertion")!.split(".");
    const isSigned = createVerify("RSA-SHA256").update(`${head}.${claims}`).verify(publicKey, signature!, "base64url");
    expect(isSigned).toBe(true);
    expect(JSON.parse(Buffer.from(head!, "base64url").toString())).toMatchObject({ alg: "RS256", kid: "kid1" });
    expect(JSON.parse(Buffer.from(claims!, "base64url").toString())).toMatchObject({
      iss: "one@proj.test",
      aud: "https://oauth2.test/token",
      scope: "https://www.googleapis.com/auth/cloud-platform",
    });
    const asked = network.sent.filter(({ url }) => url !== "https://oauth2.test/token");
    expect(asked).toHaveLength(4);
    for (const { url, headers, body: said } of asked) {
      expect(url).toBe(`${AT}/publishers/google/models/gemini-2.5-pro:generateContent`);
      expect(headers.authorization).toBe("Bearer ya29.token");
      expect(said).toBe(JSON.stringify(body));
    }
  });

  it("Claude on Vertex gets Anthropic's bytes, except for the model and the version", async () => {
    network.answers = google(() => Response.json(MESSAGE));
    const settings = { VERTEX_API_KEY: "ya29.given", VERTEX_PROJECT: "proj", VERTEX_LOCATION: "europe-west1" };
    const body =
      '{ "model": "claude-sonnet-4-5", "max_tokens":5,"messages":[{"role":"user","content":"\\u00e9"}], "x":12345678901234567890}';
    const headers = {
      "anthropic-version": "2023-06-01",
      "anthropic-beta": "context-1m-2025-08-07,claude-code-20250219",
    };
    const { status, json } = await ask(settings, "/v1/messages", body, headers);
    expect(status).toBe(200);
    expect(network.sent[0]!.url).toBe(`${AT}/publishers/anthropic/models/claude-sonnet-4-5%4020250929:rawPredict`);
    expect(network.sent[0]!.body).toBe(
      '{ "max_tokens":5,"messages":[{"role":"user","content":"\\u00e9"}], "x":12345678901234567890,"anthropic_version":"vertex-2023-10-16"}',
    );
    expect(network.sent[0]!.headers).toMatchObject({
      authorization: "Bearer ya29.given",
      "anthropic-beta": "context-1m-2025-08-07",
    });
    expect(network.sent[0]!.headers).not.toHaveProperty("anthropic-version");
    expect(json).toMatchObject({ rhone: { losses: [{ at: "anthropic-beta.claude-code-20250219", what: "dropped" }] } });
  });

  it("Claude on Vertex streams to a chat client", async () => {
    const stream = EVENTS.map((event) => `event: ${event.type}\ndata: ${JSON.stringify(event)}\n\n`).join("");
    network.answers = google(() => new Response(stream, { headers: { "content-type": "text/event-stream" } }));
    const settings = { VERTEX_API_KEY: "ya29.given", VERTEX_PROJECT: "proj" };
    const body = { model: "vertex/claude-opus-9", stream: true, messages: MESSAGES };
    const { text } = await ask(settings, "/v1/chat/completions", body);
    expect(network.sent[0]!.url).toMatch(/publishers\/anthropic\/models\/claude-opus-9:streamRawPredict$/);
    expect(JSON.parse(network.sent[0]!.body)).toMatchObject({ stream: true, anthropic_version: "vertex-2023-10-16" });
    expect(text).toContain('"content":"Hello"');
    expect(text).toContain("[DONE]");
  });

  it("the error names the cause when Google gives no token", async () => {
    network.answers = () => Response.json({ error: "invalid_grant" }, { status: 400 });
    const call = (key: string): Promise<Said> =>
      ask({ VERTEX_API_KEY: key, VERTEX_PROJECT: "p" }, "/v1/chat/completions", {
        model: "vertex/gemini-x",
        messages: MESSAGES,
      });
    const refused = await call(account("two@proj.test"));
    expect([refused.status, refused.text]).toEqual([502, expect.stringContaining("invalid_grant")]);
    const broken = await call(JSON.stringify({ client_email: "a@b", private_key: "nonsense" }));
    expect([broken.status, broken.text]).toEqual([502, expect.stringContaining("private key cannot be read")]);
    expect(network.sent).toHaveLength(1);
  });
});

describe("bedrock", () => {
  const AWS = { AWS_ACCESS_KEY_ID: "AKIDEXAMPLE", AWS_SECRET_ACCESS_KEY: "secret", AWS_REGION: "eu-west-3" };
  const VERSION = { "anthropic-version": "2023-06-01" };
  const ID = "global.anthropic.claude-sonnet-4-5-20250929-v1:0";
  const body = { model: `bedrock/${ID}`, max_tokens: 5, messages: MESSAGES };

  it("a call of Bedrock is signed with SigV4, over the bytes that are sent", async () => {
    network.answers = () => Response.json(MESSAGE);
    const { status } = await ask(
      AWS,
      "/v1/messages",
      { ...body, stream: false },
      { ...VERSION, "anthropic-beta": "context-1m-2025-08-07" },
    );
    expect(status).toBe(200);
    const { url, headers, body: said } = network.sent[0]!;
    const path = `/model/${encodeURIComponent(ID)}/invoke`;
    expect(url).toBe(`https://bedrock-runtime.eu-west-3.amazonaws.com${path}`);
    expect(said).toBe(
      '{"max_tokens":5,"messages":[{"role":"user","content":"Hi"}],"anthropic_version":"bedrock-2023-05-31","anthropic_beta":["context-1m-2025-08-07"]}',
    );
    expect(headers).not.toHaveProperty("anthropic-version");
    expect(headers).not.toHaveProperty("anthropic-beta");
    const at = headers["x-amz-date"]!;
    const scope = `${at.slice(0, 8)}/eu-west-3/bedrock/aws4_request`;
    // AWS, "Create a signed request": every service but S3 has the path escaped twice.
    const canonical = [
      "POST",
      path.replaceAll("%", "%25"),
      "",
      "host:bedrock-runtime.eu-west-3.amazonaws.com",
      `x-amz-date:${at}`,
      "",
      "host;x-amz-date",
      createHash("sha256").update(said).digest("hex"),
    ].join("\n");
    const text = ["AWS4-HMAC-SHA256", at, scope, createHash("sha256").update(canonical).digest("hex")].join("\n");
    const hmac = (key: string | Buffer, data: string): Buffer => createHmac("sha256", key).update(data).digest();
    const key = scope.split("/").reduce<string | Buffer>(hmac, "AWS4secret");
    expect(headers.authorization).toBe(
      `AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/${scope}, SignedHeaders=host;x-amz-date, Signature=${hmac(key as Buffer, text).toString("hex")}`,
    );
  });

  it("a Bedrock API key is used instead of a signature", async () => {
    network.answers = () => Response.json(MESSAGE);
    await ask({ ...AWS, BEDROCK_API_KEY: "bedrock-key" }, "/v1/messages", body, VERSION);
    expect(network.sent[0]!.headers.authorization).toBe("Bearer bedrock-key");
    expect(network.sent[0]!.url).toMatch(/^https:\/\/bedrock-runtime\.eu-west-3\.amazonaws\.com\//);
  });

  it("Bedrock's stream of frames becomes Anthropic's own events, for its client and for others", async () => {
    network.answers = () => framed(...EVENTS.map(chunk));
    const own = await ask(AWS, "/v1/messages", { ...body, stream: true }, VERSION);
    expect(network.sent[0]!.url).toMatch(/\/invoke-with-response-stream$/);
    expect(JSON.parse(network.sent[0]!.body)).not.toHaveProperty("stream");
    expect(own.headers.get("content-type")).toContain("text/event-stream");
    expect(eventsIn(own.text)).toEqual(EVENTS.map(({ type }) => type));
    const chat = await ask(AWS, "/v1/chat/completions", { model: body.model, stream: true, messages: MESSAGES });
    expect(chat.text).toContain('"content":"Hello"');
    expect(chat.text).toContain("[DONE]");
    // (1000 × 3 + 100 × 15) micro-dollars: the global profile costs what Anthropic asks.
    expect(chat.text).toContain('"cost_micros_usd":4500');
  });

  it("an exception in Bedrock's stream, and a stream that is damaged or cut, end with an error", async () => {
    const head = EVENTS.slice(0, 3).map(chunk);
    const exception = { ":message-type": "exception", ":exception-type": "throttlingException" };
    network.answers = () => framed(...head, frame({ message: "Too many requests" }, exception));
    const throttled = await ask(AWS, "/v1/messages", { ...body, stream: true }, VERSION);
    expect(eventsIn(throttled.text).at(-1)).toBe("error");
    expect(throttled.text).toContain("rate_limit_error");
    expect(throttled.text).not.toContain("message_stop");
    const damaged = chunk(EVENTS[3]!);
    damaged[20]! ^= 1;
    for (const last of [damaged, chunk(EVENTS[3]!).slice(0, -3)]) {
      network.answers = () => framed(...head, last);
      const broken = await ask(AWS, "/v1/messages", { ...body, stream: true }, VERSION);
      // Before its first word it is an answer of its own, afterwards an event.
      expect([broken.status, eventsIn(broken.text).at(-1)]).toEqual([
        expect.toSatisfy((status: number) => status === 200 || status >= 429),
        broken.status === 200 ? "error" : undefined,
      ]);
      expect(broken.text).toContain('"error"');
      expect(broken.text).not.toContain("message_stop");
    }
  });

  it("a refusal of Bedrock is returned in the caller's shape", async () => {
    const message = "The provided model identifier is invalid.";
    network.answers = () =>
      Response.json({ message }, { status: 400, headers: { "x-amzn-errortype": "ValidationException" } });
    const { status, json } = await ask(AWS, "/v1/messages", body, VERSION);
    expect([status, json]).toEqual([
      400,
      expect.objectContaining({ error: expect.objectContaining({ type: "invalid_request_error", message }) as object }),
    ]);
  });
});

it.each([
  ["/v1/chat/completions", { model: "Kimi-K2-Thinking", messages: MESSAGES }],
  ["/v1/responses", { model: "moonshotai/kimi-k2-thinking", input: "Hi" }],
  ["/v1/messages", { model: "kimi-k2-thinking", max_tokens: 5, messages: MESSAGES }],
  ["/v1beta/models/kimi-k2-thinking:generateContent", { contents: "Hi" }],
])("a Kimi is reached by its usual name through %s", async (path, body) => {
  network.answers = () => Response.json(CHAT);
  const { status } = await ask({ MOONSHOT_API_KEY: "k" }, path, body, { "anthropic-version": "2023-06-01" });
  expect(status).toBe(200);
  expect(network.sent[0]!.url).toBe("https://api.moonshot.ai/v1/chat/completions");
  expect(JSON.parse(network.sent[0]!.body)).toMatchObject({ model: "kimi-k2-thinking" });
});

describe("the cost of a call", () => {
  const settings = {
    OPENAI_API_KEY: "k",
    OPENAI_BASE_URL: "http://openai.test/v1",
    VLLM_BASE_URL: "http://vllm.test/v1",
    RHONE_PRICES: '{"vllm/tuned": {"input": 1, "output": 10}}',
  };
  const gpt = { ...CHAT, model: "gpt-4o-2024-08-06" };

  it("the cost of a call is in the answer and in its stream", async () => {
    network.answers = (_, body) => {
      if (!body.includes('"stream":true')) return Response.json(gpt);
      const { choices: _choices, usage, ...head } = gpt;
      const events = [
        { ...head, choices: [{ index: 0, delta: { role: "assistant", content: "Hello" }, finish_reason: null }] },
        { ...head, choices: [{ index: 0, delta: {}, finish_reason: "stop" }] },
        { ...head, choices: [], usage },
      ];
      const text = `${events.map((event) => `data: ${JSON.stringify(event)}\n\n`).join("")}data: [DONE]\n\n`;
      return new Response(text, { headers: { "content-type": "text/event-stream" } });
    };
    const body = { model: "gpt-4o", messages: MESSAGES };
    // 100 × 2.50 + 20 × 10 micro-dollars
    expect((await ask(settings, "/v1/chat/completions", body)).json).toMatchObject({ rhone: { cost_micros_usd: 450 } });
    const row = { id: "openai", dialect: "openai-chat", base_url: "http://openai.test/v1", api_key: "k" };
    const onChat = { ...settings, RHONE_PROVIDERS: JSON.stringify([row]) };
    const streamed = await ask(
      onChat,
      "/v1/messages",
      { ...body, max_tokens: 5, stream: true },
      { "anthropic-version": "2023-06-01" },
    );
    expect(streamed.text).toContain('"cost_micros_usd":450');
  });

  it("the cost of a call is by the deployment's own price, or absent", async () => {
    network.answers = () => Response.json({ ...CHAT, model: "other" });
    const cost = async (model: string): Promise<unknown> => {
      const { json } = await ask(settings, "/v1/chat/completions", { model, messages: MESSAGES });
      return (json as { rhone: { cost_micros_usd?: number } }).rhone.cost_micros_usd;
    };
    expect(await cost("vllm/tuned")).toBe(300);
    expect(await cost("vllm/unknown")).toBeUndefined();
    expect(await cost("demo")).toBe(0);
  });
});
