import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { stepsOf } from "../fake/loop.ts";
import { get, request } from "../support/worker/client.ts";

type Json = ReturnType<typeof JSON.parse>;

/** The bodies that providers received, which refuse what `test/fake/strict.ts` says. */
let bodies: Json[] = [];

beforeEach(() => {
  bodies = [];
  const real = globalThis.fetch;
  vi.spyOn(globalThis, "fetch").mockImplementation(async (input, init) => {
    const upstream = new Request(input, init);
    const body: Json = await upstream.clone().json();
    bodies.push(body);
    return await real(upstream);
  });
});
afterEach(() => vi.restoreAllMocks());

/** Calls, results and texts of the client in a body of any wire, in their order. */
const kindsOf = (body: Json): string[] => stepsOf(body).map(({ kind }) => kind);

async function ask(path: string, body: object): Promise<{ response: Response; text: string }> {
  const headers = { "anthropic-version": "2023-06-01" };
  const response = await request(path, { method: "POST", body: JSON.stringify(body), headers });
  const text = await response.text();
  expect(response.status, text).toBe(200);
  return { response, text };
}

const question = { type: "message", role: "user", content: "Weather?" };
const tools = [{ type: "function", name: "get_weather", parameters: { type: "object", properties: {} } }];
const output = (id: string, answer: Json): object => ({ type: "function_call_output", call_id: id, output: answer });
const image = [{ type: "input_image", image_url: "data:image/png;base64,aGk=" }];
const between = (role: string): object => ({ type: "message", role, content: "Be quick." });

it.each(
  ["fake", "fakeresp", "fakeanth", "fakegem"].flatMap((provider) =>
    [false, true].flatMap((stream) => [false, true].map((inSession) => [provider, stream, inSession] as const)),
  ),
)(
  "%s gets the items between calls and results behind them (stream: %s, session: %s)",
  async (provider, stream, inSession) => {
    const model = `${provider}/tools`;
    const first = JSON.parse((await ask("/v1/responses", { model, input: [question], tools })).text);
    const calls: Json[] = first.output.filter(({ type }: Json) => type === "function_call");
    const [one, two] = calls.map(({ call_id }) => call_id as string);
    const results = [
      between("user"),
      output(two!, image),
      between("developer"),
      output(one!, "sunny"),
      between("user"),
    ];
    const next = inSession
      ? { input: results, rhone: { session_id: first.rhone.session_id } }
      : { input: [question, ...calls, ...results] };
    await ask("/v1/responses", { model, tools, stream, ...next });
    expect(kindsOf(bodies.at(-1)).filter((kind) => kind !== "question")).toEqual(["call", "call", "result", "result"]);
    expect(JSON.stringify(bodies.at(-1)).match(/Be quick\./g)).toHaveLength(3);
  },
);

/** One turn whose message is marked, as each surface marks it. */
const MARKED: Record<string, (text: string) => object> = {
  "/v1/messages": (text) => ({
    max_tokens: 9,
    messages: [{ role: "user", content: [{ type: "text", text, cache_control: { type: "ephemeral" } }] }],
  }),
  "/v1/chat/completions": (text) => ({
    messages: [{ role: "user", content: [{ type: "text", text, cache_control: { type: "ephemeral" } }] }],
  }),
  "/v1/responses": (text) => ({
    input: [{ role: "user", content: [{ type: "input_text", text, prompt_cache_breakpoint: { mode: "explicit" } }] }],
  }),
  "/v1/calls": (text) => ({ input: [{ type: "input", text, cache: "5m" }] }),
};
const surfaces = Object.keys(MARKED);

const markedTexts = ({ messages }: Json): string[] =>
  messages
    .flatMap(({ content }: Json) => (typeof content === "string" ? [] : content))
    .filter((block: Json) => block.cache_control !== undefined)
    .map(({ text }: Json) => text);

