import { expect, it } from "vitest";
import { GatewayError } from "../../../src/canonical/error.ts";
import type { StreamEvent } from "../../../src/canonical/types.ts";
import { openaiChat } from "../../../src/dialects/openai-chat/index.ts";
import { buildContinuationPrompt, ContinuationJoiner } from "../../../src/gateway/reply/recovery.ts";
import { StreamReader } from "../../../src/gateway/upstream/stream-reader.ts";
import { isCounted } from "../../../src/session/stream/segments.ts";
import { encodeUtf8 } from "../../../src/wire/bytes.ts";
import { decodeSse } from "../../../src/wire/sse.ts";
import { eventsOf, get, post, request, user } from "../../support/worker/client.ts";

/** A stream of which so much was told before it broke. */
function brokenAfter(text: string): StreamReader {
  const hearing = new StreamReader(openaiChat.decodeStream());
  const chunk = { id: "x", model: "m", choices: [{ index: 0, delta: { content: text } }] };
  hearing.push(encodeUtf8(`data: ${JSON.stringify(chunk)}\n\n`));
  return hearing;
}

const open: StreamEvent = { type: "open", index: 0, block: { kind: "text", text: "" } };
const end: StreamEvent = { type: "end", finish: { reason: "stop" }, usage: {} };

/** What a client is told of a second answer that comes in these pieces. */
function joinedWith(said: string, pieces: string[]): [text: string, how: string | undefined] {
  const joiner = new ContinuationJoiner(brokenAfter(said));
  const deltas = pieces.map((text): StreamEvent => ({ type: "delta", index: 0, text }));
  const told = [open, ...deltas, end].flatMap((event) => joiner.push(event));
  return [said + told.map((event) => (event.type === "delta" ? event.text : "")).join(""), joiner.kind];
}

const SAID = "The quick brown fox jumps over the lazy";

it("a second answer that starts as the first did is joined where the first one broke off", () => {
  const whole = `${SAID} dog.`;
  expect(joinedWith(SAID, whole.split(/(?=\w)/))).toEqual([whole, "restart"]);
  expect(joinedWith(SAID, [whole])).toEqual([whole, "restart"]);
});

it("a second answer that goes on is appended, without what it repeats", () => {
  expect(joinedWith(SAID, [" dog", "."])).toEqual([`${SAID} dog.`, "continuation"]);
  expect(joinedWith(SAID, ["the la", "zy dog."])).toEqual([`${SAID} dog.`, "continuation"]);
  expect(joinedWith(SAID, ["The end."])).toEqual([`${SAID}The end.`, "continuation"]);
});

it("a text without a word is not sent, as some providers refuse it: the call is repeated", () => {
  expect([buildContinuationPrompt("\n "), buildContinuationPrompt("")]).toEqual([[], []]);
  expect(buildContinuationPrompt(" a").map(({ role }) => role)).toEqual(["assistant", "user"]);
  expect(joinedWith("\n", ["Hello", "."])).toEqual(["\nHello.", "continuation"]);
});

it("a second answer that starts over in other words is refused", () => {
  expect(() => joinedWith(SAID, ["The quick brown fox jumps", " high."])).toThrow(GatewayError);
  const call: StreamEvent = { type: "open", index: 0, block: { kind: "tool_call", id: "c", name: "f", arguments: "" } };
  expect(() => new ContinuationJoiner(brokenAfter(SAID)).push(call)).toThrow(GatewayError);
});

const textIn = (events: (string | undefined)[]): string =>
  events
    .filter((data) => data?.startsWith("{"))
    .map(
      (data) =>
        (JSON.parse(data!) as { choices?: { delta: { content?: string } }[] }).choices?.[0]?.delta.content ?? "",
    )
    .join("");

/** `rhone.routing` of a stream's last annotated event. */
const routingIn = (events: (string | undefined)[]): unknown =>
  events
    .filter((data) => data?.startsWith("{"))
    .map((data) => (JSON.parse(data!) as { rhone?: { routing?: unknown } }).rhone?.routing)
    .findLast((routing) => routing !== undefined);

it.each(["stateful", "stateless"])(
  "a %s stream that breaks is continued by the next target, and its routing reports this",
  async (mode) => {
    for (const [fault, fallback] of [
      ["cut", "fake/fault-none"],
      ["stall", "fakeanth/fault-none"],
      ["error", "fakegem/fault-none"],
      ["ended", "fakeresp/fault-none"],
    ]) {
      const routing = { fallbacks: [`${fallback}.rescue-${mode}`], midstream: "continue", deadlines_ms: { idle: 800 } };
      const body = { messages: [user("x")], stream: true, rhone: { context_mode: mode, routing } };
      const response = await post({ ...body, model: `fake/fault-${fault}.rescue-${mode}` });
      const events = await eventsOf(response);
      expect([fault, textIn(events), events.at(-1)]).toEqual([fault, "Said fault.", "[DONE]"]);
      expect([fault, routingIn(events)]).toMatchObject([
        fault,
        { rescued: { from: `fake/fault-${fault}.rescue-${mode}`, after_chars: expect.any(Number), how: "restart" } },
      ]);
      const call = await get(`/v1/calls/${response.headers.get("x-rhone-call-id")}`);
      expect(call).toMatchObject({ status: "completed", provider: fallback!.split("/")[0] });
      expect(call.attempts).toMatchObject([
        { model: `fault-${fault}.rescue-${mode}`, error: expect.any(String) },
        { status: 200 },
      ]);
    }
  },
);

