import { env } from "cloudflare:workers";
import { describe, expect, it, vi } from "vitest";
import { encodeUtf8 } from "../../../src/wire/bytes.ts";
import { isObject, type Json, type JsonObject, tryParseJson } from "../../../src/wire/json.ts";
import { decodeSse } from "../../../src/wire/sse.ts";
import { get, request } from "../../support/worker/client.ts";

/**
 * Whatever form a provider's answer has (`test/fake/odd.ts`), the client gets one answer with one end and nothing behind
 * it, or one error, and the record agrees.
 */

/** Costs of 12 tokens in at 1 and 5 out at 2. Micro-dollars. */
const COST = 22;
const USAGE = { fresh: 8, cache_read: 4, output: 5 };
const TEXT = "Said fault.";

const post = (path: string, body: object): Promise<Response> =>
  request(path, {
    method: "POST",
    body: JSON.stringify(body),
    headers: { "content-type": "application/json", "anthropic-version": "2023-06-01" },
  });
const text = "Say something.";
const messages = [{ role: "user", content: text }];

/** What a client reads from the events of a stream. */
type Surface = {
  own: string;
  send: (model: string, stream: boolean, rhone: object) => Promise<Response>;
  /** The text of one event, "" for events that only repeat it. */
  deltaOf: (event: JsonObject) => Json | undefined;
  /** The text of a whole answer. */
  textOf: (body: never) => Json | undefined;
  /** The last event of an answer that is complete. */
  end: RegExp;
};

