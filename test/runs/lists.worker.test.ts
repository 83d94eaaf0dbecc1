import { env } from "cloudflare:workers";
import { expect, it } from "vitest";
import { writePlan } from "../fake/plan.ts";
import { json, run, send, webhook, type Json } from "../support/runs/client.ts";

/** Records follow what they record. */
const SOON = { timeout: 10_000 };
const refund = { name: "refund", args: { n: 5 } };
const idsOf = async (path: string): Promise<unknown[]> =>
  ((await json("GET", path)).data as Json[]).map(({ id }) => id);

it("runs and checkpoints of an organisation are found by what they are, and its tools' executions are rows", async () => {
  const tools = [webhook("refund", "lists/echo")];
  const waiting = await run({ input: writePlan([[refund], "Over."]), tools, metadata: { customer: "a.b" } });
  const other = await run({ model: "demo", input: "Hello." });
  await expect.poll(() => idsOf("/v1/runs?limit=100"), SOON).toEqual(expect.arrayContaining([waiting.id, other.id]));
  expect(await idsOf("/v1/runs?status=waiting_for_approval&metadata.customer=a.b")).toEqual([waiting.id]);
  expect(await idsOf(`/v1/runs?session_id=${other.session_id as string}`)).toEqual([other.id]);
  expect(await idsOf("/v1/runs?created_before=2020-01-01T00:00:00Z")).toEqual([]);
  expect((await send("GET", "/v1/runs?colour=red")).status).toBe(400);
  const [checkpoint] = waiting.open as string[];
  await expect.poll(() => idsOf("/v1/checkpoints?status=open"), SOON).toContain(checkpoint);
  await json("POST", `/v1/checkpoints/${checkpoint!}:resolve`, { decision: "approve" });
  await expect.poll(() => idsOf("/v1/checkpoints?status=open"), SOON).not.toContain(checkpoint);
  expect(await idsOf("/v1/checkpoints?status=approved")).toContain(checkpoint);
  await expect.poll(() => idsOf("/v1/runs?status=completed&metadata.customer=a.b"), SOON).toEqual([waiting.id]);
  const { results } = await env.DB.prepare("SELECT name, status, attempt FROM tool_executions WHERE run_id = ?")
    .bind(waiting.id)
    .all();
  expect(results).toEqual([{ name: "refund", status: "succeeded", attempt: 1 }]);
  const key = (await (
    await send("POST", "/v1/keys", { name: "k", ttl_s: 600, scopes: ["runs:write"] })
  ).json()) as Json;
  expect((await send("GET", "/v1/runs", undefined, key.secret as string)).status).toBe(403);
});
