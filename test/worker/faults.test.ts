import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { get, request, user } from "./client.ts";

/** What the caller sees of a stream and of a whole answer, and how often the failing target is asked for each. */
type Row = [fault: string, stream: Seen, tries: number, whole: Seen, wholeTries: number];
/** It answered; its stand-in did; its refusal; a stream that ends with an error and is never taken for an answer. */
type Seen = "own" | "other" | "broken" | number;

const ROWS: Row[] = [
  ["none", "own", 1, "own", 1],
  ["500-once", "own", 2, "own", 2],
  ["500-always", "other", 3, "other", 3],
  ["429-after", "other", 1, "other", 1],
  ["429-bare", "own", 2, "own", 2],
  ["refused", "other", 3, "other", 3],
  ["blackhole", "other", 1, "other", 1],
  ["silent", "other", 1, "other", 1],
  ["stall", "broken", 1, "other", 1],
  ["cut", "broken", 1, "other", 3],
  ["ended", "broken", 1, "other", 3],
  ["malformed", "broken", 1, "other", 3],
  ["malformed-first", "other", 3, "other", 3],
  ["unfinished", "other", 3, "other", 3],
  ["error", "broken", 1, "other", 3],
  ["error-first", "other", 3, "other", 3],
  ["context-length", "other", 1, "other", 1],
  ["content-filter", 400, 1, 400, 1],
  ["bad-key", "other", 1, "other", 1],
  ["slow-first", "own", 1, "own", 1],
  ["trickle", "own", 1, "own", 1],
  ["html", "other", 3, "other", 3],
  ["redirect", "other", 3, "other", 3],
  ["header-flood", "own", 1, "own", 1],
];

/** Long enough for a slow machine, short enough for a test. */
const deadlines_ms = { headers: 4_000, first_content: 4_000, whole: 8_000, idle: 4_000, total: 25_000 };
const retries = { base_ms: 5, max_ms: 50 };

type Surface = {
  provider: string;
  send: (model: string, stream: boolean, rhone: object) => Promise<Response>;
  end: RegExp;
};

const post = (path: string, body: object): Promise<Response> =>
  request(path, { method: "POST", body: JSON.stringify(body), headers: { "anthropic-version": "2023-06-01" } });

const SURFACES: Record<string, Surface> = {
  chat: {
    provider: "fake",
    send: (model, stream, rhone) => post("/v1/chat/completions", { model, messages: [user("x")], stream, rhone }),
    end: /data: \[DONE\]|"finish_reason":\s*"stop"/,
  },
  responses: {
    provider: "fakeresp",
    send: (model, stream, rhone) => post("/v1/responses", { model, input: "x", stream, rhone }),
    end: /event: response\.completed|"status":\s*"completed"/,
  },
  messages: {
    provider: "fakeanth",
    send: (model, stream, rhone) =>
      post("/v1/messages", { model, max_tokens: 50, messages: [user("x")], stream, rhone }),
    end: /event: message_stop|"stop_reason":\s*"end_turn"/,
  },
  gemini: {
    provider: "fakegem",
    send: (model, stream, rhone) =>
      post(`/v1beta/models/${model}:${stream ? "streamGenerateContent?alt=sse" : "generateContent"}`, {
        contents: [{ role: "user", parts: [{ text: "x" }] }],
        rhone,
      }),
    end: /"finishReason":\s*"STOP"/,
  },
};

beforeEach(() => {
  const real = globalThis.fetch;
  // A server that nobody listens at. Of the network, only this cannot be had from a scripted one.
  vi.spyOn(globalThis, "fetch").mockImplementation(async (input, init) => {
    const asked = new Request(input, init);
    const said = `${asked.url}${await asked.clone().text()}`;
    if (said.includes("fault-refused")) {
      refused.push(said);
      throw new TypeError("Network connection lost.");
    }
    return await real(asked);
  });
});
afterEach(() => vi.restoreAllMocks());
const refused: string[] = [];

const triesOf = async (model: string): Promise<number> => {
  const found = await fetch(`http://fake.test/v1/log?model=${encodeURIComponent(model)}`);
  const log: unknown[] = await found.json();
  return log.length;
};

const FORMS = [
  ["stream", "stateless"],
  ["stream", "stateful"],
  ["whole", "stateless"],
  ["whole", "stateful"],
] as const;

describe.each(Object.keys(SURFACES))("%s, streamed and whole, with and without a session", (surface) => {
  const { provider, send, end } = SURFACES[surface]!;

  it("every fault comes to what the caller may expect, and the provider is asked no more than it should be", async () => {
    const seen = await Promise.all(
      FORMS.map(([form, mode]) => Promise.all(ROWS.map(([fault]) => callWith(fault, form, mode)))),
    );
    const expected = FORMS.map(([form, mode]) =>
      ROWS.map(([fault, stream, tries, whole, wholeTries]) =>
        form === "stream"
          ? [`${fault}.${form}-${mode}`, stream, tries]
          : [`${fault}.${form}-${mode}`, whole, wholeTries],
      ),
    );
    expect(seen).toEqual(expected);
  }, 30_000);

  async function callWith(fault: string, form: string, mode: string): Promise<[string, Seen, number]> {
    const model = `fault-${fault}.${surface}-${form}-${mode}`;
    const routing = { fallbacks: [`${provider}/say`], deadlines_ms, retries };
    const response = await send(`${provider}/${model}`, form === "stream", { context_mode: mode, routing });
    const text = await response.text();
    // A slow machine begins the response before anybody has answered: then only the record names who did.
    const named = response.headers.get("x-rhone-model") ?? (await lastTried(response));
    const told = named === "say" ? "other" : "own";
    const broken = /"error"|response\.failed/.test(text) ? "broken" : "cut short";
    const outcome = !response.ok ? response.status : end.test(text) ? told : (broken as Seen);
    const tries = fault === "refused" ? refused.filter((one) => one.includes(model)).length : await triesOf(model);
    await expectRecord(response.headers.get("x-rhone-call-id")!, outcome, tries);
    return [`${fault}.${form}-${mode}`, outcome, tries];
  }

  async function lastTried(response: Response): Promise<string> {
    const call = await get(`/v1/calls/${response.headers.get("x-rhone-call-id")!}`);
    return (call.attempts as { model: string }[]).at(-1)!.model;
  }

  /** The record tells the same: who answered, and every try with its reason. */
  async function expectRecord(callId: string, outcome: Seen, tries: number): Promise<void> {
    const isAnswered = outcome === "own" || outcome === "other";
    const status = isAnswered ? "completed" : outcome === "broken" ? /incomplete|failed/ : "failed";
    await vi.waitFor(async () => expect((await get(`/v1/calls/${callId}`)).status).toMatch(status), 10_000);
    const call = await get(`/v1/calls/${callId}`);
    const attempts = call.attempts as { model: string; error?: string; reason?: string }[];
    expect(attempts.filter(({ model }) => model.startsWith("fault-"))).toHaveLength(tries);
    expect(attempts.filter(({ error, reason }) => (error === undefined) !== (reason === undefined))).toEqual([]);
    if (outcome === "other") expect([call.provider, attempts.at(-1)!.model]).toEqual([provider, "say"]);
  }
});

it("a provider that talks for megabytes before its first word is left", async () => {
  const model = "fault-oversized";
  const routing = { fallbacks: ["fake/say"], retries };
  const response = await SURFACES.chat!.send(`fake/${model}`, true, { context_mode: "stateless", routing });
  expect([(await response.text()).includes("[DONE]"), response.headers.get("x-rhone-model")]).toEqual([true, "say"]);
  expect(await triesOf(model)).toBe(3);
});
