import { afterEach, describe, expect, it, vi } from "vitest";
import { crash, ended, type Json, listOf, send, toolLog, webhook } from "../../support/runs/client.ts";
import { callsOf, namedServer } from "../../support/runs/mcp.ts";
import { type Answered, answered, ask, call, outputOf, plan } from "../../support/runs/tool-calls.ts";

/** A host that calls no servers. */
const model = "fakeanth/plan";
const REQUEST = { thinking: "", text: "@request" };

const approvalsOf = (answer: Answered): Json[] =>
  outputOf(answer).filter(({ type }) => type === "mcp_approval_request");
const decide = ({ id }: Json, approve = true): Json => ({
  type: "mcp_approval_response",
  approval_request_id: id,
  approve,
});

it.each(["queue", "branch"])("several approvals of one call at once make it once (%s)", async (on_busy) => {
  const test = `approvals-${on_busy}`;
  const tools = [namedServer(test)];
  const first = await answered("responses", plan([call("crm__refund", { n: 1 })], REQUEST), { more: { model, tools } });
  const more = { model, tools, input: [decide(approvalsOf(first)[0]!)], previous_response_id: first.whole.id };
  const all = await Promise.all([1, 2, 3].map(() => ask("responses", "-", { more, rhone: { on_busy } })));
  expect(all.filter(({ status }) => status !== 200 && status !== 409)).toEqual([]);
  expect(await callsOf(test)).toHaveLength(1);
});

it("each call of a reply has an approval of its own, beside calls of the client", async () => {
  const own = { type: "function", name: "weather", parameters: { type: "object", properties: {} } };
  const tools = [namedServer("approvals-each"), own];
  const calls = [
    call("crm__refund", { n: 1 }),
    call("weather"),
    call("crm__refund", { n: 2 }),
    call("crm__get_order", { id: "7" }),
  ];
  const first = await answered("responses", plan(calls, REQUEST), { more: { model, tools } });
  const [one, two, three] = approvalsOf(first);
  const { call_id, name } = outputOf(first).find(({ type }) => type === "function_call")!;
  expect(name).toBe("weather");
  const result = { type: "function_call_output", call_id, output: "22 degrees" };
  const input = [decide(two!), decide(one!, false), decide(three!), result];
  const more = { model, tools, input, previous_response_id: first.whole.id };
  const done = await answered("responses", "-", { more });
  expect((await callsOf("approvals-each")).map(({ arguments: args }) => args)).toEqual([{ n: 2 }, { id: "7" }]);
  expect(done.text).toContain("22 degrees");
  expect(outputOf(done).map(({ type, status }) => [type, status])).toEqual([
    ["mcp_call", "failed"],
    ["mcp_call", "completed"],
    ["mcp_call", "completed"],
    ["message", "completed"],
  ]);
});

it("what opens a server is read nowhere", async () => {
  const opening = { authorization: "s3cret", headers: { "x-key": "s3cret" }, require_approval: "never" };
  const tools = [namedServer("approvals-secret", opening)];
  const asked = plan([call("crm__refund", { n: 1 })], "Done.");
  const { rhone, whole, raw } = await answered("responses", asked, { more: { model, tools } });
  const run = rhone.run_id as string;
  const paths = ["", "/effective-request", "/events", "/steps"].map((what) => `/v1/runs/${run}${what}`);
  const others = [`/v1/responses/${whole.id as string}`, `/v1/calls/${run.replace("run", "call")}`];
  const read = await Promise.all([...paths, ...others].map(async (path) => (await send("GET", path)).text()));
  expect([raw, ...read].filter((text) => text.includes("s3cret"))).toEqual([]);
});

