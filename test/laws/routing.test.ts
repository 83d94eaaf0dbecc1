import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { GatewayError } from "../../src/canonical/error.ts";
import type { Provider } from "../../src/providers/provider.ts";
import { readProviders } from "../../src/providers/table.ts";
import { Breakers } from "../../src/routing/breaker.ts";
import { ConfigError, DEFAULT_POLICY, readConfig } from "../../src/routing/config.ts";
import { failOver, type Plan, type Tools, type Try } from "../../src/routing/failover.ts";
import { keyOf, type Target } from "../../src/routing/locate.ts";
import { type Candidate, candidatesOf, order, type Ranking } from "../../src/routing/plan.ts";
import { verdictOf, waitBefore } from "../../src/routing/retry.ts";
import type { Attempt } from "../../src/store/records.ts";

const row = (id: string): object => ({ id, dialect: "openai-chat", base_url: `http://${id}.test/v1`, api_key: "k" });
const ids = ["a", "b", "c"] as const;
const { rows: providers } = readProviders({ RHONE_PROVIDERS: JSON.stringify(ids.map(row)) });
const at = (id: string, model = "m"): Target => ({ provider: providers.get(id)!, model, dialect: "openai-chat" });
const candidate = (id: string, more: Partial<Candidate> = {}): Candidate => ({
  target: at(id),
  tier: 0,
  weight: 1,
  ...more,
});
const names = (targets: readonly Target[]): string[] => targets.map(keyOf);

const ranking: Ranking = { issuers: [], latencyOf: () => undefined, costOf: () => undefined, random: () => 0 };
const plan = (all: [Candidate, ...Candidate[]], strategy = DEFAULT_POLICY.strategy, more: Partial<Ranking> = {}) =>
  names(order({ all, policy: { ...DEFAULT_POLICY, strategy } }, { ...ranking, ...more }));

