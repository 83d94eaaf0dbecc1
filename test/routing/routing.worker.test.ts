import { expect, it } from "vitest";
import { createRouter } from "../../src/routing/router.ts";
import { errorOf, get, post, user } from "../support/worker/client.ts";

const say = { messages: [user("x")], rhone: { context_mode: "stateless" } };

it.each([
  [{ models: [] }, "rhone.routing.models"],
  [{ providers: ["nobody"] }, "rhone.routing.providers[0]"],
  [{ models: ["nobody/x"] }, "rhone.routing.models[0]"],
  [{ deadlines_ms: { idle: 0 } }, "rhone.routing.deadlines_ms.idle"],
  [{ deadlines_ms: { total: -1 } }, "rhone.routing.deadlines_ms.total"],
  [{ retries: { max: 2.5 } }, "rhone.routing.retries.max"],
  [{ strategy: "best" }, "rhone.routing.strategy"],
  [{ midstream: true }, "rhone.routing.midstream"],
  [{ modles: ["demo"] }, "rhone.routing.modles"],
  [{ hedge: {} }, "rhone.routing.hedge.after_ms"],
  [{ hedge: { after_ms: 5 } }, "rhone.routing.hedge"],
  [{ hedge: { after_ms: 5, model: "fake/say" } }, "rhone.routing.hedge"],
  [{ hedge: { after_ms: 5, model: "nobody/x" } }, "rhone.routing.hedge.model"],
])("an invalid routing is refused by name: %j", async (routing, param) => {
  for (const context_mode of ["stateless", "stateful"]) {
    const response = await post({ ...say, model: "fake/say", rhone: { context_mode, routing } });
    expect([response.status, (await errorOf(response)).param]).toEqual([400, param]);
  }
});

it("an answer names its provider and the number of tries, and the record has the errors of the others", async () => {
  const rhone = { routing: { model: "fake/fault-500-always.truth", fallbacks: ["fakeanth/say"] } };
  const answer = (await (await post({ ...say, model: "ignored", rhone })).json()) as { rhone: { call_id: string } };
  expect(answer.rhone).toMatchObject({ routing: { model: "say", provider: "fakeanth", attempts: 4 } });
  const { attempts } = await get(`/v1/calls/${answer.rhone.call_id}`);
  const lost = {
    provider: "fake",
    model: "fault-500-always.truth",
    status: 500,
    error: "provider.execution_failed",
    reason: "Fault 500",
  };
  expect(attempts).toMatchObject([lost, lost, lost, { provider: "fakeanth", model: "say", status: 200 }]);
  for (let i = 0; i < 2; i++) await (await post({ ...say, model: "ignored", rhone })).text();
  expect(await get("/v1/routing/health")).toMatchObject({
    config: { status: "ok" },
    targets: expect.arrayContaining([
      expect.objectContaining({
        target: "fake/fault-500-always.truth",
        state: "open",
        failures: 8,
        last_failure: expect.objectContaining({ message: "Fault 500" }),
      }),
    ]),
  });
});

it("a call ends with the first target's own refusal when no target helps", async () => {
  const routing = { fallbacks: ["fake/fault-bad-key"] };
  const response = await post({ ...say, model: "fake/fault-503-while.first", rhone: { ...say.rhone, routing } });
  expect([response.status, (await errorOf(response)).message]).toEqual([503, "Fault 503"]);
});

it("a second target starts when the first is silent, and its answer is returned", async () => {
  const hedge = { after_ms: 50, model: "fake/say" };
  const response = await post({
    ...say,
    model: "fake/fault-blackhole.hedge",
    stream: true,
    rhone: { ...say.rhone, routing: { hedge } },
  });
  expect([await response.text(), response.headers.get("x-rhone-model")]).toEqual([
    expect.stringContaining("[DONE]"),
    "say",
  ]);
});

it("a bad configuration leaves the last good one in place, and its problem is reported", () => {
  const good = '{"retries":{"max":7}}';
  const router = createRouter('{"retries":{"max":"x"}}', good);
  expect([router.config.policy.retries.max, router.problem]).toEqual([
    7,
    expect.stringContaining("RHONE_CONFIG.retries.max"),
  ]);
  expect(createRouter("{", "{").config).toEqual(createRouter(undefined).config);
});
