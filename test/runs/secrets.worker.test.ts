import { createHmac } from "node:crypto";
import { env } from "cloudflare:workers";
import { beforeAll, expect, it } from "vitest";
import { writePlan } from "../fake/plan.ts";
import { json, listOf, run, send, textOf, toolLog, webhook, type Json } from "../support/runs/client.ts";

const SIGNING = `whsec_${Buffer.from("a signing secret of 24 bytes").toString("base64")}`;
const plan = writePlan([[{ name: "notify", args: { n: 1 } }], "Sent."]);
const notify = (path: string, more: Json = {}): Json => webhook("notify", path, { effect: "idempotent", ...more });

beforeAll(async () => {
  const hosts = ["tools.example.com"];
  await json("PUT", "/v1/secrets/SIGNING", { value: SIGNING, hosts });
  await json("PUT", "/v1/secrets/TOKEN", { value: "hidden-token", hosts });
  await json("PUT", "/v1/secrets/ELSEWHERE", { value: "other-token", hosts: ["*.elsewhere.example"] });
});

it("a webhook gets its secrets and a signature that holds, and no reader of the run sees them", async () => {
  const tools = [
    notify("signed/echo", { secret: "SIGNING", headers: { authorization: { secret: "TOKEN", prefix: "Bearer " } } }),
  ];
  const done = await run({ input: plan, tools });
  expect(textOf(done)).toBe("Sent.");
  const { headers, body } = (await toolLog("signed"))[0]!;
  expect(headers.authorization).toBe("Bearer hidden-token");
  const [execution] = await listOf(done.id, "tool-executions");
  expect(headers["webhook-id"]).toBe(execution!.id);
  // Standard Webhooks 1.0.0: HMAC-SHA256 over id, timestamp and body, with the secret behind its prefix.
  const signed = `${headers["webhook-id"]}.${headers["webhook-timestamp"]}.${body}`;
  const key = Buffer.from(SIGNING.slice("whsec_".length), "base64");
  expect(headers["webhook-signature"]).toBe(`v1,${createHmac("sha256", key).update(signed).digest("base64")}`);
  expect(Math.abs(Number(headers["webhook-timestamp"]) - Date.now() / 1000)).toBeLessThan(60);
  const seen = [
    await json("GET", `/v1/runs/${done.id as string}/effective-request`),
    await json("GET", "/v1/secrets"),
    (await env.DB.prepare("SELECT * FROM audit_events").all()).results,
  ].map((one) => JSON.stringify(one));
  for (const text of seen) expect(text).not.toMatch(/hidden-token|whsec_/);
  expect(seen[1]).toContain('"name":"TOKEN"');
});

it.each([
  ["secret", { secret: "NONE" }, /there is no secret NONE/],
  ["secret", { secret: "ELSEWHERE" }, /may be sent to \*\.elsewhere\.example only/],
  ["headers.x-key.secret", { headers: { "x-key": { secret: "ELSEWHERE" } } }, /only/],
])("a secret that may not be sent to its tool is refused when the run starts: %s %j", async (field, more, message) => {
  const refused = await send("POST", "/v1/runs", {
    model: "fake/plan",
    input: plan,
    tools: [notify("refused/echo", more)],
  });
  expect([refused.status, await refused.json()]).toMatchObject([
    400,
    { error: { message: expect.stringMatching(message), details: { param: `tools[0].${field}` } } },
  ]);
  expect(await toolLog("refused")).toEqual([]);
});

it("a secret that is changed or removed while a run waits is the new one, or none", async () => {
  const hosts = ["tools.example.com"];
  await json("PUT", "/v1/secrets/ROTATED", { value: "old-token", hosts });
  const wait = async (test: string): Promise<string> => {
    const tools = [notify(`${test}/echo`, { policy: "ask", headers: { authorization: { secret: "ROTATED" } } })];
    const { open } = (await run({ input: plan, tools })) as { open: string[] };
    return open[0]!;
  };
  const [first, second] = [await wait("rotated"), await wait("removed")];
  await json("PUT", "/v1/secrets/ROTATED", { value: "new-token", hosts });
  await json("POST", `/v1/checkpoints/${first}:resolve`, { decision: "approve" });
  await expect
    .poll(async () => (await toolLog("rotated"))[0]?.headers.authorization, { timeout: 10_000 })
    .toBe("new-token");
  expect((await send("DELETE", "/v1/secrets/ROTATED")).status).toBe(204);
  const { run_id } = await json("POST", `/v1/checkpoints/${second}:resolve`, { decision: "approve" });
  await expect
    .poll(async () => (await listOf(run_id, "tool-executions"))[0]!.status, { timeout: 10_000 })
    .toBe("failed");
  expect(await toolLog("removed")).toEqual([]);
  expect((await send("DELETE", "/v1/secrets/ROTATED")).status).toBe(404);
});

it.each([
  ["no-value", { hosts: ["a.example"] }, 400],
  ["no-hosts", { value: "x", hosts: [] }, 400],
  ["odd-host", { value: "x", hosts: ["https://a.example/"] }, 400],
  ["1st", { value: "x", hosts: ["a.example"] }, 400],
])("a secret that is none is refused: %s", async (name, body, status) => {
  expect((await send("PUT", `/v1/secrets/${name}`, body)).status).toBe(status);
});

it("a secret that no header can have is not sent, and its call fails", async () => {
  await json("PUT", "/v1/secrets/BROKEN", { value: "one\r\nx-injected: two", hosts: ["tools.example.com"] });
  const tools = [notify("broken-secret/echo", { policy: "allow", headers: { "x-key": { secret: "BROKEN" } } })];
  const { id } = await run({ input: plan, tools });
  expect(await listOf(id, "tool-executions")).toMatchObject([
    { status: "failed", result: expect.stringContaining("cannot be sent in a header") as string },
  ]);
  expect(await toolLog("broken-secret")).toEqual([]);
});
