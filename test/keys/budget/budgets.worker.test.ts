import { env } from "cloudflare:workers";
import { describe, expect, it, vi } from "vitest";
import { KEY, request } from "../../support/worker/client.ts";

type Said = Record<string, unknown>;
type Made = { id: string; secret: string };
type Usage = { budgets: { spent_micros_usd: number; reserved_micros_usd: number }[]; days: { calls: number }[] };

/** What a call of `fake/paid` costs: 12 tokens in at 1, 5 out at 2. Micro-dollars. */
const COST = 22;

const send = (method: string, path: string, body?: unknown, key = KEY, headers = {}): Promise<Response> =>
  request(path, {
    method,
    key,
    headers: { "content-type": "application/json", ...headers },
    ...(body !== undefined && { body: JSON.stringify(body) }),
  });

async function made(policy: Said = {}, key = KEY, headers = {}): Promise<Made> {
  const response = await send("POST", "/v1/keys", { name: "test", ttl_s: 600, ...policy }, key, headers);
  expect(response.status).toBe(201);
  return await response.json();
}

const chat = (key: string, body: Said = {}, headers = {}): Promise<Response> =>
  send("POST", "/v1/chat/completions", { ...PAID, ...body }, key, headers);
const PAID = { model: "fake/paid", messages: [{ role: "user", content: "x" }], max_tokens: 5 };
const stateless = { rhone: { context_mode: "stateless" } };

const usageOf = async (path: string): Promise<Usage> => (await send("GET", `${path}/usage`)).json();
const hard = (limit: number): Said => ({ budgets: [{ period: "daily", limit_micros_usd: limit }] });
async function codeOf(response: Response): Promise<unknown> {
  const { error }: { error: Said } = await response.json();
  return error.code;
}

const settledAt = (path: string, spent: number): Promise<void> =>
  vi.waitFor(
    async () => {
      const { budgets } = await usageOf(path);
      expect(budgets[0]).toMatchObject({ spent_micros_usd: spent, reserved_micros_usd: 0 });
    },
    { timeout: 8000, interval: 100 },
  );

describe("a budget", () => {
  // `test/keys/budget/ledger.test.ts` has a thousand of them.
  it("a budget is not passed by hundreds of calls at once, and pays for what it can", async () => {
    const calls = 300;
    const pays = calls / 10;
    const key = await made(hard(pays * COST));
    const statuses = await Promise.all(
      Array.from({ length: calls }, async (_, i) => {
        const response = await chat(key.secret, i % 4 === 0 ? {} : stateless);
        const text = await response.text();
        if (response.status !== 200) expect(JSON.parse(text)).toMatchObject({ error: { code: "budget.exceeded" } });
        return response.status;
      }),
    );
    const served = statuses.filter((status) => status === 200).length;
    expect(served).toBeGreaterThanOrEqual(Math.floor(0.95 * pays));
    expect(served).toBeLessThanOrEqual(pays);
    await settledAt(`/v1/keys/${key.id}`, served * COST);
  }, 60_000);

  it.each([
    ["whole", {}],
    ["streamed", { stream: true, stream_options: { include_usage: true } }],
    ["stateless", stateless],
    ["stateless and streamed", { ...stateless, stream: true, stream_options: { include_usage: true } }],
  ])("a budget is charged what a %s call cost", async (_, body) => {
    const key = await made(hard(1_000_000));
    const response = await chat(key.secret, body);
    expect(response.status).toBe(200);
    await response.text();
    await settledAt(`/v1/keys/${key.id}`, COST);
  });

  it("a budget is charged nothing for a call that is refused", async () => {
    const key = await made(hard(1_000_000));
    const failed = await chat(key.secret, { model: "fake/refuse" });
    // Its price is not known, and nothing that may cost anything fits into a hard budget then.
    expect([failed.status, await codeOf(failed)]).toEqual([403, "model.not_allowed"]);
    await settledAt(`/v1/keys/${key.id}`, 0);
  });

  it("an exceeded budget is reported in the shape of each surface", async () => {
    const key = await made(hard(1));
    const anthropic = { model: "fakeanth/paid", max_tokens: 5, messages: PAID.messages };
    const contents = { contents: [{ role: "user", parts: [{ text: "x" }] }], generationConfig: { maxOutputTokens: 5 } };
    const responses = { model: "fake/paid", input: "x", max_output_tokens: 5 };
    const version = { "anthropic-version": "2023-06-01" };
    const chatted = await chat(key.secret);
    expect(chatted.status).toBe(429);
    expect(Number(chatted.headers.get("retry-after"))).toBeGreaterThan(0);
    expect(await chatted.json()).toMatchObject({ error: { type: "rate_limit_error", code: "budget.exceeded" } });
    const said = await send("POST", "/v1/messages", { ...anthropic, model: "fake/paid" }, key.secret, version);
    expect([said.status, await said.json()]).toMatchObject([
      429,
      { type: "error", error: { type: "rate_limit_error" } },
    ]);
    const gemini = await send("POST", "/v1beta/models/fake/paid:generateContent", contents, key.secret);
    expect([gemini.status, await gemini.json()]).toMatchObject([429, { error: { status: "RESOURCE_EXHAUSTED" } }]);
    const open = await send("POST", "/v1/responses", responses, key.secret);
    expect([open.status, await codeOf(open)]).toEqual([429, "budget.exceeded"]);
  });

  it("the budgets of an organisation and of its tags are checked together with the key's", async () => {
    const { id: org } = (await (
      await send("POST", "/v1/organizations", {
        name: "Budgeted",
        budgets: [{ period: "total", limit_micros_usd: 400 }],
        tag_budgets: { "team-a": [{ period: "total", limit_micros_usd: 150 }] },
      })
    ).json()) as Made;
    const inside = { "x-rhone-organization": org };
    const key = await made({}, KEY, inside);
    const other = await made({}, KEY, inside);
    const tagged = { rhone: { tags: ["team-a", "unknown"] } };
    const statuses: number[] = [];
    for (let i = 0; i < 8; i++) statuses.push((await chat(key.secret, tagged)).status);
    const tags = statuses.filter((status) => status === 200).length;
    expect(tags).toBeGreaterThan(4);
    expect(tags * COST).toBeLessThanOrEqual(150);
    for (let i = 0; i < 20; i++) statuses.push((await chat(other.secret)).status);
    const served = statuses.filter((status) => status === 200).length;
    expect(served).toBeGreaterThan(14);
    expect(served * COST).toBeLessThanOrEqual(400);
    await settledAt(`/v1/organizations/${org}`, served * COST);
  }, 20_000);

  it("the budget of a key that made other keys is charged for what these spend", async () => {
    const maker = await made({ ...hard(100), scopes: ["inference", "keys:write"], ttl_s: 3600 });
    const child = await made({ scopes: ["inference"] }, maker.secret);
    const statuses: number[] = [];
    for (let i = 0; i < 6; i++) statuses.push((await chat(child.secret)).status);
    const served = statuses.filter((status) => status === 200).length;
    expect(served).toBeGreaterThan(0);
    expect(served * COST).toBeLessThanOrEqual(100);
    await settledAt(`/v1/keys/${maker.id}`, served * COST);
    expect((await chat(maker.secret)).status).toBe(429);
  });

  it("a hard budget counts embeddings, and refuses images whose price is unknown", async () => {
    const key = await made(hard(1_000));
    const picture = await send("POST", "/v1/images/generations", { model: "oai/x", prompt: "x" }, key.secret);
    expect([picture.status, await codeOf(picture)]).toEqual([403, "model.not_allowed"]);
    const demo = await send("POST", "/v1/embeddings", { model: "demo", input: "x" }, key.secret);
    expect(demo.status).toBe(200);
  });
});

