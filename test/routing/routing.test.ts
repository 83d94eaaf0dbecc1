import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { GatewayError } from "../../src/canonical/error.ts";
import type { Provider } from "../../src/providers/provider.ts";
import { findCandidates, rankTargets, type Candidate, type Ranking } from "../../src/routing/candidates.ts";
import { ConfigError, DEFAULT_POLICY, readConfig } from "../../src/routing/config.ts";
import { targetKeyOf, type Target } from "../../src/routing/locate.ts";
import { verdictOf, retryDelay } from "../../src/routing/retry.ts";
import { at, broken, failed, providers, silent, tooLong } from "../support/targets.ts";

const candidate = (id: string, more: Partial<Candidate> = {}): Candidate => ({
  target: at(id),
  tier: 0,
  weight: 1,
  ...more,
});
const names = (targets: readonly Target[]): string[] => targets.map(targetKeyOf);

const ranking: Ranking = { issuers: [], latencyOf: () => undefined, costOf: () => undefined, random: () => 0 };
const plan = (all: [Candidate, ...Candidate[]], strategy = DEFAULT_POLICY.strategy, more: Partial<Ranking> = {}) =>
  names(rankTargets({ all, policy: { ...DEFAULT_POLICY, strategy } }, { ...ranking, ...more }));

describe("the configuration", () => {
  it("the configuration has defaults, and accepts them when they are written out", () => {
    const written = {
      aliases: { "smart-general": "anthropic/claude-sonnet-4-6" },
      routes: {
        "gpt-4o": [
          { target: "openai/gpt-4o", tier: 0, weight: 3 },
          { target: "azure/gpt-4o", tier: 1 },
        ],
      },
      deadlines_ms: {
        headers: 60000,
        first_content: 60000,
        fallback: 15000,
        whole: 300000,
        idle: 60000,
        total: 900000,
      },
      retries: { max: 2, base_ms: 250, max_ms: 8000, retry_after_max_ms: 30000 },
      cooldown: { failures: 3, seconds: 30 },
      midstream: "error",
      defaults: { context_mode: "stateful", on_disconnect: "complete", on_busy: "queue" },
    };
    const { aliases, routes, ...rest } = readConfig(JSON.stringify(written));
    const { aliases: _, routes: __, ...defaults } = readConfig(undefined);
    expect(rest).toEqual(defaults);
    expect([...aliases]).toEqual([["smart-general", "anthropic/claude-sonnet-4-6"]]);
    expect(routes.get("gpt-4o")!.targets).toEqual([
      { model: "openai/gpt-4o", tier: 0, weight: 3 },
      { model: "azure/gpt-4o", tier: 1, weight: 1 },
    ]);
  });

  it.each([
    ["{", "RHONE_CONFIG: expected JSON"],
    ["[]", "RHONE_CONFIG: "],
    ['{"alias":{}}', "RHONE_CONFIG.alias: there is no such member"],
    ['{"aliases":{"a":"b","b":"C","c":"A"}}', "a loop: a → b → C → A"],
    ['{"aliases":{"a":"A"}}', "a loop: a → A"],
    ['{"routes":{"x":[{"target":"a/m","weight":"3"}]}}', "RHONE_CONFIG.routes.x[0].weight: "],
    ['{"routes":{"x":[{"target":"a/m","weight":0}]}}', "RHONE_CONFIG.routes.x[0].weight: "],
    ['{"routes":{"x":[{"target":"a/m","wieght":1}]}}', "RHONE_CONFIG.routes.x[0].wieght: there is no such member"],
    ['{"routes":{"x":[]}}', "RHONE_CONFIG.routes.x: expected at least one target"],
    ['{"routes":{"x":{"targets":[{"target":"a/m"}],"midstream":"maybe"}}}', "RHONE_CONFIG.routes.x.midstream: "],
    ['{"deadlines_ms":{"idle":0}}', "RHONE_CONFIG.deadlines_ms.idle: "],
    ['{"deadlines_ms":{"headers":-5}}', "RHONE_CONFIG.deadlines_ms.headers: "],
    ['{"retries":{"max":1.5}}', "RHONE_CONFIG.retries.max: "],
    ['{"cooldown":{"failures":0}}', "RHONE_CONFIG.cooldown.failures: "],
    ['{"defaults":{"on_busy":"wait"}}', "RHONE_CONFIG.defaults.on_busy: "],
    ['{"cors":{}}', "RHONE_CONFIG.cors.origins: "],
    ['{"tool_secrets":{"TOKEN":{}}}', "RHONE_CONFIG.tool_secrets.TOKEN.hosts: "],
    ['{"tool_secrets":{"TOKEN":{"hosts":[]}}}', "RHONE_CONFIG.tool_secrets.TOKEN.hosts: "],
    ['{"tool_secrets":{"TOKEN":{"hosts":["*"]}}}', "RHONE_CONFIG.tool_secrets.TOKEN.hosts[0]: expected a host"],
    ...["RHONE_ADMIN_KEY", "rhone_shield_key", "a-b"].map((name) => [
      `{"tool_secrets":{"${name}":{"hosts":["a.example"]}}}`,
      `RHONE_CONFIG.tool_secrets.${name}: `,
    ]),
    ...[
      "*",
      "app.example",
      "https://app.example/",
      "https://APP.example",
      "null",
      "file:///x",
      "https://*.example",
    ].map((origin) => [
      JSON.stringify({ cors: { origins: ["https://ok.example", origin] } }),
      "RHONE_CONFIG.cors.origins[1]: expected an origin as in https://app.example",
    ]),
  ])("a wrong configuration is refused by its path: %s", (text, said) => {
    expect(() => readConfig(text)).toThrow(ConfigError);
    expect(() => readConfig(text)).toThrow(said);
  });
});

