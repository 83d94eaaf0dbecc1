import { describe, expect, it } from "vitest";
import { type Json, json, listOf, newKey, storeHarness } from "../../support/runs/client.ts";
import { callsOf, crm, logOf, namedServer, tell, urlOf } from "../../support/runs/mcp.ts";
import { type Answered, answered, ask, call, outputOf, plan } from "../../support/runs/tool-calls.ts";

/** A host that calls no servers. */
const model = "fakeanth/plan";
const REQUEST = { thinking: "", text: "@request" };

const refund = (after: unknown = "Done."): string => plan([call("crm__refund", { n: 1 })], after);
const itemOf = (answer: Answered, type: string): Json => outputOf(answer).find((item) => item.type === type)!;
const typesOf = (answer: Answered): unknown[] => outputOf(answer).map(({ type }) => type);
const decide = (answer: Answered, approve: boolean, more: Json = {}): Json => ({
  type: "mcp_approval_response",
  approval_request_id: itemOf(answer, "mcp_approval_request").id,
  approve,
  ...more,
});
/** The answer to a decision about what a response has asked for. */
const next = (answer: Answered, input: Json[], tools: Json[]): Promise<Answered> =>
  answered("responses", "-", { more: { model, input, tools, previous_response_id: answer.whole.id } });

describe.each([false, true])("a server that a request names as a tool (stream: %s)", (stream) => {
  it("is called by the gateway, with its list and its calls as items of one response", async () => {
    const test = `named-${stream}`;
    const tools = [namedServer(test, { require_approval: "never", allowed_tools: ["refund"], authorization: "t0ken" })];
    const answer = await answered("responses", refund(), { stream, more: { model, tools } });
    expect(typesOf(answer)).toEqual(["mcp_list_tools", "reasoning", "message", "mcp_call", "message"]);
    expect(itemOf(answer, "mcp_list_tools")).toMatchObject({ server_label: "crm", tools: [{ name: "refund" }] });
    expect(itemOf(answer, "mcp_call")).toMatchObject({
      server_label: "crm",
      name: "refund",
      arguments: '{"n":1}',
      output: expect.stringContaining("1") as string,
      error: null,
      status: "completed",
      approval_request_id: null,
    });
    expect(answer.text).toMatch(/^\|*Let me look\.\|*Done\.$/);
    expect(await callsOf(test)).toHaveLength(1);
    expect(answer.raw).not.toMatch(/function_call|crm__refund|t0ken/);
    const stored = await json("GET", `/v1/responses/${answer.whole.id as string}`);
    expect(stored.output).toEqual(answer.whole.output);
    if (!stream) return;
    const types = answer.events.map(({ type }) => type);
    expect(types.filter((type) => (type as string).includes("mcp"))).toEqual([
      "response.mcp_list_tools.in_progress",
      "response.mcp_list_tools.completed",
      "response.mcp_call.in_progress",
      "response.mcp_call_arguments.delta",
      "response.mcp_call_arguments.done",
      "response.mcp_call.completed",
    ]);
    const folded = answer.events
      .filter(({ type }) => type === "response.output_item.done")
      .map(({ item }) => item as Json);
    expect(folded).toEqual(answer.whole.output);
  });

  it("is asked about first, and called once when its client approves", async () => {
    const test = `approved-${stream}`;
    const tools = [namedServer(test)];
    const first = await answered("responses", refund(REQUEST), { stream, more: { model, tools } });
    expect(typesOf(first)).toEqual(["mcp_list_tools", "reasoning", "message", "mcp_approval_request"]);
    expect(itemOf(first, "mcp_approval_request")).toMatchObject({ server_label: "crm", name: "refund" });
    expect([first.whole.status, await callsOf(test)]).toEqual(["completed", []]);
    const done = await next(first, [decide(first, true)], tools);
    expect(typesOf(done)).toEqual(["mcp_call", "message"]);
    expect(itemOf(done, "mcp_call").approval_request_id).toBe(itemOf(first, "mcp_approval_request").id);
    expect(done.text).not.toContain("mcp_approval");
    const again = await next(first, [decide(first, true)], tools);
    expect([typesOf(again), await callsOf(test)]).toEqual([["message"], [expect.anything()]]);
  });
});

