import { expect, it } from "vitest";
import { crash, ended, type Json, json, listOf, storeHarness, toolLog, webhook } from "../../support/runs/client.ts";
import { type Answered, answered, ask, call, plan, type Spoken } from "../../support/runs/tool-calls.ts";

const REQUEST = { thinking: "", text: "@request" };
const TOOLS = ["weather"];

/** A reply that calls a tool of the client and one of the gateway, and what its client goes on with. */
async function mixed(tool: Json, after: unknown = REQUEST, rhone: Json = { tools: [tool] }) {
  const asked = { text: plan([call("weather", { city: "Lyon" }), call(tool.name as string)], after) };
  const answer = await answered("chat", [asked], { rhone, tools: TOOLS });
  const result = { result: "22 degrees", of: answer.calls[0]! };
  const session = { ...rhone, session_id: answer.rhone.session_id };
  return { answer, session, next: [asked, { answered: answer }, result] as Spoken[] };
}

const statusesOf = async ({ rhone }: Answered): Promise<unknown[]> =>
  (await listOf(rhone.run_id, "tool-executions")).map(({ name, status }) => [name, status]);

it("makes the calls that a reply has left once, also where the client goes on from it twice", async () => {
  const { answer, session, next } = await mixed(webhook("pay", "held-once/pay", { policy: "allow" }));
  expect(await toolLog("held-once")).toEqual([]);
  const parent = answer.rhone.turn_id;
  const one = await answered("chat", next, { rhone: { ...session, parent }, tools: TOOLS });
  const other = await answered("chat", next, { rhone: { ...session, parent }, tools: TOOLS });
  expect(await toolLog("held-once")).toHaveLength(1);
  expect([await statusesOf(one), await statusesOf(other)]).toEqual([[["pay", "succeeded"]], []]);
  for (const { text } of [one, other]) expect(text).toContain("Done: pay.");
});

it("decides about them as the harness is when the client goes on", async () => {
  const tools = [{ http: "pay", url: "https://tools.example.com/held-denied/pay" }];
  await storeHarness("held-denied", { tools, policy: [{ tool: "*", do: "allow" }] });
  const rhone = { harness: "harness_held-denied" };
  const { session, next } = await mixed({ name: "pay" }, REQUEST, rhone);
  await storeHarness("held-denied-2", { tools, policy: [{ tool: "*", do: "deny" }] });
  const denied = await answered("chat", next, {
    rhone: { ...session, harness: "harness_held-denied-2" },
    tools: TOOLS,
  });
  expect(denied.text).toContain("The policy of this run does not allow this call");
  expect(await toolLog("held-denied")).toEqual([]);
});

it("makes none that the tools of the call have no longer, and none of a client that goes on without its results", async () => {
  const gone = await mixed(webhook("pay", "held-gone/pay", { policy: "allow" }));
  const rhone = { ...gone.session, tools: [{ type: "native", name: "time" }] };
  expect((await answered("chat", gone.next, { rhone, tools: TOOLS })).text).toContain("There is no tool named pay");
  const left = await mixed(webhook("pay", "held-gone/left", { policy: "allow" }));
  const bye = await answered("chat", [...left.next.slice(0, 2), { text: plan(REQUEST) }], {
    rhone: left.session,
    tools: TOOLS,
  });
  expect(bye.text).toContain("The tool was not run");
  // A call without tools of the gateway makes none either.
  const plain = await mixed(webhook("pay", "held-gone/plain", { policy: "allow" }));
  const { session_id } = plain.session as Json;
  const answer = await answered("chat", plain.next, { rhone: { session_id }, tools: TOOLS });
  expect(answer.text).toContain("The tool was not run");
  expect(await toolLog("held-gone")).toEqual([]);
});

it("makes them also where the client has deleted an item of that reply meanwhile", async () => {
  const { answer, session, next } = await mixed(webhook("pay", "held-edited/pay", { policy: "allow" }));
  const at = `/v1/conversations/${(answer.rhone.session_id as string).replace("sess", "conv")}/items`;
  const items = (await json("GET", at)).data as { id: string; type: string; role?: string }[];
  const { id } = items.find(({ type, role }) => type === "message" && role === "assistant")!;
  await json("DELETE", `${at}/${id}`);
  const done = await answered("chat", next, { rhone: session, tools: TOOLS });
  expect(done.text).toContain("Done: pay.");
  expect(done.text).not.toContain("Let me look.");
  expect(await toolLog("held-edited")).toHaveLength(1);
  expect(JSON.stringify(await json("GET", at))).not.toMatch(/"name":"pay"/);
});

it("keeps the results of such calls when the run ends before the model has read them", async () => {
  const look = webhook("look", "held-crash/never-once", { effect: "read_only", timeout_ms: 60_000 });
  const { session, next } = await mixed(look);
  const going = ask("chat", next, { rhone: session, tools: TOOLS, stream: true });
  await expect.poll(async () => (await toolLog("held-crash")).length).toBe(1);
  const [sent] = await toolLog("held-crash");
  const { run_id: run } = (JSON.parse(sent!.body) as { data: { run_id: string } }).data;
  await crash(run);
  await going.catch(() => {});
  expect((await ended(run)).status).toBe("failed");
  const again = await answered("chat", next, { rhone: session, tools: TOOLS });
  expect(again.text).toContain("At last.");
  expect(await toolLog("held-crash")).toHaveLength(2);
});
