import { runInDurableObject } from "cloudflare:test";
import { describe, expect, it } from "vitest";
import { type Json, json, listOf, send } from "../../support/runs/client.ts";
import { type Answered, answered, ask, call, plan, SURFACE_NAMES } from "../../support/runs/tool-calls.ts";
import { objectOf } from "../../support/worker/client.ts";

const TIME = { tools: [{ type: "native", name: "time" }] };
const gapOf = (surface: string): string => (surface === "responses" ? "|" : "\n\n");
const textOf = ({ text }: Answered): string => text.split("|").filter(Boolean).join("|");

/** The turns of a session. */
const turnsOf = async ({ rhone }: Answered): Promise<Turn[]> =>
  await runInDurableObject(objectOf(rhone.call_id as string), (_, { storage }) =>
    storage.sql.exec<Turn>("SELECT id, parent, kind FROM turns ORDER BY depth, id").toArray(),
  );
type Turn = { id: string; parent: string | null; kind: string };

const CASES = SURFACE_NAMES.flatMap((surface) => [false, true].map((stream) => [surface, stream] as const));

describe.each(CASES)("a call of %s (stream: %s) with a tool of the server", (surface, stream) => {
  it("is answered by a run, of which the client sees one answer without the calls", async () => {
    const once = await answered(surface, plan("It is late."), { stream });
    const answer = await answered(surface, plan([call("time")], [call("time")], "It is late."), {
      stream,
      rhone: TIME,
    });
    expect(textOf(answer)).toBe(["Let me look.", "Let me look.", "It is late."].join(gapOf(surface)));
    expect(answer.calls).toEqual([]);
    expect(answer.raw).not.toMatch(/call_plan|"time"/);
    expect(answer.finish).toBe(once.finish);
    expect(answer.usage).toBe(3 * once.usage);
    const run = answer.headers.get("x-rhone-run-id");
    expect(answer.headers.get("x-rhone-call-id")).toBe(run?.replace("run", "call"));
    expect(answer.rhone).toMatchObject({ run_id: run, turn_id: run?.replace("run", "turn") });
    const shown = await json("GET", `/v1/runs/${run}`);
    expect(shown).toMatchObject({ status: "completed", steps: 3, tool_calls: 2, stop_reason: "end_turn" });
    expect((await listOf(run, "tool-executions")).map(({ status }) => status)).toEqual(["succeeded", "succeeded"]);
    const steps = await listOf(run, "steps");
    expect(steps.at(-1)).toMatchObject({ status: "committed", turn_id: answer.rhone.turn_id });
  });

  it("goes on in its session, whether the client sends all of it again or only what is new", async () => {
    const first = { text: plan([call("time")], "It is late.") };
    const answer = await answered(surface, [first], { stream, rhone: TIME });
    const { session_id } = answer.rhone;
    const before = await turnsOf(answer);
    const second = { text: plan([call("time")], "Still late.") };
    const again = await answered(surface, [first, { answered: answer }, second], {
      stream,
      rhone: { ...TIME, session_id },
    });
    expect(textOf(again)).toBe(["Let me look.", "Still late."].join(gapOf(surface)));
    const after = await turnsOf(again);
    expect(after).toHaveLength(before.length + 2);
    const last = await answered(surface, [{ text: plan("Bye.") }], { stream, rhone: { ...TIME, session_id } });
    expect(await turnsOf(last)).toHaveLength(before.length + 3);
    const turns = await turnsOf(last);
    expect(turns.map(({ parent }) => parent)).toEqual([null, ...turns.slice(0, -1).map(({ id }) => id)]);
    expect(turns.map(({ kind }) => kind)).toEqual(["step", "call", "step", "call", "call"]);
  });

  it("gives the client's own calls to it, and takes their results", async () => {
    const asked = { text: plan([call("time")], [call("weather", { city: "Lyon" })], "Sun.") };
    const options = { stream, rhone: TIME, tools: ["weather"] };
    const answer = await answered(surface, [asked], options);
    expect(answer.calls).toMatchObject([{ name: "weather" }]);
    expect(answer.raw).not.toMatch(/"time"/);
    const { session_id } = answer.rhone;
    const before = await turnsOf(answer);
    const result = { result: "22 degrees", of: answer.calls[0]! };
    const done = await answered(surface, [asked, { answered: answer }, result], {
      ...options,
      rhone: { ...TIME, session_id },
    });
    expect(textOf(done)).toBe("Sun.");
    expect(await turnsOf(done)).toHaveLength(before.length + 1);
  });

  it("makes its own calls beside calls of the client when the client goes on, and the model gets all results", async () => {
    const asked = { text: plan([call("weather", { city: "Lyon" }), call("time")], { thinking: "", text: "@request" }) };
    const options = { stream, rhone: TIME, tools: ["weather"] };
    const answer = await answered(surface, [asked], options);
    expect(answer.calls).toMatchObject([{ name: "weather" }]);
    expect(answer.raw).not.toMatch(/"time"/);
    const { session_id, run_id } = answer.rhone;
    expect(await listOf(run_id, "tool-executions")).toEqual([]);
    const result = { result: "22 degrees", of: answer.calls[0]! };
    const done = await answered(surface, [asked, { answered: answer }, result], {
      ...options,
      rhone: { ...TIME, session_id },
    });
    expect((await turnsOf(done)).map(({ kind }) => kind)).toEqual(["call", "call"]);
    expect(await listOf(done.rhone.run_id, "tool-executions")).toMatchObject([{ name: "time", status: "succeeded" }]);
    expect((await listOf(done.rhone.run_id, "steps")).map(({ step }) => step)).toEqual([0, 1]);
    // The model answers with its request.
    expect(done.text).toMatch(/time_zone.*UTC/s);
    expect(done.text).toContain("22 degrees");
  });

  it("shows nothing of the tools and of the harness's instructions, also where no tool is called", async () => {
    const body = { name: "quiet", instructions: "A secret line.", tools: [{ native: "time" }] };
    expect((await send("POST", "/v1/harnesses", body)).status).toBeLessThan(202);
    const answer = await answered(surface, plan("Quiet."), { stream, rhone: { harness: "harness_quiet" } });
    expect(textOf(answer)).toBe("Quiet.");
    expect(answer.raw).not.toMatch(/A secret line|"time"|time_zone/);
  });

  it("gets the error of an ordinary call if its first step has one", async () => {
    const refused = await ask(surface, "x", { stream, rhone: TIME, model: "refuse" });
    const ordinary = await ask(surface, "x", { stream, model: "refuse" });
    expect([refused.status, refused.raw.replaceAll(/(call|req)_\w+/g, "")]).toEqual([
      ordinary.status,
      ordinary.raw.replaceAll(/(call|req)_\w+/g, ""),
    ]);
    const run = refused.headers.get("x-rhone-run-id");
    const listed = async (): Promise<unknown> =>
      ((await json("GET", "/v1/runs?limit=100")).data as Json[]).find(({ id }) => id === run)?.status;
    await expect.poll(listed, { timeout: 10_000 }).toBe("failed");
  });
});
