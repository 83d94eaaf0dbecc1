import { expect, it } from "vitest";
import { send, webhook, crash, ended, headOf, storeHarness } from "../../support/runs/client.ts";
import { answered, call, plan, startCall } from "../../support/runs/tool-calls.ts";

const TIME = { tools: [{ type: "native", name: "time" }] };
const REQUEST = { thinking: "", text: "@request" };

/** A call in the session that runs until it is cancelled. */
async function occupy(session_id: unknown, test: string): ReturnType<typeof startCall> {
  const slow = webhook("slow", `${test}/never`, { effect: "read_only", timeout_ms: 60_000 });
  return await startCall(test, plan([call("slow")], "Never."), { tools: [slow], session_id });
}

it.each(["messages", "gemini", "native", "chat"] as const)(
  "%s: the gap between steps goes into a text, and a thought stays as its provider has signed it",
  async (surface) => {
    for (const isStream of [false, true]) {
      const steps = plan([call("time")], { thinking: "Hmm so.", text: "Late." });
      const { text, whole } = await answered(surface, steps, { rhone: TIME, stream: isStream });
      expect(text).toBe("Let me look.\n\nLate.");
      expect(JSON.stringify(whole)).not.toContain(String.raw`\n\nHmm`);
    }
  },
);

it("gives the model the instructions of a harness without tools", async () => {
  await storeHarness("only-words", { instructions: "Be very brief." });
  const { text } = await answered("chat", plan(REQUEST), { rhone: { harness: "harness_only-words" } });
  expect(text).toContain("Be very brief.");
  expect(text).not.toContain('"tools"');
});

it("goes on behind an edited transcript whose run has ended by a limit", async () => {
  await storeHarness("one-turn", { tools: [{ native: "time" }], limits: { max_turns: 1 } });
  const first = { text: plan("One.") };
  const one = await answered("chat", [first]);
  const { session_id } = one.rhone;
  const edited = (text: string): Parameters<typeof answered>[1] => [first, { answered: one }, { text }];
  await answered("chat", edited(`BEFORE ${plan("Two.")}`), { rhone: { session_id } });
  const limited = edited(`AFTER ${plan([call("time")], "Never.")}`);
  const { rhone } = await answered("chat", limited, { rhone: { session_id, harness: "harness_one-turn" } });
  expect(await headOf(session_id)).toBe(rhone.turn_id);
  const { text } = await answered("chat", plan(REQUEST), { rhone: { session_id } });
  expect(text).toContain("AFTER");
  expect(text).not.toContain("BEFORE");
});

it("leaves the head where it is when a side branch ends by a limit", async () => {
  await storeHarness("one-turn-beside", { tools: [{ native: "time" }], limits: { max_turns: 1 } });
  const { session_id, turn_id } = (await answered("chat", plan("Hi."))).rhone;
  const occupied = await occupy(session_id, "branches-limit");
  const rhone = { session_id, on_busy: "branch", harness: "harness_one-turn-beside" };
  await answered("chat", plan([call("time")], "Never."), { rhone });
  expect(await headOf(session_id)).toBe(turn_id);
  await send("POST", `/v1/calls/${occupied.call}:cancel`);
  await occupied.reading;
});

it("and when it goes on after a crash", async () => {
  const { session_id, turn_id } = (await answered("chat", plan("Hi."))).rhone;
  const occupied = await occupy(session_id, "branches-crash");
  const look = webhook("look", "branches-side/never-once", { effect: "read_only", timeout_ms: 60_000 });
  const text = plan([call("look")], "Side.");
  const { run, reading } = await startCall("branches-side", text, { tools: [look], session_id, on_busy: "branch" });
  await crash(run);
  await Promise.all([occupied.reading, reading]);
  await send("POST", `/v1/runs/${occupied.run}:cancel`);
  expect((await ended(run)).status).toBe("completed");
  expect(await headOf(session_id)).toBe(turn_id);
});
