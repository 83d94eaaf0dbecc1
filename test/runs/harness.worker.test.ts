import { describe, expect, it } from "vitest";
import type { McpMessage } from "../fake/mcp.ts";
import { writePlan } from "../fake/plan.ts";
import {
  clientTool,
  json,
  listOf,
  run,
  send,
  textOf,
  toolLog,
  TOOLS,
  type Json,
  newKey,
  storeHarness,
} from "../support/runs/client.ts";
import { request } from "../support/worker/client.ts";

const HOST = "https://mcp.example.com";

const store = (name: string, members: Json): Promise<Json> => storeHarness(name, { model: "fake/plan", ...members });

const webhook = (test: string, name: string, more: Json = {}): Json => ({
  http: name,
  url: `${TOOLS}/${test}/${name}`,
  ...more,
});
const call = (name: string, args: Json = {}): Json => ({ name, args });
const plan = (...steps: unknown[]): string => writePlan(steps as never);
const start = (body: Json, key?: string): Promise<Response> => send("POST", "/v1/runs", body, key);

const SCOPES = ["inference", "runs:read", "runs:write", "sessions:read", "sessions:write"];

describe("a run with a harness", () => {
  it("has its model, instructions, tools, policy and limits", async () => {
    await store("whole", {
      instructions: "Help.",
      tools: [webhook("whole", "look", { effect: "read_only" }), webhook("whole", "pay")],
      policy: [
        { tool: "look", do: "allow" },
        { tool: "*", do: "deny" },
      ],
      limits: { max_turns: 5 },
    });
    const done = await json("POST", "/v1/runs", {
      harness: "harness_whole",
      instructions: "Briefly.",
      input: plan([call("look"), call("pay")], "Done."),
      limits: { max_turns: 9, max_tool_calls: 3 },
    });
    expect(done).toMatchObject({
      status: "completed",
      harness: "harness_whole_v1",
      limits: { max_turns: 5, max_tool_calls: 3 },
    });
    expect((await listOf(done.id, "tool-executions")).map(({ status }) => status)).toEqual(["succeeded", "denied"]);
    const effective = await json("GET", `/v1/runs/${done.id as string}/effective-request`);
    expect(effective).toMatchObject({ harness: "harness_whole_v1", call: { model: "fake/plan" } });
    const session = await json("GET", `/v1/sessions/${done.session_id as string}`);
    expect(JSON.stringify(session)).toContain("Help.\\n\\nBriefly.");
  });

  it("goes on with what it started with, whatever becomes of that", async () => {
    await store("frozen", { tools: [webhook("frozen", "pay")], policy: [{ tool: "pay", do: "ask" }] });
    const waiting = await json("POST", "/v1/runs", {
      hosted_harness_id: "harness_frozen",
      input: plan([call("pay")], "Paid."),
    });
    expect(waiting.status).toBe("waiting_for_approval");
    await store("frozen", { tools: [], policy: [{ tool: "*", do: "deny" }] });
    expect((await send("DELETE", "/v1/harnesses/harness_frozen")).status).toBe(204);
    await json("POST", `/v1/checkpoints/${(waiting.open as string[])[0]!}:resolve`, { decision: "approve" });
    await expect.poll(async () => (await json("GET", `/v1/runs/${waiting.id as string}`)).status).toBe("completed");
    expect(await toolLog("frozen")).toHaveLength(1);
    expect((await start({ harness: "harness_frozen", input: "x" })).status).toBe(400);
  });

  it("gives the client's own calls back to it, whatever the policy says of others", async () => {
    await store("mixed", {
      tools: [webhook("mixed", "look", { effect: "read_only" })],
      policy: [
        { tool: "look", do: "allow" },
        { tool: "*", do: "deny" },
      ],
    });
    const waiting = await json("POST", "/v1/runs", {
      harness: "harness_mixed",
      tools: [clientTool("weather")],
      input: plan([call("look"), call("weather", { city: "Lyon" })], "Fine."),
    });
    expect(waiting.status).toBe("waiting_for_tool");
    const done = await json("POST", `/v1/runs/${waiting.id as string}:resume`, {
      tool_results: [{ id: (waiting.open as string[])[0], content: "Sun." }],
    });
    expect([done.status, textOf(done)]).toEqual(["completed", "Fine."]);
  });

  it.each([
    ["a tool that the gateway would execute", { tools: [{ type: "native", name: "time" }] }, "tools[0].type"],
    ["a server", { servers: { x: { url: "https://mcp.example.com/x/modern" } } }, "servers"],
    ["a tool of a name that the harness has", { tools: [{ name: "look" }] }, "tools[1].name"],
    ["a harness that there is none of", { harness: "harness_nothing" }, "harness"],
    ["an id that is none", { harness: "whole" }, "harness"],
  ])("does not take %s", async (_, more, param) => {
    await store("strict", { tools: [webhook("strict", "look")] });
    const answer = await start({ harness: "harness_strict", input: "x", ...more });
    expect([answer.status, await answer.json()]).toMatchObject([400, { error: { details: { param } } }]);
  });

  it("ends where one of its conditions is met", async () => {
    await store("stops", {
      tools: [webhook("stops", "notify", { effect: "idempotent" })],
      stop: [{ tool: "notify", after: "succeeded" }, { text: "DONE" }],
    });
    const after = await json("POST", "/v1/runs", { harness: "harness_stops", input: plan([call("notify")], "Never.") });
    expect(after).toMatchObject({ status: "completed", stop_reason: "stop_condition", steps: 1 });
    const blocks = await json("GET", `/v1/sessions/${after.session_id as string}/blocks`);
    expect((blocks.data as Json[]).at(-1)).toMatchObject({ type: "tool_result" });
    const text = await json("POST", "/v1/runs", { harness: "harness_stops", input: plan("It is DONE.") });
    expect(text).toMatchObject({ stop_reason: "stop_condition" });
  });

  it("has the tools of its servers, with their secrets and its effects", async () => {
    await send("PUT", "/v1/secrets/CRM", { value: "s3cret", hosts: ["mcp.example.com"] });
    await store("crm", {
      servers: { crm: { url: `${HOST}/harnessed/modern`, auth: { secret: "CRM" } } },
      tools: [{ mcp: "crm", only: ["get_order", "refund"] }],
      effects: { "crm__get_*": "read_only" },
    });
    const waiting = await json("POST", "/v1/runs", {
      harness: "harness_crm",
      input: plan([call("crm__get_order", { id: "1" }), call("crm__refund", { n: 1 })], "Done."),
    });
    expect((await listOf(waiting.id, "tool-executions")).map(({ status, effect }) => [status, effect])).toEqual([
      ["succeeded", "read_only"],
      ["awaiting_approval", "unknown"],
    ]);
    const log = await (await fetch(`${HOST}/harnessed/log`)).json<McpMessage[]>();
    expect(new Set(log.map(({ headers }) => headers.authorization))).toEqual(new Set(["Bearer s3cret"]));
    expect(JSON.stringify(await json("GET", `/v1/runs/${waiting.id as string}/effective-request`))).not.toContain(
      "s3cret",
    );
  });

  it("is replayed with the same version, or with another harness", async () => {
    await store("first", { tools: [webhook("first", "look", { effect: "read_only" })] });
    await store("second", { tools: [webhook("second", "look", { effect: "read_only" })] });
    const done = await json("POST", "/v1/runs", { harness: "harness_first", input: plan([call("look")], "Done.") });
    await store("first", { tools: [] });
    const same = await json("POST", `/v1/runs/${done.id as string}:replay`, {});
    expect(same).toMatchObject({ status: "completed", harness: "harness_first_v1" });
    const other = await json("POST", `/v1/runs/${done.id as string}:replay`, { harness: "harness_second" });
    expect(other).toMatchObject({ status: "completed", harness: "harness_second_v1" });
    expect([await toolLog("first"), await toolLog("second")].map(({ length }) => length)).toEqual([2, 1]);
  });
});

