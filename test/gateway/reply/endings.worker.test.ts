import { describe, expect, it } from "vitest";
import { decodeSse } from "../../../src/wire/sse.ts";
import { get, request, user } from "../../support/worker/client.ts";

/** What a client gets when a provider ends its answer with a word for a failure, or breaks off: one error, and one end. */
const post = (path: string, body: object): Promise<Response> =>
  request(path, { method: "POST", body: JSON.stringify(body), headers: { "anthropic-version": "2023-06-01" } });

const SURFACES = {
  chat: (model: string, stream: boolean, rhone: object) =>
    post("/v1/chat/completions", { model, messages: [user("x")], stream, rhone }),
  responses: (model: string, stream: boolean, rhone: object) =>
    post("/v1/responses", { model, input: "x", stream, rhone }),
  messages: (model: string, stream: boolean, rhone: object) =>
    post("/v1/messages", { model, messages: [user("x")], max_tokens: 50, stream, rhone }),
  gemini: (model: string, stream: boolean, rhone: object) =>
    post(`/v1beta/models/${model}:${stream ? "streamGenerateContent?alt=sse" : "generateContent"}`, {
      contents: [{ role: "user", parts: [{ text: "x" }] }],
      rhone,
    }),
  native: (model: string, stream: boolean, rhone: object) => post("/v1/calls", { model, input: "x", stream, rhone }),
};
type Surface = keyof typeof SURFACES;
const surfaces = Object.keys(SURFACES) as Surface[];

/** The mark of a successful end, on any surface. */
const SUCCESS =
  /\[DONE\]|"finish_reason":\s*"stop"|message_stop|"stop_reason":\s*"end_turn"|"status":\s*"completed"|"finishReason":\s*"STOP"/;
