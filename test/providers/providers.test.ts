import { describe, expect, it } from "vitest";
import { decodeFrame, encodeFrame, type AwsEventFrame, FrameSplitter } from "../../src/providers/aws-event-stream.ts";
import { loadCatalogue } from "../../src/providers/catalogue.ts";
import { toSse } from "../../src/providers/clouds.ts";
import { isConfigured, readProviders, listSettingNames } from "../../src/providers/registry.ts";
import { locate } from "../../src/routing/locate.ts";
import { concatBytes, encodeUtf8 } from "../../src/wire/bytes.ts";

const chunk = (event: object): AwsEventFrame => ({
  headers: { ":event-type": "chunk", ":content-type": "application/json", ":message-type": "event" },
  payload: encodeUtf8(JSON.stringify({ bytes: Buffer.from(JSON.stringify(event)).toString("base64"), p: "abcd" })),
});

describe("AWS's event stream", () => {
  const frames = [
    chunk({ type: "message_start" }),
    chunk({ type: "ping" }),
    { headers: {}, payload: new Uint8Array() },
  ];
  const stream = concatBytes(frames.map(encodeFrame));

  it("AWS's event stream is encoded as in AWS's own test vectors", () => {
    // aws-c-event-stream and the SDKs: the message without headers and payload.
    const empty = Uint8Array.of(0, 0, 0, 0x10, 0, 0, 0, 0, 0x05, 0xc2, 0x48, 0xeb, 0x7d, 0x98, 0xc8, 0xff);
    expect(decodeFrame(empty)).toEqual({ headers: {}, payload: new Uint8Array() });
    expect(encodeFrame({ headers: {}, payload: new Uint8Array() })).toEqual(empty);
  });

  it("AWS's event stream decodes alike in any pieces", () => {
    for (let cut = 0; cut <= stream.length; cut++) {
      const splitter = new FrameSplitter();
      const found = [...splitter.push(stream.slice(0, cut)), ...splitter.push(stream.slice(cut))];
      splitter.end();
      expect(found).toEqual(frames);
    }
    const byByte = new FrameSplitter();
    expect([...stream].flatMap((byte) => byByte.push(Uint8Array.of(byte)))).toEqual(frames);
  });

  it("AWS's event stream is refused when any bit of it was changed, or when it ends too early", () => {
    for (let at = 0; at < stream.length; at++) {
      const damaged = stream.slice();
      damaged[at]! ^= 1;
      const splitter = new FrameSplitter();
      expect(() => {
        splitter.push(damaged);
        splitter.end();
      }, String(at)).toThrow(RangeError);
    }
    const cut = new FrameSplitter();
    cut.push(stream.slice(0, -1));
    expect(() => cut.end()).toThrow(RangeError);
  });

  it("headers of other types than text are skipped in AWS's event stream", () => {
    const name = [...encodeUtf8("n")];
    const values = [
      [0],
      [1],
      [2, 9],
      [3, 0, 9],
      [4, 0, 0, 0, 9],
      [6, 0, 2, 9, 9],
      [8, ...Array(8).fill(0)],
      [9, ...Array(16).fill(0)],
    ];
    const text = encodeFrame({ headers: { t: "é" }, payload: encodeUtf8("x") });
    const own = text.subarray(12, text.length - 5);
    const head = Uint8Array.from([...values.flatMap((value) => [1, ...name, ...(value as number[])]), ...own]);
    // Reuse the encoder for lengths and checksums: a payload of headers, moved over by the lengths.
    expect(decodeFrame(reframed(head, encodeUtf8("x")))).toEqual({ headers: { t: "é" }, payload: encodeUtf8("x") });
  });

  it("AWS's event stream becomes the events that Anthropic itself would send", () => {
    expect(toSse(frames[0]!)).toBe('event: message_start\ndata: {"type":"message_start"}\n\n');
    const failed = (type: string): AwsEventFrame => ({
      headers: { ":message-type": "exception", ":exception-type": type },
      payload: encodeUtf8('{"message":"Too many requests"}'),
    });
    expect(toSse(failed("throttlingException"))).toBe(
      'event: error\ndata: {"type":"error","error":{"type":"rate_limit_error","message":"Too many requests"}}\n\n',
    );
    expect(toSse(failed("somethingNewException"))).toContain('"api_error"');
  });
});

