import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { get, request } from "../support/worker/client.ts";

type Json = ReturnType<typeof JSON.parse>;

/** What happens to the providers' answers, and the bodies that the providers received. */
let change: (call: Json) => void = () => {};
let bodies: Json[] = [];

beforeEach(() => {
  bodies = [];
  const real = globalThis.fetch;
  vi.spyOn(globalThis, "fetch").mockImplementation(async (input, init) => {
    const upstream = new Request(input, init);
    bodies.push(await upstream.clone().json());
    const response = await real(upstream);
    const text = await response.text();
    const isStream = response.headers.get("content-type")?.includes("event-stream") === true;
    const changed = isStream
      ? text.replaceAll(/^data: (\{.*)$/gm, (_, data: string) => `data: ${changeCalls(data)}`)
      : changeCalls(text);
    return new Response(changed, { status: response.status, headers: response.headers });
  });
});
afterEach(() => vi.restoreAllMocks());

function changeCalls(json: string): string {
  const value: Json = JSON.parse(json);
  const visit = (one: Json): void => {
    if (typeof one !== "object" || one === null) return;
    if (isCall(one)) change(one);
    // The name is also in an event of the arguments.
    if (one.type === "response.function_call_arguments.done") delete one.name;
    Object.values(one).forEach(visit);
  };
  visit(value);
  return JSON.stringify(value);
}

const isCall = ({ type, function: called, functionCall }: Json): boolean =>
  type === "tool_use" ||
  type === "function_call" ||
  typeof functionCall === "object" ||
  (typeof called === "object" && called !== null && called.arguments !== undefined);

/** The member of a call with its name. */
const namedOf = (one: Json): Json => one.functionCall ?? one.function ?? one;

function withoutId(one: Json): void {
  for (const member of one.type === "function_call" ? ["call_id"] : ["id"]) delete one[member];
}
/** Paris is the argument of the first call, or its place tells it. */
function withoutFirstName(one: Json): void {
  const { id, call_id: callId, index } = one;
  const key = callId ?? id ?? index ?? JSON.stringify(namedOf(one));
  first ??= key;
  if (key === first || (index !== undefined && index === 0)) delete namedOf(one).name;
}
let first: unknown;

const post = (path: string, body: object): Promise<Response> =>
  request(path, { method: "POST", body: JSON.stringify(body), headers: { "anthropic-version": "2023-06-01" } });
const schema = { type: "object", properties: { city: { type: "string" } } };
const chatTools = [{ type: "function", function: { name: "get_weather", parameters: schema } }];
const messageTools = [{ name: "get_weather", input_schema: schema }];
const responseTools = [{ type: "function", name: "get_weather", parameters: schema }];

type Surface = {
  own: string;
  ask: (model: string, stream: boolean) => Promise<Response>;
  send: (model: string, ids: string[], rhone: object) => Promise<Response>;
  ids: RegExp;
};
const SURFACES: Record<string, Surface> = {
  chat: {
    own: "fake",
    ask: (model, stream) =>
      post("/v1/chat/completions", { model, messages: [{ role: "user", content: "q" }], tools: chatTools, stream }),
    send: (model, ids, rhone) => {
      const messages = ids.map((id) => ({ role: "tool", tool_call_id: id, content: "sunny" }));
      return post("/v1/chat/completions", { model, messages, tools: chatTools, rhone });
    },
    ids: /"id":"([^"]+)","type":"function"/g,
  },
  messages: {
    own: "fakeanth",
    ask: (model, stream) =>
      post("/v1/messages", {
        model,
        max_tokens: 9,
        messages: [{ role: "user", content: "q" }],
        tools: messageTools,
        stream,
      }),
    send: (model, ids, rhone) => {
      const content = ids.map((id) => ({ type: "tool_result", tool_use_id: id, content: "sunny" }));
      return post("/v1/messages", {
        model,
        max_tokens: 9,
        messages: [{ role: "user", content }],
        tools: messageTools,
        rhone,
      });
    },
    ids: /"type":"tool_use","id":"([^"]+)"/g,
  },
  responses: {
    own: "fakeresp",
    ask: (model, stream) => post("/v1/responses", { model, input: "q", tools: responseTools, stream }),
    send: (model, ids, rhone) => {
      const input = ids.map((id) => ({ type: "function_call_output", call_id: id, output: "sunny" }));
      return post("/v1/responses", { model, input, tools: responseTools, rhone });
    },
    ids: /"call_id":"(call_[\w-]{22})"/g,
  },
};
const CASES = Object.keys(SURFACES).flatMap((surface) =>
  ["fake", "fakeanth", "fakeresp", "fakegem"].flatMap((provider) =>
    [false, true].map((stream) => ({ surface, provider, stream })),
  ),
);

/** The ids of calls, and those of results, in a provider's request. */
function idsIn(body: Json): { calls: string[]; results: string[] } {
  const calls: string[] = [];
  const results: string[] = [];
  const visit = (one: Json): void => {
    if (typeof one !== "object" || one === null) return;
    if (one.type === "tool_use" || (one.function?.arguments !== undefined && one.type === "function"))
      calls.push(one.id);
    if (one.type === "function_call") calls.push(one.call_id);
    if (one.tool_call_id !== undefined) results.push(one.tool_call_id);
    if (one.tool_use_id !== undefined) results.push(one.tool_use_id);
    if (one.type === "function_call_output") results.push(one.call_id);
    Object.values(one).forEach(visit);
  };
  visit(body.messages ?? body.input);
  return { calls, results };
}

// A native relay passes on the provider's bytes, which have no id.
describe.each(CASES.filter(({ surface, provider }) => SURFACES[surface]!.own !== provider))(
  "$surface, $provider, streamed $stream",
  ({ surface, provider, stream }) => {
    it.each(["fake", "fakeanth", "fakeresp"])("a call without an id has one in the answer and for %s", async (next) => {
      change = withoutId;
      const { ask, send, ids } = SURFACES[surface]!;
      const response = await ask(`${provider}/tools`, stream);
      const text = await response.text();
      const own = [...new Set([...text.matchAll(ids)].map(([, id]) => id!))];
      expect(own, text).toHaveLength(2);
      change = () => {};
      const answer = await send(`${next}/say`, own, { session_id: response.headers.get("x-rhone-session-id") });
      expect(answer.status, await answer.text()).toBe(200);
      const { calls, results } = idsIn(bodies.at(-1));
      expect([new Set(calls).size, results]).toEqual([2, calls]);
    });
  },
);

describe.each(CASES)("$surface, $provider, streamed $stream", ({ surface, provider, stream }) => {
  it("a call without a name enters no session, and is a loss", async () => {
    first = undefined;
    change = withoutFirstName;
    const response = await SURFACES[surface]!.ask(`${provider}/tools`, stream);
    expect([response.status, await response.text()]).toEqual([200, expect.stringContaining("get_weather")]);
    const session = response.headers.get("x-rhone-session-id")!;
    const { data } = (await get(`/v1/sessions/${session}/blocks`)) as { data: Json[] };
    const calls = data.filter(({ type }) => type === "tool_call");
    expect(calls).toMatchObject([{ name: "get_weather" }]);
    const { losses } = await get(`/v1/calls/${response.headers.get("x-rhone-call-id")!}`);
    expect(losses).toContainEqual(expect.objectContaining({ at: "tool_calls", what: "dropped" }));
  });
});
