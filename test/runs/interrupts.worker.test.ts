import { describe, expect, it } from "vitest";
import { REQUEST, writePlan } from "../fake/plan.ts";
import {
  clientTool,
  eventsOf,
  json,
  listOf,
  run,
  send,
  textOf,
  toolLog,
  webhook,
  type Json,
} from "../support/runs/client.ts";

const ask = { name: "weather", args: { city: "Lyon" } };
const blocksOf = async ({ session_id }: Json): Promise<Json[]> =>
  (await json("GET", `/v1/sessions/${session_id as string}/blocks`)).data as Json[];
const verb = (id: unknown, what: string, body: Json = {}): Promise<Json> =>
  json("POST", `/v1/runs/${id as string}:${what}`, body);

/** A run in the middle of a reply that never ends. */
async function stalled(): Promise<{ id: string; reading: Promise<Json[]> }> {
  const response = await send("POST", "/v1/runs:stream", { model: "fake/fault-stall.interrupted", input: "Tell me." });
  const id = response.headers.get("x-rhone-run-id")!;
  const reading = eventsOf(response);
  await expect.poll(async () => (await listOf(id, "steps")).length, { timeout: 10_000 }).toBe(1);
  return { id, reading };
}

describe("an interruption", () => {
  it("of a waiting run with a message cancels its open calls, and the run goes on with the message", async () => {
    const waiting = await run({ input: writePlan([[ask], "Never."]), tools: [clientTool("weather")] });
    const done = await verb(waiting.id, "interrupt", { message: writePlan([{ thinking: "So.", text: REQUEST }]) });
    expect(done.status).toBe("completed");
    expect(textOf(done)).toContain("The run was stopped before this call was made.");
    expect(await listOf(waiting.id, "tool-executions")).toMatchObject([{ status: "cancelled" }]);
    const late = await send("POST", `/v1/runs/${waiting.id as string}:resume`, {
      tool_results: [{ id: ask.name, content: "x" }],
    });
    expect(late.status).toBe(404);
  });

  it("in the first step keeps the instructions for the next", async () => {
    const response = await send("POST", "/v1/runs:stream", {
      model: "fake/fault-stall.instructed",
      input: "Tell me.",
      instructions: "Answer in French.",
    });
    const id = response.headers.get("x-rhone-run-id");
    const reading = eventsOf(response);
    await expect.poll(async () => (await listOf(id, "steps")).length, { timeout: 10_000 }).toBe(1);
    await verb(id, "interrupt");
    await reading;
    expect(await json("GET", `/v1/runs/${id!}/effective-request`)).toMatchObject({
      call: { instructions: "Answer in French." },
    });
    await verb(id, "cancel");
  });

  it("without one lets the run wait until it is resumed", async () => {
    const waiting = await run({ input: writePlan([[ask], "Went on."]), tools: [clientTool("weather")] });
    expect(await verb(waiting.id, "interrupt")).toMatchObject({ status: "interrupted" });
    const done = await verb(waiting.id, "resume");
    expect([done.status, textOf(done)]).toEqual(["completed", "Went on."]);
  });

  it("of a run that waits for another is refused, and harms neither", async () => {
    const first = (await run({ input: "Hello.", model: "demo" })) as { session_id: string };
    const tools = [
      clientTool("weather"),
      webhook("look", "ahead/never-once", { effect: "read_only", timeout_ms: 900 }),
    ];
    const started = await send("POST", "/v1/runs:stream", {
      model: "fake/plan",
      input: writePlan([[{ name: "look", args: { n: 1 } }], [ask], "Went on."]),
      tools,
      session_id: first.session_id,
    });
    const ahead = started.headers.get("x-rhone-run-id");
    await expect.poll(async () => (await toolLog("ahead")).length, { timeout: 10_000 }).toBe(1);
    const queued = await send("POST", "/v1/runs:stream", {
      model: "demo",
      input: "Me too.",
      session_id: first.session_id,
    });
    const behind = queued.headers.get("x-rhone-run-id");
    const refused = await send("POST", `/v1/runs/${behind}:interrupt`, {});
    expect([refused.status, await refused.json()]).toMatchObject([409, { error: { details: { param: "id" } } }]);
    await started.text();
    const waiting = await json("GET", `/v1/runs/${ahead}`);
    expect(waiting.status).toBe("waiting_for_tool");
    const done = await verb(ahead, "resume", { tool_results: [{ id: (waiting.open as string[])[0], content: "sun" }] });
    expect([done.status, textOf(done)]).toEqual(["completed", "Went on."]);
    expect((await eventsOf(queued)).at(-1)!.type).toMatch(/^run\.(failed|completed)$/);
  });

  it("stands, though a result has come just before it", async () => {
    for (let i = 0; i < 12; i++) {
      const waiting = await run({ input: writePlan([[ask], [ask], "Never."]), tools: [clientTool("weather")] });
      const results = { tool_results: [{ id: (waiting.open as string[])[0], content: "sun" }] };
      const [, interrupted] = await Promise.all([
        send("POST", `/v1/runs/${waiting.id as string}:resume`, results),
        send("POST", `/v1/runs/${waiting.id as string}:interrupt`, {}),
      ]);
      expect([interrupted.status, await interrupted.json()]).toMatchObject([200, { status: "interrupted" }]);
      expect((await json("GET", `/v1/runs/${waiting.id as string}`)).status).toBe("interrupted");
      await verb(waiting.id, "cancel");
    }
  });

  it.each([
    ["discard", []],
    ["save_partial", ["Said"]],
    ["save_marked", ["Said", "[interrupted]"]],
  ])("of a reply that is under way treats what there is of it as `behavior` says: %s", async (behavior, words) => {
    const { id, reading } = await stalled();
    const interrupted = await verb(id, "interrupt", { behavior });
    expect(interrupted).toMatchObject({ status: "interrupted" });
    const events = await reading;
    expect(events.at(-1)).toMatchObject({ type: "run.interrupted" });
    const texts = (await blocksOf(interrupted))
      .filter(({ type }) => type === "response")
      .map(({ text }) => text)
      .join();
    for (const word of words) expect(texts).toContain(word);
    if (words.length === 0) expect(texts).toBe("");
    expect(await verb(id, "cancel")).toMatchObject({ status: "cancelled", stop_reason: "cancelled" });
    const free = await send("POST", "/v1/calls", {
      model: "demo",
      input: "Hello?",
      session_id: interrupted.session_id,
    });
    expect(free.status).toBe(200);
  });
});

