import { describe, expect, it, vi } from "vitest";
import { writePlan } from "../../fake/plan.ts";
import { decisionsOf, setProfile } from "../../support/shield/gateway.ts";
import { errorOf, post, user } from "../../support/worker/client.ts";

describe("a judge", () => {
  const judged = async (judge: object, more: object = {}): Promise<object> => {
    await setProfile("judged", { mode: "enforce", judge: { policy: "Deny plans.", ...judge }, ...more });
    return { profile: "judged" };
  };
  const MODES = ["stateless", "stateful"];

  it.each(MODES)("decides about a request before it is sent, in a call of its own: %s", async (context_mode) => {
    const rhone = { safety: await judged({ model: "fake/plan" }), context_mode };
    const ask = (word: string): Promise<Response> =>
      post({ model: "fake/say", messages: [user(`Look: ${writePlan([word])}`)], rhone });
    const allowed = await ask("ALLOW");
    expect(allowed.status).toBe(200);
    expect(await decisionsOf(allowed.headers.get("x-rhone-call-id")!)).toMatchObject([
      { stage: "input", disposition: "allow", judgement: "allow" },
    ]);
    const denied = await ask("Deny, I think.");
    const { message, code } = await errorOf(denied);
    expect([denied.status, code, message]).toEqual([
      403,
      "safety.policy_denied",
      "the judge of the safety profile judged denies the request",
    ]);
    expect(await decisionsOf(denied.headers.get("x-rhone-call-id")!)).toMatchObject([
      { stage: "input", disposition: "block", judgement: "deny" },
    ]);
  });

  it.each(MODES.flatMap((mode) => ["fake/broken", "fake/say", "fake/late"].map((model) => [mode, model])))(
    "that does not decide refuses the call, or lets it pass if its profile fails open: %s, %s",
    async (context_mode, model) => {
      const body = { model: "fake/say", messages: [user("Hello.")] };
      const closed = await post({ ...body, rhone: { safety: await judged({ model, timeout_ms: 300 }), context_mode } });
      expect([closed.status, (await errorOf(closed)).message]).toEqual([
        403,
        "the judge of the safety profile judged could not decide about the request",
      ]);
      const safety = await judged({ model, timeout_ms: 300 }, { fail: "open" });
      const open = await post({ ...body, rhone: { safety, context_mode } });
      expect(open.status).toBe(200);
      expect(await decisionsOf(open.headers.get("x-rhone-call-id")!)).toMatchObject([
        { disposition: "allow_with_warning", judgement: "failed" },
      ]);
    },
  );

  it.each(MODES.flatMap((mode) => [false, true].map((stream) => [mode, stream] as const)))(
    "decides about an answer before any of it is sent: %s, streamed %s",
    async (context_mode, stream) => {
      const rhone = { safety: await judged({ model: "fake/plan", stages: ["output"] }), context_mode };
      const ask = async (word: string): Promise<string> => {
        const messages = [user(writePlan([`The river. ${writePlan([word])}`]))];
        return await (await post({ model: "fakeanth/plan", messages, stream, rhone })).text();
      };
      expect(await ask("ALLOW")).toContain("The river.");
      const denied = await ask("DENY");
      expect(denied).not.toContain("The river.");
      expect(denied).toContain("the judge of the safety profile judged denies the answer");
    },
  );

  it.each(MODES.flatMap((mode) => ["input", "output"].map((stage) => [mode, stage] as const)))(
    "decides beside a call that is only observed, which does not wait: %s, %s",
    async (context_mode, stage) => {
      await judged({ model: "fake/plan", stages: [stage], timeout_ms: 10_000 });
      const rhone = { safety: { profile: "judged", mode: "observe" }, context_mode };
      const verdict = writePlan(["DENY"]);
      const plan = stage === "input" ? verdict : writePlan([`The river. ${verdict}`]);
      const answer = await post({ model: stage === "input" ? "fake/say" : "fake/plan", messages: [user(plan)], rhone });
      expect([answer.status, await answer.text()]).toEqual([200, expect.any(String)]);
      const call = answer.headers.get("x-rhone-call-id")!;
      await vi.waitFor(async () =>
        expect(await decisionsOf(call)).toMatchObject([{ stage, disposition: "block", judgement: "deny" }]),
      );
    },
  );
});