describe("a call that needs an approval is not made", () => {
  const tools = (test: string): Json[] => [namedServer(test)];

  it.each([
    ["if its client refuses", { approve: false, reason: "Too much." }, "it was not approved (Too much.)"],
    ["with an approval of another", { approve: true, approval_request_id: "mcpr_other" }, "it has no approval"],
  ])("%s", async (what, { approve, ...more }, text) => {
    const test = `refused-${what.length}`;
    const first = await answered("responses", refund(REQUEST), { more: { model, tools: tools(test) } });
    const done = await next(first, [decide(first, approve, more)], tools(test));
    expect(done.text).toContain(text);
    expect(await callsOf(test)).toEqual([]);
  });

  it("if its tool has changed since", async () => {
    const test = "approved-changed";
    const first = await answered("responses", refund(REQUEST), { more: { model, tools: tools(test) } });
    await tell(test, "change");
    const moved = [namedServer(test, { server_url: urlOf(test, "legacy") })];
    const done = await next(first, [decide(first, true)], moved);
    expect(done.text).toContain("its tool has changed since");
    expect(await callsOf(test)).toEqual([]);
  });

  it("if its client goes on with something else", async () => {
    const test = "approved-not";
    const first = await answered("responses", refund(REQUEST), { more: { model, tools: tools(test) } });
    const done = await next(first, [{ role: "user", content: plan(REQUEST) }], tools(test));
    expect(done.text).toContain("The tool was not run");
    expect(await callsOf(test)).toEqual([]);
  });
});

it("an approval leads to its session, also from a client that sends its transcript again", async () => {
  const tools = [namedServer("approved-resent")];
  const input = [{ role: "user", content: refund(REQUEST) }];
  const first = await answered("responses", "-", { more: { model, tools, input, store: false } });
  const resent = [...input, ...outputOf(first), decide(first, true)];
  const done = await answered("responses", "-", { more: { model, tools, input: resent, store: false } });
  expect(done.rhone.session_id).toBe(first.rhone.session_id);
  expect(typesOf(done)).toEqual(["mcp_call", "message"]);
  expect(await callsOf("approved-resent")).toHaveLength(1);
});

it("a request names a server of its harness by the label, and is asked what that leaves to a person", async () => {
  const members = { servers: crm("labelled", "modern"), tools: [{ mcp: "crm", only: ["refund"] }] };
  await storeHarness("labelled", members);
  const options = { rhone: { harness: "harness_labelled" } };
  const silent = await answered("responses", refund(REQUEST), options);
  expect(silent.text).toContain("a person would have to approve it");
  const tools = [{ type: "mcp", server_label: "crm" }];
  const asking = await answered("responses", refund(REQUEST), { ...options, more: { tools } });
  expect(itemOf(asking, "mcp_approval_request").name).toBe("refund");
  const input = [decide(asking, true)];
  const done = await answered("responses", "-", {
    ...options,
    more: { input, tools, previous_response_id: asking.whole.id },
  });
  expect(await callsOf("labelled")).toHaveLength(1);
  expect([done.text, done.rhone.losses]).toEqual([expect.not.stringContaining("mcp_"), undefined]);
  // Who may not decide as people do does not decide what the harness leaves to them.
  const key = await newKey(["inference"], { defaults: { harness: "harness_labelled" } });
  const denied = await answered("responses", refund(REQUEST), { key, more: { tools } });
  expect(denied.text).toContain("a person would have to approve it");
  const unknown = await ask("responses", "x", {
    ...options,
    more: { model, tools: [{ ...tools[0], server_label: "x" }] },
  });
  expect([unknown.status, (unknown.whole.error as Json).param]).toEqual([400, "tools[0]"]);
  const foreign = await ask("responses", "x", { ...options, more: { model, tools: [namedServer("labelled")] } });
  expect([foreign.status, (foreign.whole.error as Json).param]).toEqual([400, "tools[0]"]);
});

