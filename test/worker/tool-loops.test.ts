import { afterEach, beforeEach, expect, it, vi } from "vitest";
import { request } from "./client.ts";

type Json = ReturnType<typeof JSON.parse>;

/** The bodies that providers received. */
let bodies: Json[] = [];

beforeEach(() => {
  bodies = [];
  const real = globalThis.fetch;
  vi.spyOn(globalThis, "fetch").mockImplementation(async (input, init) => {
    const upstream = new Request(input, init);
    const body: Json = await upstream.clone().json();
    bodies.push(body);
    const message = refusalOf(body);
    return message === undefined ? await real(upstream) : Response.json({ error: { message } }, { status: 400 });
  });
});
afterEach(() => vi.restoreAllMocks());

/** What the providers refuse: more than four cache marks, and anything between calls and their results. */
function refusalOf(body: Json): string | undefined {
  const marks = JSON.stringify(body).match(/"cache_control":\{/g) ?? [];
  if (marks.length > 4) return `A maximum of 4 blocks with cache_control may be provided. Found ${marks.length}.`;
  const [before, ...after] = kindsOf(body)
    .join(" ")
    .split(/ ?call call ?/);
  if (before?.includes("result") || after.some((kinds) => kinds !== "" && !/^result result( text)*$/.test(kinds)))
    return "calls without results directly behind them";
  const isMixed = (body.contents ?? []).some(
    ({ parts }: Json) =>
      parts.some(({ functionResponse }: Json) => functionResponse) && parts.some(({ text }: Json) => text),
  );
  return isMixed ? "results and texts in one content" : undefined;
}

/** Calls, results and texts of the user in a body of any wire, in their order. */
function kindsOf({ messages, contents }: Json): string[] {
  if (contents !== undefined) {
    return contents.flatMap(({ role, parts }: Json) =>
      parts.flatMap(({ functionCall, functionResponse, text }: Json) => {
        if (functionCall !== undefined) return ["call"];
        return functionResponse !== undefined ? ["result"] : role === "user" && text !== undefined ? ["text"] : [];
      }),
    );
  }
  return (messages ?? []).flatMap(({ role, content, tool_calls }: Json) => {
    if (role === "tool") return ["result"];
    if (tool_calls !== undefined) return tool_calls.map(() => "call");
    const blocks = typeof content === "string" ? [{ type: "text" }] : content;
    if (role === "assistant") return blocks.filter(({ type }: Json) => type === "tool_use").map(() => "call");
    return blocks.map(({ type }: Json) => (type === "tool_result" ? "result" : "text"));
  });
}

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
  ["fake", "fakeanth", "fakegem"].flatMap((provider) =>
    [false, true].flatMap((stream) => [false, true].map((inSession) => [provider, stream, inSession] as const)),
  ),
)(
  "%s gets what stood between calls and results behind them (stream: %s, session: %s)",
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
    expect(kindsOf(bodies.at(-1)).filter((kind) => kind !== "text")).toEqual(["call", "call", "result", "result"]);
    expect(JSON.stringify(bodies.at(-1)).match(/Be quick\./g)).toHaveLength(3);
  },
);

it.each([
  ["/v1/messages", false],
  ["/v1/messages", true],
  ["/v1/chat/completions", false],
  ["/v1/chat/completions", true],
])("a session of seven turns over %s, each of them marked, goes on at Anthropic (stream: %s)", async (path, stream) => {
  let rhone: object | undefined;
  for (let turn = 1; turn <= 7; turn++) {
    const content = [{ type: "text", text: `turn ${turn}`, cache_control: { type: "ephemeral" } }];
    const body = {
      model: "fakeanth/say",
      max_tokens: 9,
      messages: [{ role: "user", content }],
      ...(rhone && { rhone }),
    };
    const { response } = await ask(path, { ...body, stream });
    rhone ??= { session_id: response.headers.get("x-rhone-session-id") };
  }
  const marked = bodies
    .at(-1)
    .messages.flatMap(({ content }: Json) => (typeof content === "string" ? [] : content))
    .filter((block: Json) => block.cache_control !== undefined);
  expect(marked.map(({ text }: Json) => text)).toEqual(["turn 4", "turn 5", "turn 6", "turn 7"]);
});