describe.each(surfaces)("a session over %s, each turn marked", (path) => {
  it.each([false, true])(
    "a session with marked turns goes on at Anthropic for twelve turns (stream: %s)",
    async (stream) => {
      let rhone: object | undefined;
      for (let turn = 1; turn <= 12; turn++) {
        const body = { model: "fakeanth/say", ...MARKED[path]!(`turn ${turn}`), ...(rhone && { rhone }) };
        const { response } = await ask(path, { ...body, stream });
        rhone ??= { session_id: response.headers.get("x-rhone-session-id") };
        expect(markedTexts(bodies.at(-1))).toEqual(
          [4, 3, 2, 1].filter((n) => n <= turn).map((n) => `turn ${turn - n + 1}`),
        );
      }
    },
  );

  it("a session with marked turns goes on at Anthropic after seven turns of another provider, also from the middle", async () => {
    let sessionId: string | null = null;
    const turns: unknown[] = [];
    for (let turn = 1; turn <= 7; turn++) {
      const rhone = sessionId === null ? {} : { rhone: { session_id: sessionId } };
      const { response } = await ask(path, { model: "fake/say", ...MARKED[path]!(`turn ${turn}`), ...rhone });
      sessionId ??= response.headers.get("x-rhone-session-id");
      turns.push((await get(`/v1/sessions/${sessionId}`)).head);
    }
    const next = (rhone: object): object => ({ model: "fakeanth/say", ...MARKED[path]!("next"), rhone });
    await ask(path, next({ session_id: sessionId }));
    expect(markedTexts(bodies.at(-1))).toEqual(["turn 5", "turn 6", "turn 7", "next"]);
    await ask(path, next({ session_id: sessionId, parent: turns[4] }));
    expect(markedTexts(bodies.at(-1))).toEqual(["turn 3", "turn 4", "turn 5", "next"]);
  });
});

it.each([false, true])("a transcript that is sent again keeps the client's own marks (stream: %s)", async (stream) => {
  const user = (n: number, isMarked: boolean): object => ({
    role: "user",
    content: [{ type: "text", text: `turn ${n}`, ...(isMarked && { cache_control: { type: "ephemeral" } }) }],
  });
  const messages: object[] = [];
  let rhone: object | undefined;
  for (let turn = 1; turn <= 7; turn++) {
    const body = { model: "fakeanth/say", max_tokens: 9, ...(rhone && { rhone }) };
    const system = [{ type: "text", text: "Be kind.", cache_control: { type: "ephemeral" } }];
    const { response, text } = await ask("/v1/messages", {
      ...body,
      system,
      messages: [...messages, user(turn, true)],
    });
    rhone ??= { session_id: response.headers.get("x-rhone-session-id") };
    messages.push(user(turn, false), { role: "assistant", content: JSON.parse(text).content });
    expect(markedTexts(bodies.at(-1)).at(-1)).toBe(`turn ${turn}`);
    expect(bodies.at(-1).system).toEqual(system);
  }
  const { response } = await ask("/v1/messages", {
    model: "fakeanth/say",
    max_tokens: 9,
    stream,
    messages: [...messages, user(8, true)],
  });
  expect(response.status).toBe(200);
});

it("five marks of the client itself are the provider's to refuse", async () => {
  const content = [1, 2, 3, 4, 5].map((n) => ({
    type: "text",
    text: `part ${n}`,
    cache_control: { type: "ephemeral" },
  }));
  for (const context_mode of ["stateless", "stateful"]) {
    const body = {
      model: "fakeanth/say",
      max_tokens: 9,
      messages: [{ role: "user", content }],
      rhone: { context_mode },
    };
    const headers = { "anthropic-version": "2023-06-01" };
    const response = await request("/v1/messages", { method: "POST", body: JSON.stringify(body), headers });
    expect([response.status, (await response.text()).includes("A maximum of 4 blocks")]).toEqual([400, true]);
  }
});