it("a call of a turn that may have been made when its object crashed is not made again", async () => {
  const pay = webhook("pay", "held-unknown/never-once", { policy: "allow", timeout_ms: 60_000 });
  const asked = plan([call("weather"), call("pay")], REQUEST);
  const first = await answered("chat", [{ text: asked }], { rhone: { tools: [pay] }, tools: ["weather"] });
  const next = [{ text: asked }, { answered: first }, { result: "22", of: first.calls[0]! }];
  const options = { rhone: { tools: [pay], session_id: first.rhone.session_id }, tools: ["weather"] };
  const going = ask("chat", next, { ...options, stream: true });
  await expect.poll(async () => (await toolLog("held-unknown")).length).toBe(1);
  const [sent] = await toolLog("held-unknown");
  const { run_id: run } = (JSON.parse(sent!.body) as { data: { run_id: string } }).data;
  await crash(run);
  await going.catch(() => {});
  await ended(run);
  expect(await listOf(run, "tool-executions")).toMatchObject([{ status: "denied" }]);
  const again = await answered("chat", next, options);
  expect(again.text).toContain("Whether this call has been made is not known.");
  expect(await toolLog("held-unknown")).toHaveLength(1);
});

it("a call that its client both approves and refuses is not made", async () => {
  const tools = [namedServer("approvals-both")];
  const first = await answered("responses", plan([call("crm__refund", { n: 1 })], REQUEST), { more: { model, tools } });
  const input = [decide(approvalsOf(first)[0]!), decide(approvalsOf(first)[0]!, false)];
  const done = await answered("responses", "-", {
    more: { model, tools, input, previous_response_id: first.whole.id },
  });
  expect(done.text).toContain("it was not approved");
  expect(await callsOf("approvals-both")).toEqual([]);
});

it("a transcript whose session is deleted goes on without it", async () => {
  const more = { model, tools: [namedServer("approvals-deleted")], store: false };
  const asked = { role: "user", content: plan([call("crm__refund", { n: 1 })], REQUEST) };
  const first = await answered("responses", "-", { more: { ...more, input: [asked] } });
  await send("DELETE", `/v1/sessions/${first.rhone.session_id as string}`);
  const input = [asked, ...outputOf(first), decide(approvalsOf(first)[0]!), { role: "user", content: plan("Hi.") }];
  const next = await answered("responses", "-", { more: { ...more, input } });
  expect(next.rhone.session_id).not.toBe(first.rhone.session_id);
  expect(await callsOf("approvals-deleted")).toEqual([]);
});

it("a host of the same wire gets none of the items that are for the gateway only", async () => {
  const asked = { role: "user", content: plan([call("crm__refund", { n: 1 })], REQUEST) };
  const first = await answered("responses", "-", {
    more: { model, tools: [namedServer("approvals-moved")], input: [asked] },
  });
  const decided = decide(approvalsOf(first)[0]!, false);
  const input = [asked, ...outputOf(first), decided, { role: "user", content: plan(REQUEST) }];
  for (const context_mode of ["stateless", "stateful"]) {
    const { text } = await answered("responses", "-", { rhone: { context_mode }, more: { input } });
    expect([text, text]).toEqual([expect.stringContaining("Let me look."), expect.not.stringContaining("mcp_")]);
  }
});

describe("a host that gives its calls the same ids", () => {
  afterEach(() => vi.unstubAllGlobals());

  /** Until the end of the test. */
  function repeatIds(): void {
    const { fetch: real } = globalThis;
    vi.stubGlobal("fetch", async (...sent: Parameters<typeof fetch>) => {
      const response = await real(...sent);
      return new Response((await response.text()).replaceAll(/call_plan_\d+/g, "call_0"), response);
    });
  }

  it("has each of them shown under an id of its own", async () => {
    repeatIds();
    const steps = [1, 2].map((n) => [call("crm__refund", { n })]);
    const tools = [namedServer("repeated-steps", { require_approval: "never" })];
    const answer = await answered("responses", plan(...steps, "Done."), { more: { model: "fake/plan", tools } });
    const ids = outputOf(answer).map(({ id }) => id);
    expect([ids.length, new Set(ids).size]).toEqual([7, 7]);
    expect(await callsOf("repeated-steps")).toHaveLength(2);
  });

  it("has none of two in one reply made with an approval that may be about the other", async () => {
    repeatIds();
    const tools = [namedServer("repeated-reply")];
    const asked = plan([call("crm__refund", { n: 1 }), call("crm__refund", { n: 999 })], "Done.");
    const first = await answered("responses", asked, { more: { model: "fake/plan", tools } });
    const input = [decide(approvalsOf(first)[0]!)];
    await ask("responses", "-", { more: { model, tools, input, previous_response_id: first.whole.id } });
    expect(await callsOf("repeated-reply")).toEqual([]);
  });
});