type Texts = { text?: string }[];
const SURFACES: Record<string, Surface> = {
  chat: {
    own: "oddchat",
    send: (model, stream, rhone) => post("/v1/chat/completions", { model, messages, stream, rhone }),
    deltaOf: ({ choices }) => {
      const choice = Array.isArray(choices) ? choices[0] : undefined;
      return isObject(choice) && isObject(choice.delta) ? choice.delta.content : "";
    },
    textOf: ({ choices }: { choices: { message: { content: string } }[] }) => choices[0]!.message.content,
    end: /^\[DONE\]$/,
  },
  responses: {
    own: "oddresp",
    send: (model, stream, rhone) => post("/v1/responses", { model, input: text, stream, rhone }),
    deltaOf: ({ type, delta }) => (type === "response.output_text.delta" ? delta : ""),
    textOf: ({ output }: { output: { content: Texts }[] }) => output[0]!.content[0]!.text,
    end: /^{"type":"response\.completed"/,
  },
  messages: {
    own: "oddanth",
    send: (model, stream, rhone) => post("/v1/messages", { model, max_tokens: 50, messages, stream, rhone }),
    deltaOf: ({ delta }) => (isObject(delta) ? (delta.text ?? "") : ""),
    textOf: ({ content }: { content: Texts }) => content[0]!.text,
    end: /^{"type":"message_stop"/,
  },
  gemini: {
    own: "oddgem",
    send: (model, stream, rhone) =>
      post(`/v1beta/models/${model}:${stream ? "streamGenerateContent?alt=sse" : "generateContent"}`, {
        contents: [{ role: "user", parts: [{ text }] }],
        rhone,
      }),
    deltaOf: ({ candidates }) =>
      (candidates as { content?: { parts?: Texts } }[] | undefined)?.[0]?.content?.parts?.[0]?.text,
    textOf: ({ candidates }: { candidates: { content: { parts: Texts } }[] }) => candidates[0]!.content.parts[0]!.text,
    end: /"finishReason":"STOP"/,
  },
  native: {
    own: "fakenat",
    send: (model, stream, rhone) => post("/v1/calls", { model, input: text, stream, rhone }),
    deltaOf: ({ type, text: delta }) => (type === "response.delta" ? delta : ""),
    textOf: ({ output }: { output: Texts }) => output[0]!.text,
    end: /"type":"call\.completed"/,
  },
};
const ERROR = /"error":\s*\{/g;
const SUCCESS =
  /\[DONE\]|"finish_reason":\s*"stop"|message_stop|"stop_reason":\s*"end_turn"|"status":\s*"completed"|"finishReason":\s*"STOP"/;

const every = Object.keys(SURFACES)
  .flatMap((surface) =>
    Object.values(SURFACES).flatMap(({ own: provider }) =>
      ["stateful", "stateless"].map((mode) => ({ surface, provider, mode })),
    ),
  )
  .map((combination, at) => ({ ...combination, at }));

/**
 * Every combination has each tenth case, and all of them have every case; with RHONE_TEST_ALL=1, as `npm run check:all`
 * sets it, each has all.
 */
const SHARE = 10;

/** The cases of `test/fake/odd.ts`: complete answers, and those with a loss. */
const LOSSES = ["malformed-between", "two-in-a-line", "not-objects"];
const COMPLETE = [
  ...LOSSES,
  ..."none malformed-behind wrong-types bom crlf comments no-data bytes".split(" "),
  ..."type-case type-html type-json type-missing".split(" "),
  ..."whole whole-case whole-bom whole-html whole-missing whole-stream".split(" "),
];
const BEHIND = ["end-twice", "error-behind", "content-behind"];
const FAILED = ["error-counted", "error-counting", "error-twice", "error-ended"];
const ERROR_BODIES = ["error-whole", "error-whole-stream", "error-whole-missing"];
const REFUSED = ["first-counted", "first-counting"];

async function recordOf(response: Response): Promise<Record<string, unknown>> {
  const path = `/v1/calls/${response.headers.get("x-rhone-call-id")}`;
  await vi.waitFor(async () => expect((await get(path)).ended_at).toBeDefined(), 8_000);
  return await get(path);
}

describe.each(every)("odd answers of $provider on $surface, $mode", ({ surface, provider, mode, at }) => {
  const shareOf = (names: readonly string[]): string[] =>
    names.filter((_, i) => env.TEST_ALL === "1" || (i + at) % SHARE === 0);
  const { own, send, deltaOf, textOf, end } = SURFACES[surface]!;
  // Gemini has no terminal event: what follows its finish reason belongs to the answer.
  const behind = provider === "oddgem" ? [] : BEHIND;
  const isNativeRelay = mode === "stateless" && own === provider;
  const rhone = { context_mode: mode, routing: { retries: { max: 0 } } };
  const modelOf = (name: string): string => `${provider}/odd-${name}`;
  /** A target of its own for each case: one that failed too often is avoided. */
  const failing = (name: string): string => `${modelOf(name)}.${surface}-${mode}`;

  it.each(shareOf([...COMPLETE, ...behind]))("an odd answer is streamed with its one end: %s", async (name) => {
    const response = await send(modelOf(name), true, rhone);
    const body = await response.text();
    expect(response.status, body).toBe(200);
    expect(response.headers.get("content-type")!.toLowerCase()).toContain("text/event-stream");
    const data = decodeSse(encodeUtf8(body)).flatMap((event) => event.data ?? []);
    const events = data.map((one) => tryParseJson(one)).filter((one) => isObject(one));
    // The runtime's own pipe passes what it does not read.
    if (!isNativeRelay || !BEHIND.includes(name)) {
      const deltas = events.map(deltaOf).filter((delta) => typeof delta === "string");
      expect(deltas.join(""), body).toBe(TEXT);
      expect(
        data.filter((one) => end.test(one)),
        body,
      ).toHaveLength(1);
      if (!isNativeRelay || name !== "malformed-behind") expect(data.at(-1), body).toMatch(end);
      expect(body).not.toMatch(ERROR);
    }
    const record = await recordOf(response);
    expect(record).toMatchObject({ status: "completed", cost_micros_usd: COST, usage: USAGE });
    const hasLoss = LOSSES.includes(name) || (name === "malformed-behind" && provider === "oddgem");
    expect(JSON.stringify(record.losses ?? "").includes("JSON object")).toBe(hasLoss);
  });

  it.each(shareOf([...COMPLETE, ...behind]))("an odd answer is returned whole: %s", async (name) => {
    const response = await send(modelOf(name), false, rhone);
    const body = await response.text();
    expect(response.status, body).toBe(200);
    expect(response.headers.get("content-type")).toMatch(/^application\/json/i);
    expect(textOf(tryParseJson(body.replace(/^\uFEFF/, "")) as never)).toBe(TEXT);
    expect(await recordOf(response)).toMatchObject({ status: "completed", cost_micros_usd: COST, usage: USAGE });
  });

  it.each(shareOf(FAILED))(
    "an odd failure ends a stream with one error, and its usage is counted: %s",
    async (name) => {
      const response = await send(failing(name), true, rhone);
      const body = await response.text();
      expect(body).toContain("Said f");
      if (!isNativeRelay) {
        expect([body.match(ERROR)?.length, SUCCESS.test(body)], body).toEqual([
          1,
          surface === "chat" && own === provider && name === "error-ended",
        ]);
        expect(body).not.toContain("Again");
      }
      expect(await recordOf(response)).toMatchObject({ status: "failed", usage: USAGE, cost_micros_usd: COST });
    },
  );

  it.each(shareOf(FAILED))(
    "an odd failure is an error of a whole answer, and its usage is counted: %s",
    async (name) => {
      const response = await send(failing(name), false, rhone);
      const body = await response.text();
      expect(response.status, body).toBeGreaterThanOrEqual(500);
      const record = await recordOf(response);
      expect(record).toMatchObject({ status: "failed", attempts: [{ usage: USAGE, cost_micros_usd: COST }] });
    },
  );

  it.each(shareOf(ERROR_BODIES))("an error in the body of a success is the provider's error: %s", async (name) => {
    for (const stream of [true, false]) {
      const response = await send(failing(name), stream, rhone);
      const body = await response.text();
      expect([body.match(ERROR)?.length, SUCCESS.test(body)], body).toEqual([1, false]);
      expect(body).toContain("Overloaded");
      expect(await recordOf(response)).toMatchObject({ status: "failed", error: { message: "Overloaded" } });
    }
  });

  it.each(shareOf(REFUSED))(
    "an odd failure before any content is an error, and its usage is counted: %s",
    async (name) => {
      for (const stream of [true, false]) {
        const response = await send(failing(name), stream, rhone);
        const body = await response.text();
        expect([body.match(ERROR)?.length, SUCCESS.test(body)], body).toEqual([1, false]);
        expect(await recordOf(response)).toMatchObject({
          status: "failed",
          attempts: [{ usage: USAGE, cost_micros_usd: COST }],
        });
      }
    },
  );
});
