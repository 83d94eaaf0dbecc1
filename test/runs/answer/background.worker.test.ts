import { expect, it } from "vitest";
import { crash, ended, type Json, json, send, toolLog, webhook } from "../../support/runs/client.ts";
import { answered, ask, call, plan } from "../../support/runs/tool-calls.ts";

const TIME = { tools: [{ type: "native", name: "time" }] };
const background = { background: true };

/** A stored response when it has come to one of these states. */
async function settled(id: unknown, status = /completed|failed|cancelled/): Promise<Json> {
  const path = `/v1/responses/${id as string}`;
  await expect.poll(async () => (await json("GET", path)).status, { timeout: 10_000 }).toMatch(status);
  return await json("GET", path);
}
const textIn = ({ output }: Json): string =>
  (output as { content?: { text?: string }[] }[])
    .flatMap(({ content = [] }) => content.map(({ text = "" }) => text))
    .join("|");

it.each([false, true])("a background response is answered by a run (stream: %s)", async (stream) => {
  const answer = await ask("responses", plan([call("time")], "Late."), { stream, rhone: TIME, more: background });
  expect(answer.status).toBe(200);
  if (!stream) expect(answer.whole.status).toBe("queued");
  const id = stream ? (answer.whole as { id: string }).id : answer.whole.id;
  const done = await settled(id);
  expect([done.status, textIn(done)]).toEqual(["completed", "Let me look.|Late."]);
  expect(await json("GET", `/v1/runs/${(id as string).replace("resp", "run")}`)).toMatchObject({
    status: "completed",
    steps: 2,
  });
  const next = await answered("responses", plan("Bye."), { rhone: TIME, more: { previous_response_id: id } });
  expect(next.text).toContain("Bye.");
});

it("is cancelled with its run", async () => {
  const slow = webhook("slow", "background-cancel/never", { effect: "read_only" });
  const { whole } = await answered("responses", plan([call("slow")], "Never."), {
    rhone: { tools: [slow] },
    more: background,
  });
  await expect.poll(async () => (await toolLog("background-cancel")).length).toBe(1);
  const cancelled = await send("POST", `/v1/responses/${whole.id as string}/cancel`);
  expect([cancelled.status, (await cancelled.json<Json>()).status]).toEqual([200, "cancelled"]);
  expect((await ended((whole.id as string).replace("resp", "run"))).status).toBe("cancelled");
});

it("goes on to its end after a crash of its object", async () => {
  const look = webhook("look", "background-crash/never-once", { effect: "read_only", timeout_ms: 60_000 });
  const { whole } = await answered("responses", plan([call("look")], "Over."), {
    rhone: { tools: [look] },
    more: background,
  });
  await expect.poll(async () => (await toolLog("background-crash")).length).toBe(1);
  await crash((whole.id as string).replace("resp", "run"));
  expect((await json("GET", `/v1/responses/${whole.id as string}`)).status).toMatch(/in_progress|completed/);
  expect((await ended((whole.id as string).replace("resp", "run"))).status).toBe("completed");
  const done = await settled(whole.id);
  expect([done.status, done.background, textIn(done)]).toEqual(["completed", true, "Let me look.|Over."]);
});

it("has failed where its run fails after a crash of its object", async () => {
  const slow = webhook("slow", "background-fails/never", { effect: "read_only", timeout_ms: 60_000 });
  const { whole } = await answered("responses", plan([call("slow")], "Never."), {
    rhone: { tools: [slow], on_disconnect: "cancel" },
    more: background,
  });
  const run = (whole.id as string).replace("resp", "run");
  await expect.poll(async () => (await toolLog("background-fails")).length).toBe(1);
  await crash(run);
  await send("POST", `/v1/runs/${run}:cancel`);
  expect((await ended(run)).status).toBe("cancelled");
  expect((await settled(whole.id)).status).toBe("failed");
});

it("is cancelled with its run after a crash as well", async () => {
  const slow = webhook("slow", "background-cancel-late/never", { effect: "read_only", timeout_ms: 60_000 });
  const asked = plan([call("slow")], "Never.");
  const { whole } = await answered("responses", asked, { rhone: { tools: [slow] }, more: background });
  const run = (whole.id as string).replace("resp", "run");
  const calls = async (): Promise<number> => (await toolLog("background-cancel-late")).length;
  await expect.poll(calls).toBe(1);
  await crash(run);
  await expect.poll(calls, { timeout: 10_000 }).toBe(2);
  await send("POST", `/v1/responses/${whole.id as string}/cancel`);
  expect((await ended(run)).status).toBe("cancelled");
});

it("a failure of its first step is the response's", async () => {
  const { whole } = await answered("responses", "x", { rhone: TIME, more: background, model: "refuse" });
  const failed = await settled(whole.id);
  expect([failed.status, failed.error]).toEqual([
    "failed",
    expect.objectContaining({ message: expect.any(String) as string }),
  ]);
});
