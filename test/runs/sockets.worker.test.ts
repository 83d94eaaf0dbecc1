import { expect, it } from "vitest";
import { writePlan } from "../fake/plan.ts";
import { clientTool, json, webhook } from "../support/runs/client.ts";
import { bound, type Frame } from "../support/worker/socket-client.ts";

const weather = { name: "weather", args: { city: "Lyon" } };
const refund = { name: "refund", args: { n: 5 } };

it("a run is created, answered, decided about and followed over sockets, also by those that only listen", async () => {
  const { session_id } = (await json("POST", "/v1/runs", { model: "demo", input: "Hello." })) as { session_id: string };
  const client = await bound(session_id);
  const listener = await bound(session_id);
  const tools = [clientTool("weather"), webhook("refund", "sockets/echo")];
  client.say({
    type: "run.create",
    id: "r1",
    request: { model: "fake/plan", input: writePlan([[weather], [refund], "All done."]), tools },
  });
  const started = await client.type("run.started");
  expect(started).toMatchObject({
    id: "r1",
    run_id: expect.stringMatching(/^run_/),
    event_id: expect.any(Number),
    run_event_id: 1,
  });
  const call = await client.type("tool.call");
  expect(call).toMatchObject({ id: "r1", name: "weather", arguments: '{"city":"Lyon"}' });
  expect(await client.type("run.waiting")).toMatchObject({ status: "waiting_for_tool" });
  client.say({ type: "tool.result", id: "t", run_id: started.run_id, execution_id: call.execution_id, content: "sun" });
  const created = await client.type("checkpoint.created");
  const { checkpoint } = created as unknown as { checkpoint: { id: string } };
  client.say({ type: "checkpoint.resolve", id: "c", checkpoint_id: checkpoint.id, decision: "approve" });
  expect(await client.type("run.completed")).toMatchObject({ id: "r1", run: { status: "completed" } });
  const seen = await listener.hears(({ event }) => event?.type === "run.completed");
  expect(seen).toMatchObject({ type: "session.event", event: { run_id: started.run_id } });
  const own = client.frames
    .filter(({ run_event_id }) => run_event_id !== undefined)
    .map(({ run_event_id }) => run_event_id);
  const others = listener.frames.flatMap(({ event }: Frame) =>
    event?.run_event_id === undefined ? [] : [event.run_event_id],
  );
  expect(others).toEqual(own);
  client.say({ type: "run.cancel", id: "x", run_id: "run_nowhere" });
  expect(await client.hears(({ type, id }) => type === "error" && id === "x")).toMatchObject({ http_status: 404 });
  client.say({ type: "run.create", id: "y", request: { model: "demo" } });
  expect(await client.hears(({ type, id }) => type === "error" && id === "y")).toMatchObject({ http_status: 400 });
});

it("a run is interrupted over a socket", async () => {
  const waiting = await json("POST", "/v1/runs", {
    model: "fake/plan",
    input: writePlan([[weather], "Never."]),
    tools: [clientTool("weather")],
  });
  const client = await bound(waiting.session_id as string);
  client.say({ type: "run.interrupt", id: "i", run_id: waiting.id, message: writePlan(["Another thing."]) });
  const ended = await client.hears(({ event }) => event?.type === "run.completed");
  expect(ended.event).toMatchObject({ run: { output: [{ text: "Another thing." }] } });
});

it("a loop of thirty steps is the same in two sockets, in order and without a gap", async () => {
  const { session_id } = (await json("POST", "/v1/runs", { model: "demo", input: "Hello." })) as { session_id: string };
  const client = await bound(session_id);
  const listener = await bound(session_id);
  const steps = Array.from({ length: 30 }, (_, n) => [{ name: "look", args: { n } }]);
  client.say({
    type: "run.create",
    id: "long",
    request: {
      model: "fake/plan",
      input: writePlan([...steps, "All done."]),
      tools: [webhook("look", "long/echo", { effect: "read_only" })],
      limits: { max_turns: 40, max_tool_calls: 40 },
    },
  });
  const ended = await client.type("run.completed");
  expect(ended).toMatchObject({ id: "long", run: { status: "completed", steps: 31, tool_calls: 30 } });
  await listener.hears(({ event }) => event?.type === "run.completed");
  const own = client.frames.filter(({ run_event_id }) => run_event_id !== undefined);
  const others = listener.frames.flatMap(({ event }) => (event?.run_event_id === undefined ? [] : [event]));
  const seen = (frames: readonly Frame[]): unknown[] => frames.map(({ type, run_event_id }) => [type, run_event_id]);
  expect(seen(others)).toEqual(seen(own));
  expect(own.map(({ run_event_id }) => run_event_id)).toEqual(own.map((_, i) => i + 1));
  const results = own.filter(({ type }) => type === "tool_execution.completed").map(({ result }) => result);
  expect(results).toEqual(steps.map((_, n) => JSON.stringify({ n })));
});
