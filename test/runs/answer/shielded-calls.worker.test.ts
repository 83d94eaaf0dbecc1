import { beforeAll, expect, it } from "vitest";
import { type Json, json, newKey, send } from "../../support/runs/client.ts";
import { callsOf, crm, urlOf } from "../../support/runs/mcp.ts";
import { type Answered, answered, call, plan } from "../../support/runs/tool-calls.ts";
import { EMAIL, setProfile, TAG } from "../../support/shield/gateway.ts";

/** A host that calls no servers. */
const model = "fakeanth/plan";
const safety = { profile: "shown" };
/** The names of members with which a wire says what something is mean nothing in the arguments of a tool. */
const ARGS = { id: EMAIL, to: EMAIL };
const ASKED = `I am ${EMAIL}. ${plan([call("crm__get_order", ARGS)], [call("crm__refund", { n: 1, ...ARGS })], "Done.")}`;

beforeAll(async () => {
  await setProfile("shown", { mode: "enforce", detectors: { email: { action: "redact" } } });
});

const shownOf = ({ whole }: Answered): Json[] =>
  (whole.output as Json[]).filter(({ type }) => /^mcp_(call|approval)/.test(type as string));

it.each([false, true])(
  "a client is shown its own values in calls, and no other key is (stream: %s)",
  async (stream) => {
    const test = `shielded-${stream}`;
    const server_url = urlOf(test);
    const require_approval = { never: { tool_names: ["get_order"] } };
    const tools = [{ type: "mcp", server_label: "crm", server_url, require_approval }];
    const options = { stream, rhone: { safety } };
    const first = await answered("responses", ASKED, { ...options, more: { model, tools } });
    const approval = { n: 1, ...ARGS };
    expect(shownOf(first)).toMatchObject([
      { arguments: JSON.stringify(ARGS), output: `get_order ${JSON.stringify(ARGS)}` },
      { type: "mcp_approval_request", arguments: JSON.stringify(approval) },
    ]);
    const decided = { type: "mcp_approval_response", approval_request_id: shownOf(first)[1]!.id, approve: true };
    const input = [decided];
    const done = await answered("responses", "-", {
      ...options,
      more: { model, tools, input, previous_response_id: first.whole.id },
    });
    expect(shownOf(done)).toMatchObject([{ arguments: JSON.stringify(approval) }]);
    // What the client has approved is what the server gets.
    expect((await callsOf(test)).map(({ arguments: args }) => args)).toEqual([ARGS, approval]);
    const other = await newKey(["inference", "sessions:read"]);
    for (const { whole } of [first, done]) {
      const path = `/v1/responses/${whole.id as string}`;
      expect((await json("GET", path)).output).toEqual(whole.output);
      const theirs = await (await send("GET", path, undefined, other)).text();
      expect(theirs).toMatch(TAG);
      expect(theirs).not.toContain(EMAIL);
    }
  },
);

it("a server gets the tag of a value that is not of the key which approves its call", async () => {
  const server_url = urlOf("shielded-other");
  const tools = [{ type: "mcp", server_label: "crm", server_url }];
  const [one, other] = [await newKey(["inference", "tools:remote"]), await newKey(["inference", "tools:remote"])];
  const first = await answered("responses", ASKED, { key: one, rhone: { safety }, more: { model, tools } });
  const decided = { type: "mcp_approval_response", approval_request_id: shownOf(first)[0]!.id, approve: true };
  const more = { model, tools, input: [decided], previous_response_id: first.whole.id };
  await answered("responses", "-", { key: other, rhone: { safety }, more });
  const made = await callsOf("shielded-other");
  expect([made.length, JSON.stringify(made)]).toEqual([1, expect.not.stringContaining(EMAIL)]);
});

it.each(["messages", "gemini"] as const)("the same is so of %s", async (surface) => {
  const tools = [{ type: "mcp", server: "crm", policy: "allow" }];
  const rhone = { safety, servers: crm(`shielded-${surface}`, "modern"), tools };
  const headers = { "anthropic-beta": "mcp-client-2025-11-20" };
  const more = surface === "gemini" ? { toolConfig: { includeServerSideToolInvocations: true } } : {};
  for (const stream of [false, true]) {
    const { raw } = await answered(surface, ASKED, { stream, rhone, headers, more });
    expect([raw, raw]).toEqual([expect.stringContaining(EMAIL), expect.not.stringMatching(TAG)]);
  }
});