describe("a limit", () => {
  it("a limit of requests a minute holds, and is in the headers of each surface", async () => {
    const key = await made({ limits: { requests_per_minute: 5, tokens_per_minute: 100_000 } });
    const responses = await Promise.all(Array.from({ length: 20 }, () => chat(key.secret)));
    expect(responses.filter(({ status }) => status === 200)).toHaveLength(5);
    const refused = responses.find(({ status }) => status === 429)!;
    expect(refused.headers.get("x-ratelimit-limit-requests")).toBe("5");
    expect(refused.headers.get("x-ratelimit-remaining-requests")).toBe("0");
    const wait = Number(refused.headers.get("retry-after"));
    expect(wait).toBeGreaterThan(50);
    expect(wait).toBeLessThanOrEqual(62);
    expect(await codeOf(refused)).toBe("rate.limited");
    const body = { model: "demo", max_tokens: 5, messages: PAID.messages };
    const messages = await send("POST", "/v1/messages", body, key.secret, { "anthropic-version": "2023-06-01" });
    expect(messages.headers.get("anthropic-ratelimit-requests-limit")).toBe("5");
  });

  it("a limit of calls at the same time frees a place when a call ends", async () => {
    const key = await made({ limits: { concurrency: 2 } });
    const streams = await Promise.all([1, 2].map(() => chat(key.secret, { model: "fake/slow", stream: true })));
    expect(streams.map(({ status }) => status)).toEqual([200, 200]);
    expect((await chat(key.secret)).status).toBe(429);
    await Promise.all(streams.map((stream) => stream.text()));
    await vi.waitFor(async () => expect((await chat(key.secret)).status).toBe(200), { timeout: 5000 });
  });
});

it("a budget is charged by the record of a call, only once, if its isolate reported nothing", async () => {
  const key = await made(hard(1_000_000));
  const place = key.id.slice(-52);
  const digits = Array.from(place).reduce((sum, c) => (sum << 5n) | BigInt(ALPHABET.indexOf(c)), 0n);
  const stub = env.KEYS.get(env.KEYS.idFromString(digits.toString(16).padStart(64, "0")));
  const taken = await stub.take(true, { micros: 500, tokens: 1, calls: 1 }, { settled: [], unused: [] });
  if (!("grant" in taken)) throw new Error("refused");
  expect((await usageOf(`/v1/keys/${key.id}`)).budgets[0]).toMatchObject({ reserved_micros_usd: 500 });
  const record = {
    ...RECORD,
    keyId: key.id,
    charge: { parts: [{ account: key.id, grant: taken.grant.id, micros: 500, tokens: 1 }], micros: 70, tokens: 9 },
  };
  await env.RECORDS.send(JSON.stringify([record, record]), { contentType: "text" });
  await settledAt(`/v1/keys/${key.id}`, 70);
});

const ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz";
const RECORD = {
  id: "call_lost",
  org: "org_default",
  sessionId: "sess_x",
  surface: "chat",
  stream: false,
  contextMode: "stateless",
  modelAsked: "fake/paid",
  status: "completed",
  usage: {},
  latency: { gateway: 0, total: 1 },
  attempts: [],
  losses: [],
  createdAt: 1,
  endedAt: 2,
};
