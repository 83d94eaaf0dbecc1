import { beforeEach, describe, expect, it } from "vitest";
import { request } from "../support/worker/client.ts";
import { ask, network, type Said, withNetwork } from "../support/worker/network.ts";

withNetwork();

/** Two hosts of OpenAI's API, and one of Anthropic's, which has none of its endpoints. */
const PROVIDERS = JSON.stringify([
  { id: "first", base_url: "https://first.test/v1", dialect: "openai-chat", api_key: "a" },
  { id: "second", base_url: "https://second.test/v1", dialect: "openai-responses", api_key: "b" },
  { id: "anti", base_url: "https://anti.test/v1", dialect: "anthropic", api_key: "c" },
]);

/** A model of its own for each test, as a breaker outlives it. */
let count = 0;
let model = "";
beforeEach(() => {
  network.isReal = true;
  network.answers = () => Response.json(EMBEDDINGS);
  model = `m${++count}`;
});

const EMBEDDINGS = {
  object: "list",
  data: [{ object: "embedding", index: 0, embedding: [1] }],
  usage: { prompt_tokens: 3, total_tokens: 3 },
};
const sentTo = (): string[] => network.sent.map(({ url }) => new URL(url).host);

/** A key with a limit, whose calls are estimated before they are sent. */
async function limitedKey(): Promise<Record<string, string>> {
  const body = JSON.stringify({ name: "test", ttl_s: 600, limits: { tokens_per_minute: 10_000_000 } });
  const headers = { "content-type": "application/json" };
  const response = await request("/v1/keys", { method: "POST", headers, body });
  const made = (await response.json()) as { secret: string };
  expect(response.status, JSON.stringify(made)).toBe(201);
  return { authorization: `Bearer ${made.secret}` };
}

const KEYS: [kind: string, headers: () => Promise<Record<string, string>>][] = [
  ["without limits", async () => ({})],
  ["with a limit", limitedKey],
];

describe.each(KEYS)("a key %s", (_, headers) => {
  const embed = async (...providers: string[]): Promise<Said> => {
    const [first, ...fallbacks] = providers.map((id) => `${id}/${model}`);
    const rhone = fallbacks.length === 0 ? {} : { rhone: { routing: { fallbacks } } };
    return await ask(
      { RHONE_PROVIDERS: PROVIDERS },
      "/v1/embeddings",
      { model: first, input: "x", ...rhone },
      await headers(),
    );
  };

  it.each([
    [["first", "anti"], "first"],
    [["anti", "first"], "first"],
    [["anti", "second", "first"], "second"],
  ])("an endpoint of %j is called at %s, the first that has it", async (providers, expected) => {
    const response = await embed(...providers);
    expect([response.status, sentTo()], response.text).toEqual([200, [`${expected}.test`]]);
    expect(response.headers.get("x-rhone-provider")).toBe(expected);
  });

  it("an endpoint that no target has is refused, and nothing is sent", async () => {
    const response = await embed("anti");
    expect([response.status, sentTo()]).toEqual([422, []]);
    expect(response.text).toContain("model: provider anti does not support /embeddings");
  });

  it("a large form is sent whole, to the model that a header names", async () => {
    network.answers = () => Response.json({ text: "y" });
    const body = `--b\r\ncontent-disposition: form-data; name="file"; filename="a"\r\n\r\n${"x".repeat(5 * 1024 * 1024)}\r\n--b--\r\n`;
    const response = await ask({ RHONE_PROVIDERS: PROVIDERS }, "/v1/audio/transcriptions", body, {
      "content-type": "multipart/form-data; boundary=b",
      "content-length": String(body.length),
      "x-rhone-model": `first/${model}`,
      ...(await headers()),
    });
    expect([response.status, network.sent.map((one) => one.body.length)], response.text).toEqual([200, [body.length]]);
  });
});

it("an endpoint that a host lacks does not affect the host's other calls of the model", async () => {
  const call = (path: string): Promise<Said> =>
    ask(
      { RHONE_PROVIDERS: PROVIDERS },
      path,
      { model: `anti/${model}`, messages: [{ role: "user", content: "x" }], max_tokens: 9 },
      { "anthropic-version": "2023-06-01" },
    );
  const answer = { id: "msg_1", type: "message", role: "assistant", model, content: [{ type: "text", text: "y" }] };
  network.answers = ({ url }) =>
    url.endsWith("/count_tokens")
      ? Response.json({ type: "error", error: { type: "not_found_error", message: "no route" } }, { status: 404 })
      : Response.json({ ...answer, stop_reason: "end_turn", usage: { input_tokens: 1, output_tokens: 1 } });
  for (let i = 0; i < 8; i++) expect((await call("/v1/messages/count_tokens")).status).not.toBe(200);
  const response = await call("/v1/messages");
  expect(response.status, response.text).toBe(200);
});