const ERROR = /"error":\s*\{/g;
/** Retries are not what is tested here. */
const ONCE = { routing: { retries: { max: 0 } } };

const WIRES = [
  { provider: "fake", own: "chat", reason: "network_error" },
  { provider: "fakegem", own: "gemini", reason: "MALFORMED_FUNCTION_CALL" },
];
const CASES = WIRES.flatMap((wire) =>
  surfaces.flatMap((surface) => ["stateful", "stateless"].map((mode) => ({ ...wire, surface, mode }))),
);

async function statusOf(response: Response): Promise<unknown> {
  const id = response.headers.get("x-rhone-call-id")!;
  await expect.poll(async () => (await get(`/v1/calls/${id}`)).status, { timeout: 5_000 }).not.toBe("running");
  return (await get(`/v1/calls/${id}`)).status;
}

describe.each(CASES)("$reason of $provider on $surface, $mode", ({ provider, own, reason, surface, mode }) => {
  const rhone = { ...ONCE, context_mode: mode };
  // A model of its own for each case: a target that failed too often is avoided.
  const model = (content: string, name: string): string =>
    `${provider}/ending-${reason}.${content}.${name}-${surface}-${mode}`;
  const send = SURFACES[surface];

  it.each(["empty", "text"])("a finish reason of failure is an error of a whole answer: %s", async (content) => {
    const response = await send(model(content, "whole"), false, rhone);
    const text = await response.text();
    expect(response.status, text).toBe(502);
    expect([text.includes(reason), SUCCESS.test(text)]).toEqual([true, false]);
    expect(await statusOf(response)).toBe("failed");
  });

  it("a finish reason of failure is one error event of a stream without content", async () => {
    const text = await (await send(model("empty", "stream"), true, rhone)).text();
    expect([text.match(ERROR)?.length, text.includes(reason), SUCCESS.test(text)], text).toEqual([1, true, false]);
  });

  it.each(["text", "joined"])("a finish reason of failure ends a stream after its content: %s", async (content) => {
    // The first chunk of `joined` is the last one of Gemini's: nothing has been sent, so no content is.
    const response = await send(model(content, "stream"), true, rhone);
    const text = await response.text();
    expect(text).toContain(reason);
    expect(await statusOf(response)).toBe("failed");
    const isRelayed = surface === own && mode === "stateless";
    if (content === "text") expect(text).toContain("Half a");
    // The runtime's own pipe has passed the terminal event of Chat, and nothing follows that.
    if (isRelayed && surface === "chat" && content === "text") expect(text).not.toMatch(ERROR);
    else expect([text.match(ERROR)?.length, isRelayed || !SUCCESS.test(text)], text).toEqual([1, true]);
  });

  it("a finish reason of failure is no success if the terminal event is missing", async () => {
    const text = await (await send(model("undone", "stream"), true, rhone)).text();
    expect([text.match(ERROR)?.length, SUCCESS.test(text)], text).toEqual([1, false]);
  });

  it.each([
    ["empty", false],
    ["text", false],
    ["empty", true],
    ["joined", true],
  ])(
    "a finish reason of failure before the first content leads to another target: %s, streamed %s",
    async (content, stream) => {
      const other = `${provider}/fault-none.ending`;
      const routing = { retries: { max: 0 }, fallbacks: [other] };
      const response = await send(model(content, "failover"), stream, { context_mode: mode, routing });
      const text = await response.text();
      expect([response.status, text.includes("Half a"), text.includes(reason), SUCCESS.test(text)], text).toEqual([
        200,
        false,
        false,
        true,
      ]);
      const { attempts } = (await get(`/v1/calls/${response.headers.get("x-rhone-call-id")!}`)) as {
        attempts: object[];
      };
      expect(attempts[0]).toMatchObject({ error: "provider.execution_failed" });
    },
  );
});

it("a failed answer is charged by the usage that it reports, and never becomes a turn", async () => {
  const response = await SURFACES.chat("fake/ending-error.text", true, ONCE);
  await response.text();
  const call = (await get(`/v1/calls/${response.headers.get("x-rhone-call-id")!}`)) as Record<string, unknown>;
  expect(call).toMatchObject({ status: "failed", usage: { fresh: 5, output: 7 } });
  const session = response.headers.get("x-rhone-session-id")!;
  expect(await get(`/v1/sessions/${session}/blocks`)).toMatchObject({ data: [] });
});

describe("an unknown reason", () => {
  it.each(surfaces.flatMap((surface) => [false, true].map((stream) => ({ surface, stream }))))(
    "an unknown finish reason is an end, and a loss if the surface has none for it: $surface, streamed $stream",
    async ({ surface, stream }) => {
      const response = await SURFACES[surface]("fakegem/ending-A_NEW_REASON.text", stream, ONCE);
      const text = await response.text();
      expect([response.status, text.match(ERROR)], text).toEqual([200, null]);
      const { losses = [] } = (await get(`/v1/calls/${response.headers.get("x-rhone-call-id")!}`)) as {
        losses?: { at: string }[];
      };
      const told = losses.filter(({ at }) => at === "finish_reason");
      expect(told).toHaveLength(surface === "gemini" || surface === "native" ? 0 : 1);
      expect(JSON.stringify(losses).includes("A_NEW_REASON")).toBe(told.length > 0);
    },
  );
});

it("the failure of a model does not close its host to others", async () => {
  const bad = "fakegem/ending-MALFORMED_FUNCTION_CALL.breaker";
  for (let i = 0; i < 12; i++) await (await SURFACES.gemini(bad, false, ONCE)).text();
  const text = await (await SURFACES.gemini(bad, false, ONCE)).text();
  expect(text).toContain("MALFORMED_FUNCTION_CALL");
});

describe("the error event of a Responses stream", () => {
  const faults = ["cut", "ended", "malformed", "error"];
  const cases = faults.flatMap((fault) =>
    ["stateful", "stateless"].flatMap((mode) =>
      ["fakeresp", "fake", "fakeanth", "fakegem"].map((provider) => ({ fault, mode, provider })),
    ),
  );

  it.each(cases)(
    "the error event of a Responses stream continues the numbers, and is the only end: $provider, $fault, $mode",
    async (row) => {
      const { fault, mode, provider } = row;
      const response = await SURFACES.responses(`${provider}/fault-${fault}.${mode}-numbers`, true, {
        context_mode: mode,
      });
      const events = decodeSse(new Uint8Array(await response.arrayBuffer())).flatMap(({ data }) => {
        try {
          return [JSON.parse(data!) as { type: string; sequence_number?: number; response?: { id: string } }];
        } catch {
          // A native relay passes on what it cannot read.
          return [];
        }
      });
      const terminal = events.filter(({ type }) => /^(error|response\.(completed|failed|incomplete))$/.test(type));
      expect(terminal.map(({ type }) => type)).toEqual(["response.failed"]);
      expect(events.at(-1)).toBe(terminal[0]);
      // The scripted provider's own event of failure has no number.
      const numbers = events.flatMap(({ sequence_number }) => sequence_number ?? []);
      expect(numbers).toEqual(numbers.map((_, i) => i));
      expect(new Set(events.flatMap((event) => event.response?.id ?? [])).size).toBe(
        provider === "fakeresp" && fault === "error" ? 2 : 1,
      );
    },
  );
});

describe("the content type", () => {
  const OWN = { chat: "fake", responses: "fakeresp", messages: "fakeanth", gemini: "fakegem" } as const;
  const cases = (["chat", "responses", "messages", "gemini"] as const).flatMap((surface) =>
    ["stateful", "stateless"].flatMap((mode) => surfaces.map((called) => ({ provider: OWN[surface], called, mode }))),
  );

  it.each(cases)(
    "the content type of a whole answer is that of JSON: $provider, $called, $mode",
    async ({ provider, called, mode }) => {
      for (const [fault, status] of [
        ["mislabelled", 200],
        ["mislabelled-stream", 200],
        ["mislabelled-400", 400],
      ]) {
        const response = await SURFACES[called](`${provider}/fault-${fault}`, false, { context_mode: mode });
        expect([fault, response.status, response.headers.get("content-type")]).toEqual([
          fault,
          status,
          "application/json",
        ]);
        expect(await response.json()).toBeTypeOf("object");
      }
    },
  );

  it.each(cases)(
    "the content type of a stream is that of events: $provider, $called, $mode",
    async ({ provider, called, mode }) => {
      const response = await SURFACES[called](`${provider}/fault-mislabelled`, true, { context_mode: mode });
      expect(response.headers.get("content-type")).toContain("text/event-stream");
      expect(SUCCESS.test(await response.text())).toBe(true);
    },
  );
});