it("secrets of the deployment are those that the configuration lists, with their hosts", () => {
  const { toolSecrets } = readConfig('{"tool_secrets":{"TOKEN":{"hosts":["a.example","*.b.example"]}}}');
  expect([...toolSecrets]).toEqual([["TOKEN", { hosts: ["a.example", "*.b.example"] }]]);
  expect(readConfig(undefined).toolSecrets.size).toBe(0);
});

describe("candidates", () => {
  const config = readConfig(
    JSON.stringify({
      aliases: { smart: "Clever", clever: "pool" },
      routes: {
        pool: { targets: [{ target: "a/m" }, { target: "b/m", tier: 1 }], retries: { max: 5 }, midstream: "continue" },
        half: [{ target: "openai/gpt-4o" }, { target: "c/m" }],
      },
    }),
  );
  const find = (wish: Parameters<typeof findCandidates>[0], table: ReadonlyMap<string, Provider> = providers) =>
    findCandidates(wish, "openai-chat", { config, providers: table });
  const found = async (...args: Parameters<typeof find>): Promise<string[]> => {
    const { all } = await find(...args);
    return all.map(({ target, tier }) => `${targetKeyOf(target)}@${tier}`);
  };

  it("candidates are those of a route, by any of its aliases, with the route's own policy under the request's", async () => {
    expect(await found({ model: "SMART" })).toEqual(["a/m@0", "b/m@1"]);
    const { policy } = await find({ model: "smart", retries: { baseMs: 1 } });
    expect(policy).toEqual({
      ...DEFAULT_POLICY,
      midstream: "continue",
      retries: { ...DEFAULT_POLICY.retries, max: 5, baseMs: 1 },
    });
  });

  it("candidates are tried in the order of models, each of them once", async () => {
    const targets = await found({ model: "c/m", models: ["pool", "c/m"] });
    expect(targets.map((one) => one.slice(0, 3))).toEqual(["c/m", "a/m", "b/m"]);
    // Who asks for the fastest of several means all of them.
    expect(await found({ model: "c/m", models: ["a/m"], strategy: "least_latency" })).toEqual(["c/m@0", "a/m@0"]);
  });

  it("candidates are only those of the providers that may answer, in their order", async () => {
    expect(await found({ model: "pool", providers: ["b"] })).toEqual(["b/m@1"]);
    expect(await found({ model: "anything", providers: ["B", "a"] })).toEqual(["b/anything@0", "a/anything@1"]);
  });

  it("candidates without a key are left out, as long as something is left", async () => {
    expect(await found({ model: "half" })).toEqual(["c/m@0"]);
  });

  it.each([
    [{ model: "nobody/x" }, "model.not_found", "model"],
    [{ model: "a/m", models: ["b/m", "nobody/x"] }, "request.invalid", "rhone.routing.models[1]"],
    [{ model: "a/m", models: ["b/m"], fallbacks: ["nobody/x"] }, "request.invalid", "rhone.routing.fallbacks[0]"],
    [{ model: "a/m", providers: ["b", "nobody"] }, "request.invalid", "rhone.routing.providers[1]"],
    [{ model: "a/m", providers: ["b"] }, "request.invalid", "rhone.routing.providers"],
  ])("wrong candidates are refused by name: %j", async (wish, code, param) => {
    await expect(find(wish)).rejects.toMatchObject({ code, param });
  });
});

