import { describe, expect, it } from "vitest";
import { writePlan } from "../fake/plan.ts";
import { clientTool, eventsOf, json, listOf, run, send, textOf, toolLog, webhook } from "../support/runs/client.ts";

const look = (n: number): { name: string; args: Record<string, unknown> } => ({ name: "look", args: { n } });

describe("a run", () => {
  it("without tools is one call, and its turn is the session's", async () => {
    const done = await run({ model: "demo", input: "My name is Alice." });
    expect(done).toMatchObject({
      object: "run",
      status: "completed",
      stop_reason: "end_turn",
      steps: 1,
      tool_calls: 0,
    });
    const again = await run({
      model: "demo",
      session_id: done.session_id,
      blocks: [{ type: "input", text: "What is my name?" }],
    });
    expect(textOf(again)).toBe("Your name is Alice.");
    const read = await json("GET", `/v1/runs/${done.id as string}`);
    expect(read).toEqual(done);
  });

  it("executes tools, shows their results to the model, and leaves a history in which every call has one", async () => {
    const plan = writePlan([[look(1), look(2)], [look(3)], "All looked at."]);
    const done = await run({ input: plan, tools: [webhook("look", "loop/echo", { effect: "read_only" })] });
    expect(done).toMatchObject({ status: "completed", stop_reason: "end_turn", steps: 3, tool_calls: 3 });
    expect(textOf(done)).toBe("All looked at.");
    const executions = await listOf(done.id, "tool-executions");
    expect(executions.map(({ status, result, step, attempt }) => [status, result, step, attempt])).toEqual([
      ["succeeded", '{"n":1}', 1, 1],
      ["succeeded", '{"n":2}', 1, 1],
      ["succeeded", '{"n":3}', 2, 1],
    ]);
    const steps = await listOf(done.id, "steps");
    expect(steps.map(({ status }) => status)).toEqual(["committed", "committed", "committed"]);
    const blocks = (await json("GET", `/v1/sessions/${done.session_id as string}/blocks`)).data as {
      type: string;
      id: string;
    }[];
    const calls = blocks.filter(({ type }) => type === "tool_call").map(({ id }) => id);
    expect(blocks.filter(({ type }) => type === "tool_result").map(({ id }) => id)).toEqual(calls);
    const runs = (await json("GET", `/v1/sessions/${done.session_id as string}/runs`)).data as { id: string }[];
    expect(runs).toEqual([done]);
    const { call_id: first } = steps[0]! as { call_id: string };
    expect(await json("GET", `/v1/calls/${first}`)).toMatchObject({ run_id: done.id, status: "completed" });
    const requests = await toolLog("loop");
    expect(requests.map(({ headers }) => headers["idempotency-key"])).toEqual(executions.map(({ id }) => id));
    expect(JSON.parse(requests[0]!.body)).toMatchObject({
      type: "tool.call",
      data: { run_id: done.id, name: "look", arguments: { n: 1 } },
    });
  });

  it("waits for tools that the client executes, and goes on with their results in any order, given once or twice", async () => {
    const ask = (city: string): { name: string; args: Record<string, unknown> } => ({
      name: "weather",
      args: { city },
    });
    const plan = writePlan([[ask("Lyon"), ask("Arles")], "Both fine."]);
    const waiting = await run({ input: plan, tools: [clientTool("weather")] });
    expect(waiting).toMatchObject({ status: "waiting_for_tool", steps: 1 });
    const [lyon, arles] = await listOf(waiting.id, "tool-executions");
    expect(waiting.open).toEqual([lyon!.id, arles!.id]);
    const busy = await send("POST", "/v1/calls", { model: "demo", input: "Hello?", session_id: waiting.session_id });
    expect(busy.status).toBe(409);
    expect(await busy.json()).toMatchObject({
      error: { code: "session.busy", message: expect.stringContaining(String(waiting.id)) },
    });
    const part = await json("POST", `/v1/runs/${waiting.id as string}:resume`, {
      tool_results: [{ id: arles!.id, content: "sun" }],
    });
    expect(part).toMatchObject({ status: "waiting_for_tool", open: [lyon!.id] });
    const twice = { tool_results: [{ id: arles!.id, content: "sun" }] };
    expect(await json("POST", `/v1/runs/${waiting.id as string}:resume`, twice)).toMatchObject({
      status: "waiting_for_tool",
    });
    const other = await send("POST", `/v1/runs/${waiting.id as string}:resume`, {
      tool_results: [{ id: arles!.id, content: "rain" }],
    });
    expect(other.status).toBe(409);
    const done = await json("POST", `/v1/runs/${waiting.id as string}:resume`, {
      tool_results: [{ id: lyon!.call_id, content: "fog" }],
    });
    expect(done).toMatchObject({ status: "completed", steps: 2 });
    expect(textOf(done)).toBe("Both fine.");
  });

  it("streams every step, and its stream folded is the run", async () => {
    const plan = writePlan([[look(1)], "Seen."]);
    const events = await eventsOf(
      await send("POST", "/v1/runs:stream", {
        model: "fake/plan",
        input: plan,
        tools: [webhook("look", "stream/echo", { effect: "idempotent" })],
      }),
    );
    const types = events.map(({ type }) => type).filter((type) => !/delta|tool_call/.test(type));
    expect(types).toEqual([
      "run.started",
      "step.started",
      "tool_execution.started",
      "tool_execution.completed",
      "step.completed",
      "step.started",
      "run.completed",
    ]);
    expect(events.map(({ event_id }) => event_id)).toEqual(events.map((_, i) => i + 1));
    const { run_id: id } = events[0]!;
    expect(events.at(-1)!.run).toEqual(await json("GET", `/v1/runs/${id as string}`));
    const rest = await eventsOf(await send("GET", `/v1/runs/${id as string}:stream?after=3`));
    expect(rest).toEqual(events.slice(3));
  });

  it("is replayed in a branch that starts before it, with another model", async () => {
    const first = await run({ model: "demo", input: "My name is Alice." });
    const second = await run({ model: "demo", input: "What is my name?", session_id: first.session_id });
    const again = await json("POST", `/v1/runs/${second.id as string}:replay`, {});
    expect([textOf(again), again.status]).toEqual(["Your name is Alice.", "completed"]);
    expect(again.session_id).not.toBe(first.session_id);
    const other = await json("POST", `/v1/runs/${second.id as string}:replay`, { model: "fake/say" });
    expect(textOf(other)).toBe("Said say.");
    const from = await json("POST", `/v1/runs/${first.id as string}:replay`, { routing: { model: "fake/say" } });
    expect(textOf(from)).toBe("Said say.");
    expect((await json("GET", `/v1/sessions/${first.session_id as string}`)).turns).toBe(2);
    expect((await send("POST", `/v1/runs/${first.id as string}:replay`, { speed: 2 })).status).toBe(400);
  });
});
