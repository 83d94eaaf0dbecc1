import { beforeAll, expect, it } from "vitest";
import { type Json, storeHarness, toolLog, webhook } from "../../support/runs/client.ts";
import { callsOf, crm, logOf, namedServer, urlOf } from "../../support/runs/mcp.ts";
import { type Answered, answered, ask, call, outputOf, plan } from "../../support/runs/tool-calls.ts";

/** A host that calls no servers. */
const model = "fakeanth/plan";
const REQUEST = { thinking: "", text: "@request" };
const refund = plan([call("crm__refund", { n: 1 })], REQUEST);

const labelled = (more: Json = {}): Json => ({ type: "mcp", server_label: "crm", ...more });
const approvalOf = (answer: Answered): Json => outputOf(answer).find(({ type }) => type === "mcp_approval_request")!;
/** The choice of a tool as the host has got it: the model answers with its request. */
const choiceIn = ({ text }: Answered): unknown => (JSON.parse(text.slice(text.indexOf("{"))) as Json).tool_choice;

const TEST = "restricted";
const rhone = { harness: "harness_restricted" };
beforeAll(async () => {
  const allowing = { tools: [{ mcp: "crm" }], policy: [{ tool: "*", do: "allow" }] };
  await storeHarness(TEST, { servers: crm(TEST, "modern"), ...allowing });
});

it("a request can leave tools of its harness's server out", async () => {
  const tools = [labelled({ allowed_tools: ["get_order"] })];
  const { text } = await answered("responses", plan(REQUEST), { rhone, more: { model, tools } });
  expect(text).toContain("crm__get_order");
  expect(text).not.toContain("crm__refund");
  const more = { tools: [{ type: "mcp_toolset", mcp_server_name: "crm", configs: { refund: { enabled: false } } }] };
  expect((await answered("messages", refund, { rhone, more })).text).toContain("There is no tool named crm__refund");
  expect(await callsOf(TEST)).toEqual([]);
});

it("a request can ask for approvals of what its harness allows", async () => {
  const tools = [labelled({ require_approval: "always" })];
  const first = await answered("responses", refund, { rhone, more: { model, tools } });
  expect([approvalOf(first).name, await callsOf(TEST)]).toEqual(["refund", []]);
});

it.each([
  ["twice", [labelled(), labelled()], "tools[1]"],
  ["with a tool that it has not", [labelled({ allowed_tools: ["nothing"] })], "tools[0]"],
])("a server of the harness is not named %s", async (_, tools, param) => {
  const answer = await ask("responses", "x", { rhone, more: { model, tools } });
  expect([answer.status, (answer.whole.error as Json).param]).toEqual([400, param]);
});

it("a server of rhone.servers is one of the call if the request names it", async () => {
  const given = { servers: crm("restricted-own", "modern") };
  const tools = [labelled({ require_approval: "never" })];
  await answered("responses", refund, { rhone: given, more: { model, tools } });
  expect(await callsOf("restricted-own")).toHaveLength(1);
});

it("a refusal counts also where the call needs no approval any longer", async () => {
  const test = "restricted-refused";
  const first = await answered("responses", refund, { more: { model, tools: [namedServer(test)] } });
  const input = [{ type: "mcp_approval_response", approval_request_id: approvalOf(first).id, approve: false }];
  const more = { model, tools: [namedServer(test, { require_approval: "never" })], input };
  const done = await answered("responses", "-", { more: { ...more, previous_response_id: first.whole.id } });
  expect(done.text).toContain("it was not approved");
  expect(await callsOf(test)).toEqual([]);
});

it("a server of Anthropic's connector that is not enabled has no tools", async () => {
  const mcp_servers = [
    { type: "url", name: "crm", url: urlOf("restricted-off"), tool_configuration: { enabled: false } },
  ];
  await answered("messages", refund, { more: { model: "fakeresp/plan", mcp_servers } });
  expect(await callsOf("restricted-off")).toEqual([]);
});

it("a choice among tools may name a server", async () => {
  const own = { type: "function", name: "weather", parameters: { type: "object", properties: {} } };
  const tools = [namedServer("restricted-choice", { require_approval: "never", allowed_tools: ["refund"] }), own];
  const tool_choice = { type: "allowed_tools", mode: "required", tools: [{ type: "mcp", server_label: "crm" }] };
  const answer = await answered("responses", plan(REQUEST), { more: { model: "fake/plan", tools, tool_choice } });
  expect(JSON.stringify(choiceIn(answer))).toMatch(/crm__refund/);
  expect(JSON.stringify(choiceIn(answer))).not.toMatch(/weather/);
});

it("a token takes the place of a header for it", async () => {
  const opening = { authorization: "token", headers: { Authorization: "Basic x" }, require_approval: "never" };
  await answered("responses", refund, { more: { model, tools: [namedServer("restricted-token", opening)] } });
  const sent = (await logOf("restricted-token")).map(({ headers }) => headers.authorization);
  expect(new Set(sent)).toEqual(new Set(["Bearer token"]));
});

it("a call beside the one that makes the calls of a turn is not told that they were not made", async () => {
  const pay = webhook("pay", "restricted-branch/never", { policy: "allow", timeout_ms: 3_000 });
  const asked = { text: plan([call("weather"), call("pay")], REQUEST) };
  const first = await answered("chat", [asked], { rhone: { tools: [pay] }, tools: ["weather"] });
  const next = [asked, { answered: first }, { result: "22", of: first.calls[0]! }];
  const { session_id, turn_id: parent } = first.rhone;
  const options = { rhone: { tools: [pay], session_id, parent, on_busy: "branch" }, tools: ["weather"] };
  const going = ask("chat", next, { ...options, stream: true });
  await expect.poll(async () => (await toolLog("restricted-branch")).length).toBe(1);
  expect((await ask("chat", next, options)).status).toBe(409);
  await going;
});
