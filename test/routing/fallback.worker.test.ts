import { describe, expect, it } from "vitest";
import { ask, network, type Said, withNetwork } from "../support/worker/network.ts";

withNetwork();

const ROW = { dialect: "openai-chat", api_key: "k" };
const SMALL = { ...ROW, id: "small", base_url: "https://small.test/v1", models: [{ name: "s", context: 8_000 }] };
const LARGE = { ...ROW, id: "large", base_url: "https://large.test/v1", models: [{ name: "l", context: 64_000 }] };
const UNKNOWN = { ...ROW, id: "unknown", base_url: "https://unknown.test/v1" };
const THINKER = {
  ...ROW,
  id: "thinker",
  base_url: "https://thinker.test/v1",
  models: [{ name: "t", capabilities: ["reasoning"] }],
};

const settings = { RHONE_PROVIDERS: JSON.stringify([SMALL, LARGE, UNKNOWN, THINKER]) };
const call = (model: string, routing: object, stream = false): Promise<Said> =>
  ask(settings, "/v1/chat/completions", {
    model,
    stream,
    messages: [{ role: "user", content: "x" }],
    rhone: { routing },
  });

const sentTo = (): string[] => network.sent.map(({ url }) => new URL(url).host);

const ANSWER = {
  id: "c",
  object: "chat.completion",
  model: "m",
  choices: [{ index: 0, message: { role: "assistant", content: "Hi." }, finish_reason: "stop" }],
};
const tooLong = (): Response =>
  Response.json(
    { error: { message: "maximum context length is 8000 tokens", code: "context_length_exceeded" } },
    { status: 400 },
  );

describe("a context that is too long", () => {
  it.each([
    ["small/s", ["large/l"], ["small.test", "large.test"]],
    ["small/s", ["unknown/u"], ["small.test", "unknown.test"]],
    ["unknown/u", ["small/s"], ["unknown.test", "small.test"]],
    ["large/l", ["small/s", "unknown/u"], ["large.test", "unknown.test"]],
  ])("a context that is too long for %s goes to those of %j that may hold it", async (model, fallbacks, hosts) => {
    network.answers = () => (sentTo().length < hosts.length ? tooLong() : Response.json(ANSWER));
    expect((await call(model, { fallbacks })).status).toBe(200);
    expect(sentTo()).toEqual(hosts);
  });

  it("a context that is too long is the caller's error when no target may hold it", async () => {
    network.answers = tooLong;
    const response = await call("large/l", { fallbacks: ["small/s"] });
    expect([response.status, sentTo()]).toEqual([400, ["large.test"]]);
    expect(response.text).toContain("context");
  });
});

describe("a stream whose first content is late", () => {
  const event = (delta: object, finish: string | null = null): string =>
    `data: ${JSON.stringify({ id: "c", model: "m", choices: [{ index: 0, delta, finish_reason: finish }] })}\n\n`;
  const frames = [event({ role: "assistant", content: "Hi." }), event({}, "stop"), "data: [DONE]\n\n"];
  const stream = (first: Promise<unknown>, signal: AbortSignal): Response => {
    const body = new ReadableStream<Uint8Array>({
      start: async (controller) => {
        signal.addEventListener("abort", () => controller.error(signal.reason));
        await first;
        if (signal.aborted) return;
        for (const frame of frames) controller.enqueue(new TextEncoder().encode(frame));
        controller.close();
      },
    });
    return new Response(body, { headers: { "content-type": "text/event-stream" } });
  };
  /** The first provider stays silent until the second one is asked, or for as long as the limit twice. */
  const isLate = (limit: number): void => {
    const second = Promise.withResolvers<void>();
    network.answers = ({ signal }) => {
      if (network.sent.length > 1) second.resolve();
      const silence = Promise.race([second.promise, new Promise((resolve) => setTimeout(resolve, 2 * limit))]);
      return stream(network.sent.length > 1 ? Promise.resolve() : silence, signal);
    };
  };

  it.each(["large/l", "unknown/u"])(
    "a stream of %s whose first content is late is given up while another target is left",
    async (model) => {
      isLate(150);
      const response = await call(model, { fallbacks: ["small/s"], deadlines_ms: { fallback: 150 } }, true);
      expect([response.status, sentTo().at(-1)]).toEqual([200, "small.test"]);
      expect(response.text).toContain("[DONE]");
    },
  );

  it.each([
    ["without another target", "large/l", []],
    ["of a model that reasons first", "thinker/t", ["small/s"]],
  ])("a stream whose first content is late is waited for: %s", async (_, model, fallbacks) => {
    isLate(150);
    const others = fallbacks.length > 0 ? { fallbacks } : {};
    const response = await call(model, { ...others, deadlines_ms: { fallback: 150 } }, true);
    expect([response.status, sentTo().length]).toEqual([200, 1]);
    expect(response.text).toContain("Hi.");
  });
});
