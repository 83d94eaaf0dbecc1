import { expect, it } from "vitest";
import { type Json, json, listOf, send, storeHarness, toolLog, webhook } from "../../support/runs/client.ts";
import { crm, KINDS, resolve } from "../../support/runs/mcp.ts";
import { answered, ask, call, plan } from "../../support/runs/tool-calls.ts";

const REQUEST = { thinking: "", text: "@request" };
const PAY = plan([call("pay", { n: 3 })], REQUEST);

/** The open checkpoint of the run that executes a tool of a test. `known`: an earlier one, which lists may still have. */
async function openCheckpoint(tool: string, known?: unknown): Promise<Json> {
  const find = async (): Promise<Json | undefined> =>
    ((await json("GET", "/v1/checkpoints?status=open&limit=100")).data as Json[]).find(
      (one) => one.tool === tool && one.id !== known,
    );
  await expect.poll(find, { timeout: 20_000 }).toBeDefined();
  return (await find())!;
}

it.each([false, true])("a call waits for a person while its client waits (stream: %s)", async (stream) => {
  const test = `unattended-${stream}`;
  const rhone = { tools: [webhook(`pay_${stream}`, `${test}/pay`)], unattended: "wait" };
  const going = answered("chat", plan([call(`pay_${stream}`, { n: 3 })], REQUEST), { stream, rhone });
  const { id } = await openCheckpoint(`pay_${stream}`);
  expect(await toolLog(test)).toEqual([]);
  expect((await resolve(id, { decision: "approve" })).status).toBe(200);
  expect((await going).text).toContain("Done: pay.");
  expect(await toolLog(test)).toHaveLength(1);
});

it("a person refuses, or changes the arguments, of a harness that waits", async () => {
  const tools = [
    { http: "charge", url: "https://tools.example.com/unattended-edit/charge", parameters: { type: "object" } },
  ];
  await storeHarness("unattended", { tools, unattended: "wait" });
  const options = { rhone: { harness: "harness_unattended" } };
  const asked = plan([call("charge", { n: 3 })], REQUEST);
  const refused = answered("messages", asked, options);
  const { id } = await openCheckpoint("charge");
  await resolve(id, { decision: "deny", reason: "Too much." });
  expect((await refused).text).toContain("A person did not allow this call: Too much.");
  const edited = answered("messages", asked, options);
  await resolve((await openCheckpoint("charge", id)).id, { decision: "edit", arguments: { n: 1 } });
  const { text, rhone } = await edited;
  expect(text).toContain("Done: charge.");
  const [sent] = await toolLog("unattended-edit");
  expect(JSON.parse(sent!.body)).toMatchObject({ data: { arguments: { n: 1 } } });
  expect(await listOf(rhone.run_id, "checkpoints")).toMatchObject([{ status: "edited" }]);
});

it("a call whose client leaves it, or cancels it, waits no longer", async () => {
  const rhone = { tools: [webhook("pay", "unattended-left/pay")], unattended: "wait" };
  const going = ask("chat", PAY, { rhone });
  const { id, run_id } = await openCheckpoint("pay");
  await send("POST", `/v1/runs/${run_id as string}:cancel`);
  expect((await going).status).not.toBe(200);
  expect((await json("GET", `/v1/checkpoints/${id as string}`)).status).toBe("cancelled");
  expect(await toolLog("unattended-left")).toEqual([]);
});

it.each(KINDS)("a question of a server is declined where no person is waited for (%s)", async (kind) => {
  const rhone = { servers: crm(`unattended-${kind}`, kind), tools: [{ type: "mcp", server: "crm", policy: "allow" }] };
  const asked = plan([call("crm__deploy", { env: "prod" })], REQUEST);
  const { rhone: about } = await answered("chat", asked, { rhone });
  expect(await listOf(about.run_id, "checkpoints")).not.toContainEqual(expect.objectContaining({ status: "open" }));
  expect(await listOf(about.run_id, "tool-executions")).toMatchObject([{ name: "crm__deploy" }]);
});