describe("a default harness", () => {
  it("is that of the key, or else of the organisation", async () => {
    await store("ofkey", { tools: [webhook("ofkey", "look", { effect: "read_only" })] });
    const key = await newKey(SCOPES, { defaults: { harness: "harness_ofkey" } });
    const done = await json("POST", "/v1/runs", { input: plan([call("look")], "Done.") }, key);
    expect(done).toMatchObject({ status: "completed", harness: "harness_ofkey_v1" });
    await store("oforg", { tools: [] });
    expect((await send("PATCH", "/v1/organizations/org_default", { harness: "harness_oforg" })).status).toBe(200);
    const plain = await run({ input: "Hello." });
    expect(plain).toMatchObject({ harness: "harness_oforg_v1" });
    expect((await send("PATCH", "/v1/organizations/org_default", { harness: null })).status).toBe(200);
    expect(await run({ input: "Hello." })).not.toHaveProperty("harness");
  });

  it("gives /mcp its tools, with its policy, and questions to people", async () => {
    await store("served", {
      tools: [webhook("served", "look", { effect: "read_only" }), webhook("served", "pay"), webhook("served", "no")],
      policy: [
        { tool: "no", do: "deny" },
        { tool: "pay", do: "ask" },
      ],
    });
    const scopes = ["inference", "runs:read", "runs:write", "runs:approve"];
    const key = await newKey(scopes, { defaults: { harness: "harness_served" } });
    const listed = await serve("tools/list", {}, key);
    expect((listed.tools as Json[]).map(({ name }) => name)).toEqual(["look", "no", "pay"]);
    expect(await serve("tools/call", { name: "look" }, key)).toMatchObject({ isError: false });
    expect(await serve("tools/call", { name: "no" }, key)).toMatchObject({
      isError: true,
      content: [{ text: expect.stringContaining("policy") }],
    });
    const asked = (await serve("tools/call", { name: "pay" }, key)) as Json & {
      inputRequests: Json;
      requestState: string;
    };
    const [question] = Object.keys(asked.inputRequests);
    expect([asked.resultType, await toolLog("served")]).toMatchObject(["input_required", [{ path: "/served/look" }]]);
    const answers = { [question!]: { action: "accept", content: { allow: true } } };
    const paid = await serve(
      "tools/call",
      { name: "pay", inputResponses: answers, requestState: asked.requestState },
      key,
    );
    expect(paid).toMatchObject({ isError: false, content: [{ text: "Done: pay." }] });
    const again = await serve(
      "tools/call",
      { name: "pay", inputResponses: answers, requestState: asked.requestState },
      key,
    );
    expect([again, await toolLog("served")]).toMatchObject([{ isError: false }, [{}, {}]]);
  });
});