/** A frame with these very header bytes. */
function reframed(head: Uint8Array, payload: Uint8Array): Uint8Array {
  const frame = new Uint8Array(16 + head.length + payload.length);
  const view = new DataView(frame.buffer);
  view.setUint32(0, frame.length);
  view.setUint32(4, head.length);
  view.setUint32(8, crc(frame.subarray(0, 8)));
  frame.set(head, 12);
  frame.set(payload, 12 + head.length);
  view.setUint32(frame.length - 4, crc(frame.subarray(0, -4)));
  return frame;
}

/** Bit by bit, apart from the product's table. */
function crc(bytes: Uint8Array): number {
  let sum = 0xffffffff;
  for (const byte of bytes) {
    sum ^= byte;
    for (let bit = 0; bit < 8; bit++) sum = (sum >>> 1) ^ (sum & 1 ? 0xedb88320 : 0);
  }
  return ~sum >>> 0;
}

const KEYS = {
  OPENAI_API_KEY: "k",
  ANTHROPIC_API_KEY: "k",
  GEMINI_API_KEY: "k",
  MOONSHOT_API_KEY: "k",
  GROQ_API_KEY: "k",
};

describe("provider rows", () => {
  it("the rows are the built-in providers, and only the demo needs no settings", () => {
    const { rows } = readProviders({});
    expect([...rows.keys()].toSorted()).toEqual(
      "anthropic azure bedrock cerebras custom deepseek demo fireworks gemini groq mistral moonshot nvidia ollama openai openrouter perplexity together vertex vllm workers-ai xai".split(
        " ",
      ),
    );
    expect([...rows.values()].filter(isConfigured).map(({ id }) => id)).toEqual(["demo"]);
    expect(listSettingNames()).toEqual(expect.arrayContaining(["WORKERS_AI_API_KEY", "AWS_REGION", "RHONE_PRICES"]));
  });

  it.each([
    [{ AZURE_BASE_URL: "https://res.openai.azure.com/" }, "azure", "https://res.openai.azure.com/openai/v1"],
    [{ AZURE_BASE_URL: "https://proxy.example/v1" }, "azure", "https://proxy.example/v1"],
    [{ AWS_REGION: "eu-west-3" }, "bedrock", "https://bedrock-runtime.eu-west-3.amazonaws.com"],
    [{ VERTEX_PROJECT: "p" }, "vertex", "https://aiplatform.googleapis.com/v1/projects/p/locations/global"],
    [
      { VERTEX_PROJECT: "p", VERTEX_LOCATION: "europe-west1" },
      "vertex",
      "https://europe-west1-aiplatform.googleapis.com/v1/projects/p/locations/europe-west1",
    ],
    [
      { VERTEX_PROJECT: "p", VERTEX_LOCATION: "eu" },
      "vertex",
      "https://aiplatform.eu.rep.googleapis.com/v1/projects/p/locations/eu",
    ],
    [{ WORKERS_AI_ACCOUNT_ID: "acc" }, "workers-ai", "https://api.cloudflare.com/client/v4/accounts/acc/ai/v1"],
    [{ OLLAMA_BASE_URL: "http://127.0.0.1:11434/v1/" }, "ollama", "http://127.0.0.1:11434/v1"],
    [{ GROQ_BASE_URL: "ftp://x" }, "groq", "https://api.groq.com/openai/v1"],
  ])("the settings %o set %s to the base URL %s", (settings, id, baseUrl) => {
    expect(readProviders(settings).rows.get(id)!.baseUrl).toBe(baseUrl);
  });

  it("a row of a deployment replaces a built-in one, and keeps what that serves and costs", () => {
    const row = { id: "anthropic", dialect: "anthropic", base_url: "http://x.test/v1", api_key: "k", auth: "query" };
    const { rows, problems } = readProviders({ RHONE_PROVIDERS: JSON.stringify([row, { id: "bad", auth: "magic" }]) });
    expect(rows.get("anthropic")).toMatchObject({ auth: "query", pricedAs: "anthropic", maker: "anthropic" });
    expect(problems).toEqual([expect.stringContaining("RHONE_PROVIDERS[1].")]);
  });
});

