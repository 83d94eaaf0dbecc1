import { beforeEach, describe, expect, it } from "vitest";
import { ask, network, type Said, withNetwork } from "../support/worker/network.ts";

withNetwork();

const SECOND = { id: "second", base_url: "https://second.test/v1", dialect: "openai-chat", api_key: "b" };
const PROVIDERS = JSON.stringify([{ ...SECOND, id: "first", base_url: "https://first.test/v1" }, SECOND]);

/** Models of their own for each test, as a breaker outlives it. */
let count = 0;
const models = { first: "", second: "" };
beforeEach(() => {
  network.isReal = true;
  count++;
  models.first = `a${count}`;
  models.second = `b${count}`;
});

const retries = { base_ms: 5, max_ms: 50 };
const routingTo = (changes: object = {}): object => ({ fallbacks: [`second/${models.second}`], retries, ...changes });

/** Each endpoint with a body and the answer of a provider that works. */
const ENDPOINTS: [path: string, body: object, answer: object][] = [
  [
    "/v1/embeddings",
    { input: "x" },
    {
      object: "list",
      data: [{ object: "embedding", index: 0, embedding: [1] }],
      usage: { prompt_tokens: 3, total_tokens: 3 },
    },
  ],
  ["/v1/images/generations", { prompt: "x" }, { created: 1, data: [{ b64_json: "AAAA" }] }],
  ["/v1/audio/speech", { input: "x", voice: "alloy" }, { sound: "noise" }],
  ["/v1/moderations", { input: "x" }, { id: "modr-1", results: [{ flagged: false }] }],
  ["/v1/completions", { prompt: "x" }, { object: "text_completion", choices: [{ text: "y", index: 0 }] }],
  ["/v1/images/edits", { prompt: "x" }, { created: 1, data: [] }],
];

const call = (path: string, body: object, changes: object = {}): Promise<Said> =>
  ask({ RHONE_PROVIDERS: PROVIDERS }, path, {
    model: `first/${models.first}`,
    ...body,
    rhone: { routing: routingTo(changes) },
  });

const refusal = (status: number, headers: Record<string, string> = {}): Response =>
  Response.json({ error: { message: "out of order", type: "server_error" } }, { status, headers });

const sentTo = (): string[] => network.sent.map(({ url }) => new URL(url).host);

describe.each(ENDPOINTS)("%s", (path, body, answer) => {
  it("a call of an endpoint is answered by the next target if the first one is down", async () => {
    network.answers = ({ url }) => {
      if (url.startsWith("https://first")) throw new TypeError("connection refused");
      return Response.json(answer);
    };
    const response = await call(path, body);
    expect([response.status, JSON.parse(response.text)]).toEqual([200, answer]);
    expect(response.headers.get("x-rhone-provider")).toBe("second");
    expect(sentTo()).toEqual(["first.test", "first.test", "first.test", "second.test"]);
    expect(JSON.parse(network.sent.at(-1)!.body)).toMatchObject({ model: models.second });
  });

  it("a call of an endpoint is retried after an error that may pass", async () => {
    network.answers = () => (network.sent.length === 1 ? refusal(500) : Response.json(answer));
    const response = await call(path, body);
    expect([response.status, sentTo()]).toEqual([200, ["first.test", "first.test"]]);
  });

  it("a call of an endpoint is refused with the time to wait if every target is limited", async () => {
    network.answers = () => refusal(429, { "retry-after": "120" });
    const response = await call(path, body);
    expect([response.status, response.headers.get("retry-after")]).toEqual([429, "120"]);
    expect(sentTo()).toEqual(["first.test", "second.test"]);
  });

  it("a call of an endpoint that the provider finds invalid is sent to no other target", async () => {
    network.answers = () => Response.json({ error: { message: "no such size", param: "size" } }, { status: 400 });
    const response = await call(path, body);
    expect([response.status, sentTo()]).toEqual([400, ["first.test"]]);
    expect(response.text).toContain("no such size");
  });

  it("a provider that is silent about an endpoint's call is given up at the deadline", async () => {
    network.answers = ({ url, signal }) =>
      url.startsWith("https://second")
        ? Response.json(answer)
        : new Promise((_, reject) => {
            signal.addEventListener("abort", () => reject(signal.reason as Error));
          });
    const deadlines_ms = { whole: 200 };
    const response = await call(path, body, { deadlines_ms });
    expect([response.status, sentTo()]).toEqual([200, ["first.test", "second.test"]]);
  });
});

