import { afterEach, describe, expect, it, vi } from "vitest";
import { type Json, newKey, storeHarness } from "../../support/runs/client.ts";
import { callsOf, crm, urlOf } from "../../support/runs/mcp.ts";
import { type Answered, answered, ask, call, plan } from "../../support/runs/tool-calls.ts";

const BETA = { "anthropic-beta": "mcp-client-2025-11-20" };
/** A host that calls no servers. */
const model = "fake/plan";
const REQUEST = { thinking: "", text: "@request" };
const refund = (after: unknown = "Done."): string => plan([call("crm__refund", { n: 1 })], after);
const typesOf = ({ whole }: Answered): unknown[] => (whole.content as Json[]).map(({ type }) => type);

describe.each([false, true])("Messages (stream: %s)", (stream) => {
  it("shows calls of the servers that a request names", async () => {
    const test = `shown-messages-${stream}`;
    const mcp_servers = [{ type: "url", name: "crm", url: urlOf(test), authorization_token: "t0ken" }];
    const tools = [
      {
        type: "mcp_toolset",
        mcp_server_name: "crm",
        default_config: { enabled: false },
        configs: { refund: { enabled: true } },
      },
    ];
    const text = refund();
    const answer = await answered("messages", text, { stream, headers: BETA, more: { model, mcp_servers, tools } });
    expect(typesOf(answer).filter((type) => type !== "thinking")).toEqual([
      "text",
      "mcp_tool_use",
      "mcp_tool_result",
      "text",
    ]);
    const [use, result] = (answer.whole.content as Json[]).filter(({ type }) => (type as string).startsWith("mcp"));
    expect(use).toMatchObject({ name: "refund", server_name: "crm", input: { n: 1 } });
    expect(result).toMatchObject({ tool_use_id: use!.id, is_error: false });
    expect(await callsOf(test)).toHaveLength(1);
    expect(answer.raw).not.toMatch(/crm__refund|t0ken|"tool_use"/);
    // A transcript with these blocks is the session's own.
    const again = [{ text }, { answered: answer }, { text: plan(REQUEST) }];
    const { session_id } = answer.rhone;
    const more = { model, mcp_servers, tools };
    const next = await answered("messages", again, { headers: BETA, rhone: { session_id }, more });
    expect(next.text).toContain('"role":"tool"');
    expect(next.text).not.toContain("get_order");
    expect(next.text.match(/Let me look/g)).toHaveLength(1);
  });
});

it("Messages shows calls of a harness's servers with the beta, which may name them by their labels", async () => {
  const tools = [{ mcp: "crm", policy: "allow" }];
  await storeHarness("shown", { servers: crm("shown", "modern"), tools });
  const rhone = { harness: "harness_shown" };
  expect(typesOf(await answered("messages", refund(), { rhone, headers: BETA }))).toContain("mcp_tool_use");
  expect(typesOf(await answered("messages", refund(), { rhone }))).not.toContain("mcp_tool_use");
  const named = { tools: [{ type: "mcp_toolset", mcp_server_name: "crm" }] };
  expect(typesOf(await answered("messages", refund(), { rhone, more: named }))).toContain("mcp_tool_use");
});

it("a call that a person has to approve is denied where the client cannot", async () => {
  await storeHarness("shown-ask", { servers: crm("shown-ask", "modern"), tools: [{ mcp: "crm" }] });
  const more = { tools: [{ type: "mcp_toolset", mcp_server_name: "crm" }] };
  const { text } = await answered("messages", refund(REQUEST), { rhone: { harness: "harness_shown-ask" }, more });
  expect(text).toContain("a person would have to approve it");
  expect(await callsOf("shown-ask")).toEqual([]);
});

it.each([
  ["no name", { name: null }, "mcp_servers[0].name"],
  ["no URL", { url: null }, "mcp_servers[0].url"],
  ["a token that is no text", { authorization_token: 7 }, "mcp_servers[0].authorization_token"],
  ["an address inside", { url: "http://127.0.0.1/mcp" }, "mcp_servers[0]"],
])("Messages refuses a server with %s", async (_, members, field) => {
  const mcp_servers = [{ type: "url", name: "crm", url: urlOf("shown-refused"), ...members }];
  const answer = await ask("messages", "x", { more: { model, mcp_servers } });
  expect([answer.status, answer.raw]).toEqual([400, expect.stringContaining(`${field}:`)]);
});

describe("a call whose arguments are no JSON", () => {
  afterEach(() => vi.unstubAllGlobals());

  it("is shown without them", async () => {
    const { fetch: real } = globalThis;
    vi.stubGlobal("fetch", async (...sent: Parameters<typeof fetch>) => {
      const response = await real(...sent);
      return new Response((await response.text()).replace(String.raw`"{\"n\":1}"`, '"{tru"'), response);
    });
    const rhone = { servers: crm("shown-broken", "modern"), tools: [{ type: "mcp", server: "crm", policy: "allow" }] };
    const answer = await answered("messages", refund(), { rhone, headers: BETA, more: { model } });
    const [use, result] = (answer.whole.content as Json[]).filter(({ type }) => (type as string).startsWith("mcp"));
    expect([use!.input, result!.is_error, answer.text]).toEqual([{}, true, "Let me look.\n\nDone."]);
    expect(await callsOf("shown-broken")).toEqual([]);
  });
});

it("Messages needs a scope for a server by its URL", async () => {
  const mcp_servers = [{ type: "url", name: "crm", url: urlOf("shown-scoped") }];
  const key = await newKey(["inference"]);
  expect((await ask("messages", "x", { key, more: { model, mcp_servers } })).status).toBe(403);
});

it.each([false, true])(
  "Gemini shows calls if its client wants to see those of the server (stream: %s)",
  async (stream) => {
    const rhone = { servers: crm("shown-gemini", "modern"), tools: [{ type: "mcp", server: "crm", policy: "allow" }] };
    const toolConfig = { includeServerSideToolInvocations: true };
    const answer = await answered("gemini", refund(), { stream, rhone, more: { toolConfig } });
    expect(answer.raw).toMatch(/"toolCall":\{"id":"tool_\w+","toolType":"TOOL_TYPE_UNSPECIFIED"/);
    expect(answer.raw).toMatch(/"toolResponse":\{"id":"tool_\w+"/);
    expect(answer.text).toBe("Let me look.\n\nDone.");
  },
);