it("a streamed completion waits for its headers no longer than any stream, less with another target left", async () => {
  network.answers = ({ url, signal }) =>
    url.startsWith("https://first")
      ? new Promise((_, reject) => signal.addEventListener("abort", () => reject(signal.reason as Error)))
      : new Response(
          `data: ${JSON.stringify({ object: "text_completion", choices: [{ text: "y" }] })}\n\ndata: [DONE]\n\n`,
          {
            headers: { "content-type": "text/event-stream" },
          },
        );
  const complete = (deadlines_ms: object, ...fallbacks: string[]): Promise<Said> =>
    ask({ RHONE_PROVIDERS: PROVIDERS }, "/v1/completions", {
      model: `first/${model}`,
      prompt: "x",
      stream: true,
      rhone: { routing: { deadlines_ms, retries: { max: 0 }, ...(fallbacks.length > 0 && { fallbacks }) } },
    });
  const withOther = await complete({ fallback: 200 }, `second/${model}`);
  expect([withOther.status, sentTo()], withOther.text).toEqual([200, ["first.test", "second.test"]]);
  const alone = await complete({ headers: 200 });
  expect([alone.status, alone.text]).toEqual([504, expect.stringContaining("0.2 s")]);
});

describe("a hedge", () => {
  const hedged = async (routing: object): Promise<Said> =>
    await ask({ RHONE_PROVIDERS: PROVIDERS }, "/v1/embeddings", {
      model: `anti/${model}`,
      input: "x",
      rhone: { routing },
    });

  it.each([{ models: ["first"] }, { models: ["first"], hedge: { model: "first" } }])(
    "is left out if the endpoint has one target: %j",
    async ({ models, hedge = {} }) => {
      const named = "model" in hedge ? { model: `first/${model}` } : {};
      const routing = { models: models.map((id) => `${id}/${model}`), hedge: { after_ms: 500, ...named } };
      const response = await hedged(routing);
      expect([response.status, sentTo()], response.text).toEqual([200, ["first.test"]]);
    },
  );

  it("is refused without a second target", async () => {
    const response = await hedged({ hedge: { after_ms: 500 } });
    expect([response.status, sentTo()]).toEqual([400, []]);
    expect(response.text).toContain("rhone.routing.hedge: expected a second target");
  });
});

describe("an answer that is late", () => {
  const late =
    (ms: number, answer: () => Response): typeof network.answers =>
    ({ url, signal }) =>
      url.startsWith("https://second")
        ? answer()
        : new Promise((resolve, reject) => {
            setTimeout(() => resolve(answer()), ms);
            signal.addEventListener("abort", () => reject(signal.reason as Error));
          });
  const call = (path: string, body: object, deadlines_ms: object): Promise<Said> =>
    ask({ RHONE_PROVIDERS: PROVIDERS }, path, {
      model: `first/${model}`,
      ...body,
      rhone: { routing: { deadlines_ms, retries: { max: 0 }, fallbacks: [`second/${model}`] } },
    });

  it("is waited for, streamed or not, if it is a picture", async () => {
    network.answers = late(300, () => Response.json({ created: 1, data: [{ b64_json: "AAAA" }] }));
    const response = await call(
      "/v1/images/generations",
      { prompt: "x", stream: true },
      { fallback: 100, headers: 100 },
    );
    expect([response.status, sentTo()], response.text).toEqual([200, ["first.test"]]);
  });

  it("is given up with its body if it is not streamed", async () => {
    const stalled = (signal: AbortSignal): Response => {
      const start = (controller: ReadableStreamDefaultController): void => {
        controller.enqueue(new TextEncoder().encode('{"object":'));
        signal.addEventListener("abort", () => controller.error(signal.reason));
      };
      return new Response(new ReadableStream({ start }), { headers: { "content-type": "application/json" } });
    };
    network.isReal = false;
    network.answers = ({ url, signal }) =>
      url.startsWith("https://second") ? Response.json({ totalTokens: 3 }) : stalled(signal);
    const providers = JSON.stringify(
      ["first", "second"].map((id) => ({ id, base_url: `https://${id}.test/v1`, dialect: "gemini", api_key: "a" })),
    );
    const response = await ask(
      { RHONE_PROVIDERS: providers },
      "/v1/messages/count_tokens",
      {
        model: `first/${model}`,
        messages: [{ role: "user", content: "x" }],
        rhone: { routing: { deadlines_ms: { whole: 200 }, retries: { max: 0 }, fallbacks: [`second/${model}`] } },
      },
      { "anthropic-version": "2023-06-01" },
    );
    expect([response.status, sentTo()], response.text).toEqual([200, ["first.test", "second.test"]]);
  });
});

it("a call of which all targets fail names the one whose error it reports", async () => {
  network.answers = ({ url }) => Response.json({ error: { message: url } }, { status: 503 });
  const call = (routing: object): Promise<Said> =>
    ask({ RHONE_PROVIDERS: PROVIDERS }, "/v1/embeddings", {
      model: `first/${model}`,
      input: "x",
      rhone: { routing: { retries: { max: 0 }, ...routing } },
    });
  // As many failures as open the breaker.
  for (let i = 0; i < 8; i++) expect((await call({})).status).toBe(503);
  const response = await call({ fallbacks: [`second/${model}`] });
  expect(response.text).toContain("https://second.test");
  expect(response.headers.get("x-rhone-provider")).toBe("second");
});