it("what the shield holds back is not lost where a stream breaks", async () => {
  const ask = async (safety?: object): Promise<[string, unknown]> => {
    const rhone = { routing: { fallbacks: ["fakeanth/say"], midstream: "continue" }, ...(safety && { safety }) };
    const events = await eventsOf(await post({ model: "fake/torn", messages: [user("x")], stream: true, rhone }));
    return [textIn(events), routingIn(events)];
  };
  const [text, routing] = await ask();
  expect([text, routing]).toMatchObject(["Half a sentence and a woSaid say.", { rescued: { how: "continuation" } }]);
  expect(await ask({ mode: "enforce" })).toEqual([text, routing]);
});

it("a stream that no target continues ends with the first one's error", async () => {
  const routing = { fallbacks: ["fake/fault-500-always.rescue"], midstream: "continue" };
  const response = await post({
    model: "fake/fault-cut.alone",
    messages: [user("x")],
    stream: true,
    rhone: { routing },
  });
  const events = await eventsOf(response);
  expect([textIn(events), JSON.parse(events.at(-1)!)]).toMatchObject([
    "Said fault.",
    { error: { code: "stream.interrupted" } },
  ]);
});

type ResponsesEvent = {
  type: string;
  sequence_number: number;
  item_id?: string;
  output_index?: number;
  item?: { id: string };
  response?: { id: string; output: { id: string; content: { text: string }[] }[] };
};

it.each([
  ["fakeresp/fault-cut", "fakeresp/fault-none"],
  ["fakeresp/fault-cut", "fake/fault-none"],
  ["fake/fault-cut", "fakeresp/fault-none"],
  ["fakeanth/fault-error", "fakegem/fault-none"],
])("a Responses stream of %s that %s continues is one response with its ids and numbers", async (from, to) => {
  const name = `${from}.ids-${to.replaceAll(/\W/g, "-")}`;
  const routing = { fallbacks: [`${to}.ids-${from.replaceAll(/\W/g, "-")}`], midstream: "continue" };
  const body = { model: name, input: "x", stream: true, store: true, rhone: { routing } };
  const response = await request("/v1/responses", { method: "POST", body: JSON.stringify(body) });
  const events = (await eventsOf(response)).map((data) => JSON.parse(data!) as ResponsesEvent);
  expect([events[0]!.type, events.at(-1)!.type]).toEqual(["response.created", "response.completed"]);
  expect(new Set(events.flatMap((event) => event.response?.id ?? [])).size).toBe(1);
  const ids = events.flatMap(({ item_id, item }) => item_id ?? item?.id ?? []);
  const { output, id } = events.at(-1)!.response!;
  expect([...new Set(ids)]).toEqual(output.map((item) => item.id));
  expect(output[0]!.content[0]!.text).toBe("Said fault.");
  const numbers = events.map(({ sequence_number }) => sequence_number);
  expect(numbers).toEqual(numbers.toSorted((a, b) => a - b));
  expect(new Set(numbers).size).toBe(numbers.length);
  expect(await get(`/v1/responses/${id}`)).toMatchObject({ id, status: "completed" });
});

it.each([
  ["/v1/chat/completions", "fake", { messages: [user("x")] }],
  ["/v1/responses", "fakeresp", { input: "x" }],
  ["/v1/messages", "fakeanth", { messages: [user("x")], max_tokens: 64 }],
])(
  "the events of both answers to %s are numbered in one row, from which a client resumes",
  async (path, provider, body) => {
    const routing = { fallbacks: [`${provider}/fault-none.numbers`], midstream: "continue" };
    const model = `${provider}/fault-cut.numbers`;
    const response = await request(path, {
      method: "POST",
      headers: { "anthropic-version": "2023-06-01" },
      body: JSON.stringify({ ...body, model, stream: true, rhone: { context_mode: "stateful", routing } }),
    });
    const sent = await response.text();
    expect(response.status, sent).toBe(200);
    const ids = decodeSse(encodeUtf8(sent))
      .filter(isCounted)
      .map(({ id }) => id);
    expect(ids).toEqual(ids.map((_, i) => String(i + 1)));
    const callId = response.headers.get("x-rhone-call-id");
    expect(await get(`/v1/calls/${callId}`)).toMatchObject({ attempts: [{ error: expect.any(String) }, {}] });
    for (const id of ids) {
      const rest = await request(`/v1/calls/${callId}:stream`, { headers: { "last-event-id": id! } });
      const end = sent.indexOf("\n\n", sent.indexOf(`id: ${id}\n`)) + 2;
      expect(await rest.text()).toBe(sent.slice(end));
    }
  },
);
