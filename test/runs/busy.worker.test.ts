import { expect, it } from "vitest";
import { writePlan } from "../fake/plan.ts";
import { clientTool, json, run, send, textOf, type Json } from "../support/runs/client.ts";

const plan = writePlan([[{ name: "weather", args: { city: "Lyon" } }], "Fine."]);

/** A run that waits for its client, in a session of its own. */
const wait = async (): Promise<Json & { id: string; session_id: string; open: string[] }> =>
  (await run({ input: plan, tools: [clientTool("weather")] })) as never;

const finish = ({ id, open }: { id: string; open: string[] }): Promise<Json> =>
  json("POST", `/v1/runs/${id}:resume`, { tool_results: [{ id: open[0], content: "sun" }] });

it.each([
  ["a call", "/v1/calls", { model: "demo", input: "Hello?" }],
  ["another run", "/v1/runs", { model: "fake/plan", input: plan, tools: [clientTool("weather")] }],
])("%s in the session of a run that waits learns which run that is", async (_, path, body) => {
  const waiting = await wait();
  const busy = await send("POST", path, { ...body, session_id: waiting.session_id });
  expect(busy.status).toBe(409);
  expect([busy.headers.get("x-rhone-run-id"), busy.headers.get("retry-after")]).toEqual([waiting.id, "5"]);
  expect(await busy.json()).toMatchObject({
    error: { code: "session.busy", details: { run_id: waiting.id, retry_after_s: 5 } },
  });
  expect(textOf(await finish(waiting))).toBe("Fine.");
});

it("a client of another surface reads it from the header", async () => {
  const waiting = await wait();
  const busy = await send("POST", "/v1/chat/completions", {
    model: "demo",
    messages: [{ role: "user", content: "Hello?" }],
    rhone: { session_id: waiting.session_id },
  });
  expect([busy.status, busy.headers.get("x-rhone-run-id")]).toEqual([409, waiting.id]);
});

it("a call that may branch runs beside the run that waits, which goes on as if there were none", async () => {
  const waiting = await wait();
  const beside = await json("POST", "/v1/calls", {
    model: "demo",
    input: "Hello?",
    session_id: waiting.session_id,
    rhone: { on_busy: "branch" },
  });
  expect(beside).toMatchObject({ call: { status: "completed" } });
  expect(textOf(await finish(waiting))).toBe("Fine.");
  const history = await json("GET", `/v1/sessions/${waiting.session_id}/blocks`);
  expect(JSON.stringify(history)).toContain("Fine.");
  expect(JSON.stringify(history)).not.toContain("Hello?");
});
