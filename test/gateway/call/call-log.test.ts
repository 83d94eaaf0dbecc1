import { expect, it } from "vitest";
import type { Loss } from "../../../src/canonical/types.ts";
import { CallLog } from "../../../src/gateway/call/call-log.ts";
import type { Call } from "../../../src/gateway/call/call.ts";
import type { Target } from "../../../src/routing/locate.ts";

const call = { id: "call_1", sessionId: "sess_1", caller: { org: "org", keyId: "key" }, createdAt: 0 } as Call;
const request = { surface: { id: "chat" }, stream: true, model: "m", rhone: {} };
const targetOf = (id: string): Target => ({ provider: { id }, model: "m", dialect: "openai-chat" }) as Target;
const lossAt = (at: string): Loss => ({ at, what: "dropped", why: "x" });

/** A log whose clock is set by the test, and two targets that were started 10 ms apart. */
function startTwo(): { log: CallLog; clock: { at: number }; first: Target; second: Target } {
  const clock = { at: 100 };
  const log = new CallLog(call, request, () => clock.at);
  const [first, second] = [targetOf("first"), targetOf("second")];
  log.startAttempt(first, [lossAt("of the first")]);
  clock.at = 110;
  log.startAttempt(second, [lossAt("of the second")]);
  return { log, clock, first, second };
}

it("the log of a call has the losses and the first byte of the attempt whose answer the call has", async () => {
  const { log, clock, first, second } = startTwo();
  clock.at = 120;
  log.markFirstByte(first);
  clock.at = 150;
  log.markFirstByte(second);
  log.markFirstByte(first);
  for (const [target, firstByte, at] of [
    [second, 50, "of the second"],
    [first, 20, "of the first"],
  ] as const) {
    log.nameTarget(target);
    expect(await log.toRecord("completed", {})).toMatchObject({
      provider: target.provider.id,
      latency: { gateway: 100, firstByte },
      losses: [{ at }],
    });
  }
});

it("the log of a call adds the losses of an answer to those of its own attempt, once each", () => {
  const { log, first, second } = startTwo();
  const late = lossAt("of the answer");
  log.addLosses([late]);
  log.addLosses([late]);
  expect(log.losses.map(({ at }) => at)).toEqual(["of the second", "of the answer"]);
  log.nameTarget(first);
  expect(log.losses.map(({ at }) => at)).toEqual(["of the first"]);
  log.nameTarget(second);
  expect(log.losses).toHaveLength(2);
});

it("the log of a call may name a target to which nothing was sent, without losses or a first byte", async () => {
  const { log } = startTwo();
  log.nameTarget(targetOf("third"));
  const record = await log.toRecord("failed", {});
  expect(record).toMatchObject({ provider: "third", losses: [] });
  expect(record.latency).not.toHaveProperty("firstByte");
});

it("the log of a call does not change the list of losses that an attempt was started with", () => {
  const log = new CallLog(call, request, () => 0);
  const losses = [lossAt("x")];
  log.startAttempt(targetOf("first"), losses);
  log.addLosses([lossAt("y")]);
  expect(losses).toHaveLength(1);
});