describe("the configuration", () => {
  it("has SPEC 20's defaults, and takes what SPEC 20 writes", () => {
    const written = {
      aliases: { "smart-general": "anthropic/claude-sonnet-4-6" },
      routes: {
        "gpt-4o": [
          { target: "openai/gpt-4o", tier: 0, weight: 3 },
          { target: "azure/gpt-4o", tier: 1 },
        ],
      },
      deadlines_ms: { connect: 10000, headers: 60000, first_content: 60000, idle: 60000, total: 900000 },
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
  ])("is refused by its path: %s", (text, said) => {
    expect(() => readConfig(text)).toThrow(ConfigError);
    expect(() => readConfig(text)).toThrow(said);
  });
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
  const find = (wish: Parameters<typeof candidatesOf>[0], table: ReadonlyMap<string, Provider> = providers) =>
    candidatesOf(wish, "openai-chat", { config, providers: table });
  const found = async (...args: Parameters<typeof find>): Promise<string[]> => {
    const { all } = await find(...args);
    return all.map(({ target, tier }) => `${keyOf(target)}@${tier}`);
  };

  it("are those of a route, by any of its aliases, with the route's own policy under the request's", async () => {
    expect(await found({ model: "SMART" })).toEqual(["a/m@0", "b/m@1"]);
    const { policy } = await find({ model: "smart", retries: { baseMs: 1 } });
    expect(policy).toEqual({
      ...DEFAULT_POLICY,
      midstream: "continue",
      retries: { ...DEFAULT_POLICY.retries, max: 5, baseMs: 1 },
    });
  });

  it("are tried in the order of models, each of them once", async () => {
    const targets = await found({ model: "c/m", models: ["pool", "c/m"] });
    expect(targets.map((one) => one.slice(0, 3))).toEqual(["c/m", "a/m", "b/m"]);
    // Who asks for the fastest of several means all of them.
    expect(await found({ model: "c/m", models: ["a/m"], strategy: "least_latency" })).toEqual(["c/m@0", "a/m@0"]);
  });

  it("are only those of the providers that may answer, in their order", async () => {
    expect(await found({ model: "pool", providers: ["b"] })).toEqual(["b/m@1"]);
    expect(await found({ model: "anything", providers: ["B", "a"] })).toEqual(["b/anything@0", "a/anything@1"]);
  });

  it("leave out what has no key, as long as something is left", async () => {
    expect(await found({ model: "half" })).toEqual(["c/m@0"]);
  });

  it.each([
    [{ model: "nobody/x" }, "model.not_found", "model"],
    [{ model: "a/m", models: ["b/m", "nobody/x"] }, "request.invalid", "rhone.routing.models[1]"],
    [{ model: "a/m", providers: ["b", "nobody"] }, "request.invalid", "rhone.routing.providers[1]"],
    [{ model: "a/m", providers: ["b"] }, "request.invalid", "rhone.routing.providers"],
  ])("are refused by name: %j", async (wish, code, param) => {
    await expect(find(wish)).rejects.toMatchObject({ code, param });
  });
});

describe("the order of a plan", () => {
  it("goes tier by tier, whatever is drawn", () => {
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

  it("draws the first of a tier by its weight", () => {
    const first = Array.from(
      { length: 1000 },
      (_, i) => plan([candidate("a", { weight: 3 }), candidate("b")], "weighted", { random: () => i / 1000 })[0],
    );
    expect(first.filter((key) => key === "a/m")).toHaveLength(750);
  });

  it("is by latency with the unmeasured first, by cost with the unpriced last", () => {
    const all: [Candidate, ...Candidate[]] = [candidate("a"), candidate("b"), candidate("c")];
    const known: Record<string, number> = { a: 300, b: 200 };
    const of = ({ provider: { id } }: Target): number | undefined => known[id];
    expect(plan(all, "least_latency", { latencyOf: of })).toEqual(["c/m", "b/m", "a/m"]);
    expect(plan(all, "least_cost", { costOf: of })).toEqual(["b/m", "a/m", "c/m"]);
  });

  it("begins with who can open what the session holds sealed, and most of it", () => {
    const all: [Candidate, ...Candidate[]] = [candidate("a"), candidate("b", { tier: 4 }), candidate("c", { tier: 5 })];
    expect(plan(all, "weighted", { issuers: ["b/m", "c/m", "b/m", "nobody/m"] })).toEqual(["b/m", "c/m", "a/m"]);
    expect(plan(all, "weighted", { issuers: ["b/m", "a/m"] })).toEqual(["a/m", "b/m", "c/m"]);
  });
});

const failed = (status: number, more: Partial<{ code: string; retryAfterSeconds: number }> = {}): GatewayError => {
  const code = status === 429 ? "rate.limited" : status === 400 ? "request.invalid" : "provider.execution_failed";
  const { code: word, retryAfterSeconds } = more;
  return new GatewayError(code, `status ${status}`, {
    status,
    upstream: { status, ...(word !== undefined && { code: word }) },
    ...(retryAfterSeconds !== undefined && { retryAfterSeconds }),
  });
};
const silent = new GatewayError("provider.timeout", "silent");
const broken = new GatewayError("provider.unavailable", "reset");
const tooLong = new GatewayError("context.too_long", "too long", { upstream: { status: 400 } });

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
  ])("%o: %s", (error, verdict) => {
    expect(verdictOf(error)).toBe(verdict);
  });

  it("waits longer each time, never beyond its bound, and as long as the provider asks for", () => {
    const { retries } = DEFAULT_POLICY;
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 30 }), fc.double({ min: 0, max: 0.999, noNaN: true }), (count, chance) => {
        const wait = waitBefore(count, failed(500), retries, { random: () => chance, mostMs: 1 })!;
        const full = Math.min(retries.maxMs, retries.baseMs * 2 ** (count - 1));
        expect(wait).toBeGreaterThanOrEqual(full / 2);
        expect(wait).toBeLessThanOrEqual(full);
      }),
    );
    const asked = failed(429, { retryAfterSeconds: 2 });
    expect(waitBefore(1, asked, retries, { random: () => 0, mostMs: 30_000 })).toBe(2_000);
    expect(waitBefore(1, asked, retries, { random: () => 0, mostMs: 1_999 })).toBeUndefined();
  });
});

/** A world in which time passes only when somebody waits for it. */
function world(script: (target: Target, count: number, now: number) => GatewayError | "ok" | number) {
  let now = 1_000_000;
  const attempts: Attempt[] = [];
  const tries: string[] = [];
  const counts = new Map<string, number>();
  const breakers = new Breakers({ failures: 3, seconds: 30 }, () => now);
  const tools: Tools = {
    breakers,
    now: () => now,
    sleep: async (ms) => void (now += ms),
    random: () => 0,
    note: (attempt) => attempts.push(attempt),
    isLarger: async ({ provider }, than) => provider.id > than.provider.id,
    signal: new AbortController().signal,
  };
  const attempt: Try<string> = async (target) => {
    const key = keyOf(target);
    tries.push(key);
    counts.set(key, (counts.get(key) ?? 0) + 1);
    const outcome = script(target, counts.get(key)!, now);
    now += typeof outcome === "number" ? outcome : 10;
    if (outcome instanceof GatewayError) throw outcome;
    return key;
  };
  const call = (targets: [Target, ...Target[]], more: Partial<Plan> = {}): Promise<string> =>
    failOver({ targets, policy: DEFAULT_POLICY, ...more }, attempt, tools);
  return { call, tries, attempts, breakers, tools, pass: (ms: number) => (now += ms), now: () => now };
}