describe("a model's name", () => {
  const target = async (asked: string, settings: object): Promise<string> => {
    const { provider, model, dialect } = await locate(asked, "openai-chat", readProviders({ ...settings }).rows);
    return `${provider.id} ${model} ${dialect}`;
  };

  it.each([
    ["gpt-5", KEYS, "openai gpt-5 openai-chat"],
    ["GPT-5", KEYS, "openai gpt-5 openai-chat"],
    ["gpt-99-from-the-future", KEYS, "openai gpt-99-from-the-future openai-chat"],
    ["claude-sonnet-4-5", KEYS, "anthropic claude-sonnet-4-5 anthropic"],
    ["anthropic/claude-sonnet-4-5", KEYS, "anthropic claude-sonnet-4-5 anthropic"],
    ["gemini-2.5-pro", KEYS, "gemini gemini-2.5-pro gemini"],
    ["google/gemini-2.5-pro", KEYS, "gemini gemini-2.5-pro gemini"],
    ["google/gemini-99", KEYS, "gemini gemini-99 gemini"],
    ["kimi-k2-thinking", KEYS, "moonshot kimi-k2-thinking openai-chat"],
    ["moonshotai/kimi-k2-thinking", KEYS, "moonshot kimi-k2-thinking openai-chat"],
    ["moonshotai/kimi-k99", KEYS, "moonshot kimi-k99 openai-chat"],
    ["gpt-oss-120b", KEYS, "groq openai/gpt-oss-120b openai-chat"],
    ["groq/openai/gpt-oss-120b", KEYS, "groq openai/gpt-oss-120b openai-chat"],
    ["meta-llama/Llama-4-Scout-17B-16E-Instruct", KEYS, "groq meta-llama/llama-4-scout-17b-16e-instruct openai-chat"],
    ["x-ai/grok-4.3", { XAI_API_KEY: "k" }, "xai grok-4.3 openai-chat"],
    ["claude-sonnet-4-5", { OPENROUTER_API_KEY: "k" }, "openrouter anthropic/claude-sonnet-4.5 openai-chat"],
    ["anthropic/claude-sonnet-4-5", { OPENROUTER_API_KEY: "k" }, "openrouter anthropic/claude-sonnet-4.5 openai-chat"],
    [
      "claude-sonnet-4-5",
      { BEDROCK_API_KEY: "k" },
      "bedrock global.anthropic.claude-sonnet-4-5-20250929-v1:0 anthropic",
    ],
    [
      "anthropic.claude-opus-9-v1:0",
      { AWS_ACCESS_KEY_ID: "a", AWS_SECRET_ACCESS_KEY: "b" },
      "bedrock anthropic.claude-opus-9-v1:0 anthropic",
    ],
    ["claude-sonnet-4-5", { VERTEX_API_KEY: "t", VERTEX_PROJECT: "p" }, "vertex claude-sonnet-4-5@20250929 anthropic"],
    ["vertex/gemini-3-x", { VERTEX_API_KEY: "t", VERTEX_PROJECT: "p" }, "vertex gemini-3-x gemini"],
    ["gpt-4o", { AZURE_API_KEY: "k", AZURE_BASE_URL: "https://r.test" }, "azure gpt-4o openai-chat"],
    ["kimi-k2.6", { FIREWORKS_API_KEY: "k" }, "fireworks accounts/fireworks/models/kimi-k2p6 openai-chat"],
    ["@cf/x/y", { WORKERS_AI_API_KEY: "k", WORKERS_AI_ACCOUNT_ID: "a" }, "workers-ai @cf/x/y openai-chat"],
    ["Demo", {}, "demo demo openai-chat"],
  ])("the model %s with %o means %s", async (asked, settings, meant) => {
    expect(await target(asked, settings)).toBe(meant);
  });

  it.each([
    ["gpt-5", {}, "provider openai is not configured, OPENAI_API_KEY is not set"],
    ["vertex/gemini-2.5-pro", { VERTEX_API_KEY: "t" }, "VERTEX_PROJECT is not set"],
    ["no-such-model", KEYS, 'no provider serves "no-such-model"'],
    ["bedrock/..", { BEDROCK_API_KEY: "k" }, "expected a name after bedrock/"],
    ["nobody/gpt-5", KEYS, 'no provider serves "nobody/gpt-5"'],
  ])("the model %s with %o is not found: %s", async (asked, settings, message) => {
    await expect(target(asked, settings)).rejects.toThrow(message);
  });

  it("every spelling of a model in the catalogue leads to the model", async () => {
    const { models, find } = await loadCatalogue(readProviders({ ...KEYS, OPENROUTER_API_KEY: "k" }).rows);
    expect(models.length).toBeGreaterThan(400);
    for (const model of models) expect(find(model.id)?.id.toLowerCase()).toBe(model.id.toLowerCase());
    expect(find("claude-opus-4-8")).toMatchObject({ maker: "anthropic", context: expect.any(Number) as number });
  });
});
