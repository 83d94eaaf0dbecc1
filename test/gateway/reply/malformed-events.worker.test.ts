import { describe, expect, it, vi } from "vitest";
import { decodeUtf8, encodeUtf8 } from "../../../src/wire/bytes.ts";
import { decodeSse } from "../../../src/wire/sse.ts";
import { get, KEY, request } from "../../support/worker/client.ts";

/** Costs of 12 tokens in at 1 and 5 out at 2, as the scripted provider counts them. Micro-dollars. */
const COST = 22;
const MALFORMED = "data: {nonsense\n\n";
const LOSS = { at: "stream", what: "dropped", why: expect.stringContaining("not a JSON object") };

type Send = (model: string, rhone?: object, key?: string) => Promise<Response>;

const post = (path: string, body: object, key = KEY): Promise<Response> =>
  request(path, {
    method: "POST",
    key,
    body: JSON.stringify(body),
    headers: { "content-type": "application/json", "anthropic-version": "2023-06-01" },
  });

const text = "Say something.";
const messages = [{ role: "user", content: text }];

/** `own`: the provider that has the surface's dialect. `end`: the last event of an answer that is complete. */
const SURFACES: Record<string, { own?: string; send: Send; end: RegExp }> = {
  chat: {
    own: "fake",
    send: (model, rhone, key) => post("/v1/chat/completions", { model, messages, stream: true, rhone }, key),
    end: /^\[DONE\]$/,
  },
  responses: {
    own: "fakeresp",
    send: (model, rhone, key) => post("/v1/responses", { model, input: text, stream: true, rhone }, key),
    end: /^{"type":"response\.completed"/,
  },
  messages: {
    own: "fakeanth",
    send: (model, rhone, key) => post("/v1/messages", { model, max_tokens: 50, messages, stream: true, rhone }, key),
    end: /^{"type":"message_stop"/,
  },
  gemini: {
    own: "fakegem",
    send: (model, rhone, key) =>
      post(
        `/v1beta/models/${model}:streamGenerateContent?alt=sse`,
        { contents: [{ role: "user", parts: [{ text }] }], rhone },
        key,
      ),
    end: /"finishReason":"STOP"/,
  },
  native: {
    own: "fakenat",
    send: (model, rhone, key) => post("/v1/calls", { model, input: text, stream: true, rhone }, key),
    end: /"type":"call\.completed"/,
  },
};

const PROVIDERS = ["fake", "fakeresp", "fakeanth", "fakegem", "fakenat"];
const every = Object.keys(SURFACES).flatMap((surface) =>
  PROVIDERS.flatMap((provider) =>
    ["stateful", "stateless"].map((mode): [string, string, string] => [surface, provider, mode]),
  ),
);

/** The record of the call, once it has ended. */
async function recordOf(response: Response): Promise<Record<string, unknown>> {
  const path = `/v1/calls/${response.headers.get("x-rhone-call-id")}`;
  await vi.waitFor(async () => expect((await get(path)).ended_at).toBeDefined(), 8_000);
  return await get(path);
}

const dataIn = (stream: string): string[] => decodeSse(encodeUtf8(stream)).flatMap(({ data }) => data ?? []);
const isMalformed = (data: string): boolean => data === "{nonsense";

describe.each(every)("malformed events on %s of %s, %s", (surface, provider, mode) => {
  const { own, send, end } = SURFACES[surface]!;
  const isNativeRelay = mode === "stateless" && own === provider;

  it("malformed events are left out, and the stream goes on to its end", async () => {
    const response = await send(`${provider}/fault-malformed-between.paid`, { context_mode: mode });
    const body = await response.text();
    expect(response.status, body).toBe(200);
    const data = dataIn(body);
    expect(isMalformed(data[0]!)).toBe(false);
    if (!isNativeRelay) expect(body).not.toContain("nonsense");
    expect(body).toMatch(/Said f[^]*ault\./);
    expect(body).not.toMatch(/"error":\s*{/);
    expect(body).toContain('"at":"stream","what":"dropped"');
    expect(data.at(-1)).toMatch(end);
    expect(data.filter((one) => end.test(one))).toHaveLength(1);
    const record = await recordOf(response);
    expect(record).toMatchObject({
      status: "completed",
      cost_micros_usd: COST,
      usage: { fresh: 8, cache_read: 4, output: 5 },
      losses: expect.arrayContaining([LOSS]),
    });
    expect((record.losses as unknown[]).filter((loss) => JSON.stringify(loss).includes("JSON object"))).toHaveLength(1);
    expect(record.attempts).toHaveLength(1);
  });

  it("malformed events behind the end of a stream change nothing", async () => {
    const response = await send(`${provider}/fault-malformed-behind.paid`, { context_mode: mode });
    const body = await response.text();
    const data = dataIn(body);
    expect(body).not.toMatch(/"error":\s*{/);
    expect(data.findLast((one) => !isMalformed(one))).toMatch(end);
    if (isNativeRelay) expect(body.endsWith(MALFORMED)).toBe(true);
    expect(await recordOf(response)).toMatchObject({ status: "completed", cost_micros_usd: COST });
  });
});

it.each(["stateful", "stateless"])(
  "a malformed event before a %s stream breaks is a loss of the answer that another target continues",
  async (context_mode) => {
    const routing = { fallbacks: [`fakeanth/fault-none.after-${context_mode}`], midstream: "continue" };
    const { send } = SURFACES.chat!;
    const response = await send(`fake/fault-malformed.before-${context_mode}`, { context_mode, routing });
    const body = await response.text();
    expect(body).not.toContain("nonsense");
    expect(dataIn(body).at(-1)).toBe("[DONE]");
    const expected = { status: "completed", provider: "fakeanth", losses: expect.arrayContaining([LOSS]) };
    expect(await recordOf(response)).toMatchObject(expected);
  },
);

describe.each(["chat", "responses", "messages", "gemini", "native"])("a native relay of %s", (surface) => {
  const { own, send } = SURFACES[surface]!;

  it("a native relay passes the provider's bytes except for malformed events before the first content", async () => {
    const wanted = await (await send(`${own}/fault-none.x`, { context_mode: "stateless" })).text();
    const relayed = await (await send(`${own}/fault-malformed-between.x`, { context_mode: "stateless" })).text();
    const withoutIds = (body: string): string =>
      decodeSse(encodeUtf8(body))
        .filter(({ data }) => data !== undefined && !data.includes('"rhone"') && !isMalformed(data))
        .map(({ raw }) => decodeUtf8(raw))
        .join("")
        .replaceAll(/_fake_[0-9a-f-]+|fault-[a-z-]+/g, "name");
    expect(withoutIds(relayed)).toBe(withoutIds(wanted));
  });

  it("the answer of a native relay is charged to the key's budget", async () => {
    const policy = { name: "test", ttl_s: 600, budgets: [{ period: "daily", limit_micros_usd: 1_000_000 }] };
    const created = await post("/v1/keys", policy);
    expect(created.status).toBe(201);
    const { id, secret } = await created.json<{ id: string; secret: string }>();
    const response = await send(`${own}/fault-malformed-between.paid`, { context_mode: "stateless" }, secret);
    await response.text();
    const spent = { budgets: [{ spent_micros_usd: COST, reserved_micros_usd: 0 }] };
    await vi.waitFor(async () => expect(await get(`/v1/keys/${id}/usage`)).toMatchObject(spent), {
      timeout: 12_000,
      interval: 100,
    });
  }, 20_000);
});