describe("the order of a plan", () => {
  it("a plan goes tier by tier, for any random numbers", () => {
    fc.assert(
      fc.property(
        fc.array(fc.double({ min: 0, max: 0.999, noNaN: true }), { minLength: 9, maxLength: 9 }),
        (chances) => {
          let next = 0;
          const all: [Candidate, ...Candidate[]] = [
            candidate("b", { tier: 1 }),
            candidate("a", { weight: 9 }),
            candidate("c"),
          ];
          const drawn = plan(all, "weighted", { random: () => chances[next++]! });
          expect(drawn.toSorted()).toEqual(["a/m", "b/m", "c/m"]);
          expect(drawn[2]).toBe("b/m");
        },
      ),
    );
  });

  it("a plan draws the first of a tier by its weight", () => {
    const first = Array.from(
      { length: 1000 },
      (_, i) => plan([candidate("a", { weight: 3 }), candidate("b")], "weighted", { random: () => i / 1000 })[0],
    );
    expect(first.filter((key) => key === "a/m")).toHaveLength(750);
  });

  it("a plan is ordered by latency with the unmeasured first, or by cost with the unpriced last", () => {
    const all: [Candidate, ...Candidate[]] = [candidate("a"), candidate("b"), candidate("c")];
    const known: Record<string, number> = { a: 300, b: 200 };
    const of = ({ provider: { id } }: Target): number | undefined => known[id];
    expect(plan(all, "least_latency", { latencyOf: of })).toEqual(["c/m", "b/m", "a/m"]);
    expect(plan(all, "least_cost", { costOf: of })).toEqual(["b/m", "a/m", "c/m"]);
  });

  it("a plan starts with the issuers of what the session holds sealed, and of most of it", () => {
    const all: [Candidate, ...Candidate[]] = [candidate("a"), candidate("b", { tier: 4 }), candidate("c", { tier: 5 })];
    expect(plan(all, "weighted", { issuers: ["b/m", "c/m", "b/m", "nobody/m"] })).toEqual(["b/m", "c/m", "a/m"]);
    expect(plan(all, "weighted", { issuers: ["b/m", "a/m"] })).toEqual(["a/m", "b/m", "c/m"]);
  });
});

describe("a failure's verdict", () => {
  it.each([
    [failed(500), "again"],
    [failed(503), "again"],
    [failed(429), "again"],
    [failed(429, { code: "insufficient_quota" }), "next"],
    [broken, "again"],
    [silent, "next"],
    [failed(401), "next"],
    [failed(403), "next"],
    [new GatewayError("model.not_found", "x", { upstream: { status: 404 } }), "next"],
    [failed(400), "stop"],
    [tooLong, "larger"],
    [new GatewayError("request.unprocessable", "ours"), "stop"],
    [new GatewayError("internal", "ours"), "stop"],
  ])("the verdict of %o is %s", (error, verdict) => {
    expect(verdictOf(error)).toBe(verdict);
  });

  it("a retry waits longer each time, never beyond its bound, and as long as the provider requests", () => {
    const { retries } = DEFAULT_POLICY;
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 30 }), fc.double({ min: 0, max: 0.999, noNaN: true }), (count, chance) => {
        const wait = retryDelay(count, failed(500), retries, { random: () => chance, maxWaitMs: 1 })!;
        const full = Math.min(retries.maxMs, retries.baseMs * 2 ** (count - 1));
        expect(wait).toBeGreaterThanOrEqual(full / 2);
        expect(wait).toBeLessThanOrEqual(full);
      }),
    );
    const asked = failed(429, { retryAfterSeconds: 2 });
    expect(retryDelay(1, asked, retries, { random: () => 0, maxWaitMs: 30_000 })).toBe(2_000);
    expect(retryDelay(1, asked, retries, { random: () => 0, maxWaitMs: 1_999 })).toBeUndefined();
  });
});
