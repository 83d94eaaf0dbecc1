import { afterAll, beforeAll, describe, expect, it, vi } from "vitest";
import { fold } from "../../src/canonical/accumulator.ts";
import type { GatewayError } from "../../src/canonical/error.ts";
import { hashAfter, ROOT } from "../../src/canonical/turn-hash.ts";
import type { StreamEvent } from "../../src/canonical/types.ts";
import { DIALECTS } from "../../src/dialects/index.ts";
import type { Call, CallHost, CommittedAnswer, PartialAnswer } from "../../src/gateway/call/call.ts";
import { generate } from "../../src/gateway/generation.ts";
import { CarriedItems } from "../../src/keys/carried-items.ts";
import { readProviders } from "../../src/providers/registry.ts";
import { createRouter } from "../../src/routing/router.ts";
import type { CallRecord } from "../../src/store/records.ts";
import { SURFACES } from "../../src/surfaces/index.ts";
import { parseRequest, readMembers } from "../../src/surfaces/request.ts";
import { encodeUtf8 } from "../../src/wire/bytes.ts";
import type { JsonObject } from "../../src/wire/json.ts";
import { type Recording, recordings } from "../support/recordings.ts";

/** A provider of each dialect; the last one continues what another has begun. */
const rows = [...Object.keys(DIALECTS), "rescue"].map((id) => ({
  id,
  dialect: id === "rescue" ? "openai-chat" : id,
  base_url: `http://${id}.test/v1`,
  api_key: "k",
  quirks: { streamUsage: true },
}));
const providers = readProviders({ RHONE_PROVIDERS: JSON.stringify(rows) }).rows;

// The stream through which a client reads is one of the runtime.
beforeAll(() => vi.stubGlobal("IdentityTransformStream", TransformStream));
afterAll(() => vi.unstubAllGlobals());

const NOW = 1_700_000_000_000;
const call: Call = {
  id: "call_1",
  sessionId: "sess_1",
  caller: { org: "org", keyId: "key", policy: {} } as Call["caller"],
  headers: new Headers(),
  annotate: true,
  createdAt: NOW,
  contextMode: "stateful",
};

type Surface = Exclude<keyof typeof SURFACES, "completions">;
const QUESTION: Record<Surface, JsonObject> = {
  chat: { messages: [{ role: "user", content: "hi" }] },
  responses: { input: "hi" },
  messages: { messages: [{ role: "user", content: "hi" }], max_tokens: 9 },
  gemini: { contents: [{ role: "user", parts: [{ text: "hi" }] }] },
  native: { input: "hi" },
};

const respondWith = ({ body, sse }: Pick<Recording, "body" | "sse">): Response =>
  sse === undefined
    ? Response.json(body)
    : new Response(encodeUtf8(sse), { headers: { "content-type": "text/event-stream" } });

/** What became of a call: what its sink got, if it had one, and what was stored. */
type Outcome = {
  response: Response;
  text: string;
  sent: JsonObject[];
  events: StreamEvent[];
  /** The providers that the events came from. */
  sources: string[];
  committed: { record: CallRecord; answer: CommittedAnswer }[];
  failed: { error: GatewayError; partial: PartialAnswer | undefined }[];
};

type Options = {
  surface: Surface;
  models: [string, ...string[]];
  stream: boolean;
  hasSink?: boolean;
  isAnnotated?: boolean;
  commit?: () => void;
  cancelled?: AbortController;
};

/** Runs a call to its end. `answer`: what a provider responds with. */
async function run(
  answer: (provider: string) => Response,
  { surface: name, models: [model, ...others], stream, hasSink = true, isAnnotated = true, ...ends }: Options,
): Promise<Outcome> {
  const { commit, cancelled } = ends;
  const outcome: Omit<Outcome, "response" | "text"> = { sent: [], events: [], sources: [], committed: [], failed: [] };
  const work: Promise<unknown>[] = [];
  const fetch = async (request: Request): Promise<Response> => {
    outcome.sent.push(await request.json());
    return answer(new URL(request.url).hostname.replace(".test", ""));
  };
  const host: CallHost = {
    providers,
    router: createRouter(undefined, undefined, { fetch }),
    carried: new CarriedItems(undefined, "org"),
    budgets: { reserve: async () => undefined, settle: () => {} },
    lifetime: {
      now: () => NOW,
      waitUntil: (more) => work.push(more),
      ...(cancelled && { cancelled: cancelled.signal }),
    },
    store: {
      start: async () => ({ parent: undefined, history: [], known: 0 }),
      commit: async (record, committed) => {
        commit?.();
        outcome.committed.push({ record, answer: committed! });
      },
      fail: async (_, error, partial) => void outcome.failed.push({ error, partial }),
    },
  };
  const surface = SURFACES[name];
  const rhone = { routing: { models: others, midstream: "continue" } };
  const body = {
    ...QUESTION[name],
    ...(name !== "gemini" && { model, stream }),
    ...(others.length > 0 && { rhone }),
  };
  const parsed = parseRequest(readMembers(JSON.stringify(body), call.headers, surface), surface, { model, stream });
  const sink = {
    push: (
      events: readonly StreamEvent[],
      { destination }: { destination: { target: { provider: { id: string } } } },
    ) => {
      outcome.events.push(...events);
      outcome.sources.push(destination.target.provider.id);
      cancelled?.abort();
    },
  };
  const response = await generate({ ...call, annotate: isAnnotated }, parsed, host, hasSink ? sink : undefined);
  const text = await response.text();
  await Promise.all(work);
  return { ...outcome, response, text };
}