describe("an answer that is translated", () => {
  const gem = { id: "gem", base_url: "https://gem.test/v1beta", dialect: "gemini", api_key: "a" };
  const gemini = JSON.stringify([gem, SECOND]);
  const embed = (): Promise<Said> =>
    ask({ RHONE_PROVIDERS: gemini }, "/v1/embeddings", {
      model: `gem/${models.first}`,
      input: "x",
      rhone: { routing: routingTo() },
    });

  it("a translated answer comes from the next target if the first one's is no answer", async () => {
    network.answers = ({ url }) =>
      url.startsWith("https://gem")
        ? Response.json({ nothing: true })
        : Response.json({ object: "list", data: [], usage: {} });
    expect((await embed()).status).toBe(200);
    expect(sentTo().at(-1)).toBe("second.test");
  });

  it("an answer above 64 MiB that has to be translated is refused", async () => {
    network.isReal = false;
    const megabyte = new Uint8Array(1024 * 1024);
    network.answers = () => {
      let sent = 0;
      const body = new ReadableStream<Uint8Array>({
        pull: (controller) => (++sent > 70 ? controller.close() : controller.enqueue(megabyte)),
      });
      return new Response(body, { headers: { "content-type": "application/json" } });
    };
    const response = await ask({ RHONE_PROVIDERS: gemini }, "/v1/embeddings", {
      model: `gem/${models.first}`,
      input: "x",
      rhone: { routing: { retries: { max: 0 } } },
    });
    expect([response.status, response.text]).toEqual([502, expect.stringContaining("too large")]);
  });
});

describe("a form", () => {
  const upload = (bytes: number): Promise<Said> => {
    const boundary = "b";
    const body = [
      `--${boundary}\r\ncontent-disposition: form-data; name="model"\r\n\r\nfirst/${models.first}\r\n`,
      `--${boundary}\r\ncontent-disposition: form-data; name="file"; filename="a"\r\n\r\n${"x".repeat(bytes)}\r\n`,
      `--${boundary}--\r\n`,
    ].join("");
    return ask({ RHONE_PROVIDERS: PROVIDERS, RHONE_CONFIG: route() }, "/v1/audio/transcriptions", body, {
      "content-type": `multipart/form-data; boundary=${boundary}`,
      "content-length": String(body.length),
    });
  };
  /** A form has no `rhone`: its fallbacks are those of a route. */
  const route = (): string => {
    const [first, second] = [`first/${models.first}`, `second/${models.second}`];
    return JSON.stringify({ routes: { [first]: [{ target: first }, { target: second, tier: 1 }] }, retries });
  };

  it("a form of up to 4 MiB is sent again to the next target, with that target's model", async () => {
    network.answers = ({ url }) => (url.startsWith("https://first") ? refusal(500) : Response.json({ text: "y" }));
    const response = await upload(100_000);
    expect([response.status, sentTo().at(-1)]).toEqual([200, "second.test"]);
    expect(network.sent.map(({ body }) => /name="model"\r\n\r\n([^\r]*)/.exec(body)?.[1])).toEqual([
      ...[1, 2, 3].map(() => models.first),
      models.second,
    ]);
  });

  it("a form above 4 MiB is not sent again once its first byte was sent", async () => {
    network.answers = () => refusal(500);
    const response = await upload(5 * 1024 * 1024);
    expect([response.status, sentTo()]).toEqual([500, ["first.test"]]);
  });

  it("a form above 4 MiB is sent to the next target if the first one accepts no connection", async () => {
    network.refuses = ({ url }) => url.startsWith("https://first");
    network.answers = () => Response.json({ text: "y" });
    const response = await upload(5 * 1024 * 1024);
    expect([response.status, sentTo().at(-1)]).toEqual([200, "second.test"]);
  });
});