describe("the loop of attempts", () => {
  it("tries a failing target again, as often as the call has retries, then the next one", async () => {
    const { call, tries } = world(({ provider }) => (provider.id === "a" ? failed(500) : "ok"));
    expect(await call([at("a"), at("b")])).toBe("b/m");
    expect(tries).toEqual(["a/m", "a/m", "a/m", "b/m"]);
  });

  it("never makes more tries than it has targets and retries", async () => {
    const { call, tries } = world(() => failed(503));
    await expect(call([at("a"), at("b"), at("c")])).rejects.toMatchObject({ status: 503 });
    expect(tries).toEqual(["a/m", "a/m", "a/m", "b/m", "c/m"]);
  });

  it.each([
    [silent, ["a/m", "b/m"]],
    [failed(401), ["a/m", "b/m"]],
    [failed(429, { retryAfterSeconds: 9 }), ["a/m", "b/m"]],
    [failed(429, { retryAfterSeconds: 1 }), ["a/m", "a/m", "a/m", "b/m"]],
  ])("leaves at once what cannot be better soon: %o", async (error, expected) => {
    const { call, tries } = world(({ provider }) => (provider.id === "a" ? error : "ok"));
    expect(await call([at("a"), at("b")])).toBe("b/m");
    expect(tries).toEqual(expected);
  });

  it("waits as long as it is asked to when there is nowhere else to go", async () => {
    const { call, now } = world((_, count) => (count === 1 ? failed(429, { retryAfterSeconds: 20 }) : "ok"));
    const before = now();
    expect(await call([at("a")])).toBe("a/m");
    expect(now() - before).toBe(20_020);
  });

  it("tells the caller what is wrong with the request, and asks nobody else", async () => {
    const { call, tries } = world(() => failed(400));
    await expect(call([at("a"), at("b")])).rejects.toMatchObject({ status: 400 });
    expect(tries).toEqual(["a/m"]);
  });

  it("takes what is too long to a target that holds more, and only there", async () => {
    const larger = world(({ provider }) => (provider.id === "c" ? "ok" : tooLong));
    expect(await larger.call([at("b"), at("a"), at("c")])).toBe("c/m");
    expect(larger.tries).toEqual(["b/m", "c/m"]);
    const none = world(() => tooLong);
    await expect(none.call([at("b"), at("a")])).rejects.toBe(tooLong);
    expect(none.tries).toEqual(["b/m"]);
  });

  it("throws the first error when nothing helps", async () => {
    const { call, attempts } = world(({ provider }) => (provider.id === "a" ? failed(500) : failed(400)));
    await expect(call([at("a"), at("b")])).rejects.toThrow("status 500");
    expect(attempts.map(({ provider, error }) => [provider, error])).toEqual([
      ...Array(3).fill(["a", "provider.execution_failed"]),
      ["b", "request.invalid"],
    ]);
  });

  it("passes over what cools down, probes it once when its time has come, and takes it back", async () => {
    let isDown = true;
    const { call, tries, breakers, pass } = world(({ provider }) => (provider.id === "a" && isDown ? broken : "ok"));
    await call([at("a"), at("b")]);
    expect(breakers.state("a/m")).toBe("open");
    tries.length = 0;
    await call([at("a"), at("b")]);
    expect(tries).toEqual(["b/m"]);
    pass(30_000);
    await call([at("a"), at("b")]);
    expect(tries).toEqual(["b/m", "a/m", "b/m"]);
    isDown = false;
    pass(30_000);
    expect(await call([at("a"), at("b")])).toBe("a/m");
    expect(breakers.state("a/m")).toBe("closed");
  });

  it("lets ten calls a second ask a target that cools down when there is no other, and says so to the rest", async () => {
    const { call, tools, breakers, pass } = world(() => broken);
    await expect(call([at("a")])).rejects.toBe(broken);
    pass(99);
    expect(await breakers.admit("a/m", true)).toBe("refused");
    pass(1);
    expect(await breakers.admit("a/m", true)).toBe("probe");
    const refused = failOver({ targets: [at("a")], policy: DEFAULT_POLICY }, () => Promise.resolve("never"), tools);
    await expect(refused).rejects.toMatchObject({ status: 503, retryAfterSeconds: 30 });
    breakers.succeeded("a/m");
    await expect(call([at("a")])).rejects.toBe(broken);
  });

  it("stops when nobody waits any longer, and holds nothing against the target", async () => {
    const gone = new AbortController();
    const left = new GatewayError("stream.interrupted", "left");
    const { tools, breakers } = world(() => "ok");
    const attempt: Try<string> = async () => {
      gone.abort(left);
      throw broken;
    };
    const call = failOver({ targets: [at("a"), at("b")], policy: DEFAULT_POLICY }, attempt, {
      ...tools,
      signal: gone.signal,
    });
    await expect(call).rejects.toBe(left);
    expect(breakers.health("a/m").failures).toBe(0);
  });
});