describe("a cancellation", () => {
  it("of a run that waits for another to end does not wait for that", async () => {
    const slow = await stalled();
    const { session_id } = await json("GET", `/v1/runs/${slow.id}`);
    const queued = await send("POST", "/v1/runs:stream", { model: "demo", input: "Me too.", session_id });
    const id = queued.headers.get("x-rhone-run-id");
    expect(await verb(id, "cancel")).toMatchObject({ status: "cancelled", steps: 0 });
    expect((await eventsOf(queued)).at(-1)).toMatchObject({ type: "run.cancelled" });
    expect(await json("GET", `/v1/runs/${slow.id}`)).toMatchObject({ status: "running" });
    await verb(slow.id, "cancel");
    await slow.reading;
  });

  it("ends a run whose tool is running, and its history has a result for every call", async () => {
    const input = writePlan([[{ name: "look", args: {} }], "Never."]);
    const response = await send("POST", "/v1/runs:stream", {
      model: "fake/plan",
      input,
      tools: [webhook("look", "cancelled/never", { effect: "read_only" })],
    });
    const id = response.headers.get("x-rhone-run-id")!;
    const reading = eventsOf(response);
    await expect.poll(async () => (await toolLog("cancelled")).length, { timeout: 10_000 }).toBe(1);
    const done = await verb(id, "cancel");
    expect(done).toMatchObject({ status: "cancelled" });
    expect((await reading).filter(({ type }) => type.startsWith("run."))).toMatchObject([
      { type: "run.started" },
      { type: "run.cancelled" },
    ]);
    const blocks = await blocksOf(done);
    expect(blocks.filter(({ type }) => type === "tool_call" || type === "tool_result").map(({ type }) => type)).toEqual(
      ["tool_call", "tool_result"],
    );
    expect(await verb(id, "cancel")).toMatchObject({ status: "cancelled" });
  });

  it("comes with the deletion of the session", async () => {
    const waiting = await run({ input: writePlan([[ask], "Never."]), tools: [clientTool("weather")] });
    await json("DELETE", `/v1/sessions/${waiting.session_id as string}`);
    const late = await send("POST", `/v1/runs/${waiting.id as string}:resume`, { tool_results: [] });
    expect(late.status).toBe(404);
  });
});

it.each(["compact", "branch"])("a session that a waiting run has is not changed under it: %s", async (what) => {
  const waiting = await run({ input: writePlan([[ask], "Fine."]), tools: [clientTool("weather")] });
  const changed = await send(
    "POST",
    `/v1/sessions/${waiting.session_id as string}:${what}`,
    what === "compact" ? { strategy: "drop_oldest", keep_last: 0 } : {},
  );
  expect(changed.status).toBe(what === "compact" ? 409 : 201);
  const [id] = waiting.open as string[];
  expect(textOf(await verb(waiting.id, "resume", { tool_results: [{ id, content: "sun" }] }))).toBe("Fine.");
});

it("a run that starts while another runs in its session waits for it, and is refused while that one waits", async () => {
  const slow = await stalled();
  const { session_id } = await json("GET", `/v1/runs/${slow.id}`);
  const queued = run({ model: "demo", input: "Me too.", session_id });
  await verb(slow.id, "cancel");
  await slow.reading;
  expect(await queued).toMatchObject({ status: "completed" });
  const waiting = await run({ input: writePlan([[ask], "Fine."]), tools: [clientTool("weather")], session_id });
  expect(waiting.status).toBe("waiting_for_tool");
  expect((await send("POST", "/v1/runs", { model: "demo", input: "And me?", session_id })).status).toBe(409);
});