/** A request of a modern client of the gateway as an MCP server, which puts questions to people. */
async function serve(method: string, params: Json, key: string): Promise<Json> {
  const meta = "io.modelcontextprotocol";
  const _meta = { [`${meta}/protocolVersion`]: "2026-07-28", [`${meta}/clientCapabilities`]: { elicitation: {} } };
  const response = await request("/mcp", {
    method: "POST",
    key,
    headers: {
      "content-type": "application/json",
      "mcp-protocol-version": "2026-07-28",
      "mcp-method": method,
      ...(typeof params.name === "string" && { "mcp-name": params.name }),
    },
    body: JSON.stringify({ jsonrpc: "2.0", id: 1, method, params: { ...params, _meta } }),
  });
  const { result, error } = await response.json<{ result: Json; error?: Json }>();
  expect(error).toBeUndefined();
  return result;
}

it("a server that a request names needs the scope tools:remote", async () => {
  const key = await newKey(SCOPES);
  const body = {
    model: "fake/plan",
    input: "x",
    servers: { crm: { url: `${HOST}/scope/modern` } },
    tools: [{ type: "mcp", server: "crm" }],
  };
  const answer = await start(body, key);
  expect([answer.status, await answer.text()]).toEqual([403, expect.stringContaining("tools:remote")]);
});