describe("a hedge", () => {
  const tools = (): Tools & { attempts: Attempt[] } => {
    const attempts: Attempt[] = [];
    const sleep = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));
    return { ...world(() => "ok").tools, sleep, note: (one) => attempts.push(one), attempts };
  };
  const hedged = (attempt: Try<string>, all: Tools): Promise<string> =>
    failOver({ targets: [at("a")], policy: DEFAULT_POLICY, hedge: { afterMs: 5, target: at("b") } }, attempt, all);

  it("starts when the first is silent; the first content wins and the other is cancelled", async () => {
    const all = tools();
    let cancelled: unknown;
    const answer = await hedged(
      (target, { signal }) =>
        target.provider.id === "b"
          ? Promise.resolve("b")
          : new Promise((_, reject) => {
              signal.addEventListener("abort", () => reject((cancelled = signal.reason)));
            }),
      all,
    );
    expect([answer, (cancelled as Error).message]).toEqual(["b", "another target was faster"]);
    await expect.poll(() => all.attempts).toHaveLength(2);
    expect(all.breakers.health("a/m").failures).toBe(0);
  });

  it("never starts when the first is quick, and leaves the winner alone", async () => {
    const asked: string[] = [];
    let signalOfWinner: AbortSignal | undefined;
    const attempt: Try<string> = async (target, { signal }) => {
      asked.push(keyOf(target));
      signalOfWinner = signal;
      return "a";
    };
    expect(await hedged(attempt, tools())).toBe("a");
    expect([asked, signalOfWinner!.aborted]).toEqual([["a/m"], false]);
  });

  it("fails with the first one's error when both do", async () => {
    const attempt: Try<string> = async ({ provider }) => {
      if (provider.id === "a") await new Promise((resolve) => setTimeout(resolve, 20));
      throw provider.id === "a" ? silent : failed(500);
    };
    await expect(hedged(attempt, tools())).rejects.toBe(silent);
  });
});

it("a day of a flapping provider: callers are served, the target is not hammered, nothing grows", async () => {
  const MINUTE = 60_000;
  // Down for one minute of three.
  const { call, tries, breakers, attempts, pass } = world(({ provider }, _, now) =>
    provider.id === "a" && Math.floor(now / MINUTE) % 3 === 0 ? broken : "ok",
  );
  let served = 0;
  for (let i = 0; i < 24 * 60 * 60; i += 5) {
    served += (await call([at("a"), at("b")])) === "a/m" ? 1 : 0;
    pass(5_000 - 10);
  }
  const calls = (24 * 60 * 60) / 5;
  const failures = attempts.filter(({ error }) => error !== undefined).length;
  // 480 outages: three tries open the breaker, then one probe in each half minute.
  expect(failures / 480).toBeLessThanOrEqual(5);
  expect(tries.length - calls).toBe(failures);
  // Out of use for a minute in three, and for what is left of a cool-down.
  expect(served / calls).toBeGreaterThan(0.45);
  expect(breakers.keys.toSorted()).toEqual(["a/m", "b/m"]);
});

it("breakers forget the oldest of more targets than anybody has", async () => {
  const breakers = new Breakers({ failures: 1, seconds: 30 }, () => 0);
  for (let i = 0; i < 5_000; i++) await breakers.failed(`p/${i}`, broken);
  expect(breakers.keys).toHaveLength(1000);
  expect(breakers.state("p/4999")).toBe("open");
});