const all = Object.values(DIALECTS).flatMap(({ id }) =>
  recordings(id).filter(({ status, body, sse }) => status === 200 && (body !== undefined || sse !== undefined)),
);

describe.each(Object.keys(QUESTION) as Surface[])("the answer of a step, asked on %s", (surface) => {
  it(`is what a client's call of the same request stores (${all.length} recorded answers)`, async () => {
    for (const recording of all) {
      const options: Options = {
        surface,
        models: [`${recording.dialect}/m`],
        stream: recording.sse !== undefined,
      };
      const [step, own] = [
        await run(() => respondWith(recording), options),
        await run(() => respondWith(recording), { ...options, hasSink: false }),
      ];
      const name = `${recording.dialect}/${recording.id}`;
      expect([name, step.committed.length]).toEqual([name, own.committed.length]);
      expect([name, step.failed.map(({ error }) => error.code)]).toEqual([
        name,
        own.failed.map(({ error }) => error.code),
      ]);
      expect([name, step.response.ok, step.events.at(-1)?.type === "end"]).toEqual([
        name,
        step.committed.length === 1,
        step.committed.length === 1,
      ]);
      expect(step.events.filter(({ type }) => type === "end" || type === "error").length).toBeLessThanOrEqual(1);
      if (step.committed.length === 0) continue;
      const { record, answer } = step.committed[0]!;
      expect([name, fold(step.events)]).toEqual([name, answer.response]);
      expect([name, answer.response]).toEqual([name, own.committed[0]!.answer.response]);
      expect([name, record]).toEqual([name, own.committed[0]!.record]);
      expect([name, answer.output]).toEqual([name, own.committed[0]!.answer.output]);
      expect([name, step.text, answer.reply.id]).toEqual([name, "", "resp_1"]);
    }
  }, 60_000);
});

const chunk = (content: string, more: JsonObject = {}): string =>
  `data: ${JSON.stringify({ id: "c", model: "m", choices: [{ index: 0, delta: { content }, ...more }] })}\n\n`;
const FIRST = chunk("The quick brown fox") + chunk(" jumps");
const REST = chunk(" over the lazy dog.", { finish_reason: "stop" });
const options: Options = { surface: "messages", models: ["openai-chat/m"], stream: true };

describe("a step whose answer breaks", () => {
  it("is continued at another target, and its events are those of the joined answer", async () => {
    const models: Options["models"] = ["openai-chat/m", "rescue/m"];
    const { response, events, sources, committed } = await run(
      (provider) => respondWith({ sse: provider === "rescue" ? `${REST}data: [DONE]\n\n` : FIRST }),
      { ...options, models },
    );
    expect([response.status, committed.length]).toEqual([200, 1]);
    const { messages, finish } = fold(events);
    expect(messages.flatMap(({ blocks }) => blocks)).toEqual([
      { kind: "text", text: "The quick brown fox jumps over the lazy dog." },
    ]);
    expect(finish).toEqual({ reason: "stop", native: "stop" });
    expect(hashAfter(ROOT, messages)).toBe(hashAfter(ROOT, committed[0]!.answer.response.messages));
    expect([sources[0], sources.at(-1)]).toEqual(["openai-chat", "rescue"]);
  });

  it("is stored as far as it came, and responds with the error, which is no event", async () => {
    const { response, text, events, failed } = await run(() => respondWith({ sse: FIRST }), options);
    expect([response.ok, failed.length]).toEqual([false, 1]);
    expect(JSON.parse(text)).toMatchObject({ type: "error" });
    expect(failed[0]!.partial!.items).toContain("The quick brown fox jumps");
    expect(events.map(({ type }) => type)).toEqual(["start", "open", "delta", "delta"]);
  });

  it("has no end when it cannot be stored", async () => {
    for (const stream of [true, false]) {
      const commit = (): void => {
        throw new Error("disk full");
      };
      const body = { id: "c", model: "m", choices: [{ index: 0, message: { content: "Hi." }, finish_reason: "stop" }] };
      const answer = (): Response => respondWith(stream ? { sse: `${FIRST}${REST}data: [DONE]\n\n` } : { body });
      const { response, events, failed } = await run(answer, { ...options, stream, commit });
      expect([stream, response.status, failed.length]).toEqual([stream, 500, 1]);
      expect(events.some(({ type }) => type === "end")).toBe(false);
    }
  });

  it("ends when its call is cancelled", async () => {
    const cancelled = new AbortController();
    const sse = `${FIRST}${REST}data: [DONE]\n\n`;
    const { response, events, failed, committed } = await run(() => respondWith({ sse }), { ...options, cancelled });
    expect([response.ok, committed.length, failed[0]!.error.message]).toEqual([false, 0, "the call was cancelled"]);
    expect(events.some(({ type }) => type === "end")).toBe(false);
  });
});

it("a step asks for its usage where its client's own call does not, as no client gets the event", async () => {
  const sse = `${FIRST}${REST}data: [DONE]\n\n`;
  const [step, own] = await Promise.all(
    [true, false].map((hasSink) =>
      run(() => respondWith({ sse }), { ...options, surface: "chat", isAnnotated: false, hasSink }),
    ),
  );
  expect(step!.sent[0]).toMatchObject({ stream: true, stream_options: { include_usage: true } });
  expect(own!.sent[0]).not.toHaveProperty("stream_options");
});