it("the model has to call the server that the client chooses", async () => {
  const tools = [namedServer("chosen", { require_approval: "never" })];
  const tool_choice = { type: "mcp", server_label: "crm", name: "refund" };
  const { text } = await answered("responses", plan(REQUEST), { more: { model, tools, tool_choice } });
  const { tool_choice: sent } = JSON.parse(text.slice(text.indexOf("{"))) as Json;
  expect(sent).toEqual({ type: "tool", name: "crm__refund" });
});

it.each([
  ["no label", { server_label: null }, "tools[0].server_label"],
  ["a label that is none", { server_label: "a__b" }, "tools[0]"],
  ["a connector", { server_url: null, connector_id: "connector_gmail" }, "tools[0].connector_id"],
  ["a filter that only a host can apply", { allowed_tools: { read_only: true } }, "tools[0].allowed_tools.read_only"],
  ["tools that the server has not", { allowed_tools: ["nothing"] }, "tools[0]"],
  ["an address inside", { server_url: "http://127.0.0.1/mcp" }, "tools[0]"],
  ["a header that says where the request goes", { headers: { host: "other.example.com" } }, "tools[0]"],
  ["a header with a line break", { headers: { "x-a": "a\r\nb: c" } }, "tools[0]"],
  ["a token with a line break", { authorization: "a\nb" }, "tools[0]"],
  ["another word for approvals", { require_approval: "perhaps" }, "tools[0].require_approval"],
])("a server with %s is refused", async (_, more, param) => {
  const answer = await ask("responses", "x", { more: { model, tools: [namedServer("refused", more)] } });
  expect([answer.status, (answer.whole.error as Json).param]).toEqual([400, param]);
});

it("a request names no more servers than a run may have", async () => {
  const tools = Array.from({ length: 17 }, (_, i) => namedServer("too-many", { server_label: `crm-${i}` }));
  const answer = await ask("responses", "x", { more: { model, tools } });
  expect([answer.status, (answer.whole.error as Json).param]).toEqual([400, "tools[16]"]);
  expect(await logOf("too-many")).toEqual([]);
});

it("a key needs a scope to name a server by its URL", async () => {
  const key = await newKey(["inference"]);
  const answer = await ask("responses", "x", { key, more: { model, tools: [namedServer("scoped")] } });
  expect([answer.status, (answer.whole.error as Json).param]).toEqual([403, "tools[0]"]);
});

it("a host that calls servers itself gets the tool as its client has sent it", async () => {
  const tools = [namedServer("theirs")];
  const answer = await answered("responses", plan(REQUEST), { more: { tools } });
  expect(answer.text).toContain('"server_label":"crm"');
  expect(answer.headers.get("x-rhone-run-id")).toBeNull();
});

it("a stateless call goes on without the server", async () => {
  const rhone = { context_mode: "stateless" };
  const answer = await answered("responses", plan("Hi."), {
    rhone,
    more: { model, tools: [namedServer("stateless")] },
  });
  expect(answer.rhone.losses).toContainEqual(expect.objectContaining({ at: "tools.mcp", what: "dropped" }));
});

it("calls of servers are shown on Responses, and on no other surface that does not ask for them", async () => {
  const rhone = { servers: crm("silent", "modern"), tools: [{ type: "mcp", server: "crm", policy: "allow" }] };
  for (const surface of ["chat", "messages", "gemini", "native"] as const)
    expect((await answered(surface, refund(), { rhone })).raw).not.toContain("refund");
  const responses = await answered("responses", refund(), { rhone });
  expect(typesOf(responses)).toEqual(["reasoning", "message", "mcp_call", "message"]);
  expect(await listOf(responses.rhone.run_id, "tool-executions")).toMatchObject([{ status: "succeeded" }]);
});
