import { describe, expect, it } from "vitest";
import { GatewayError } from "../../src/canonical/error.ts";
import { Breakers } from "../../src/routing/breaker.ts";
import { DEFAULT_POLICY } from "../../src/routing/config.ts";
import { failOver, type FailoverPlan, type FailoverServices, type AttemptFn } from "../../src/routing/failover.ts";
import { targetKeyOf, type Target } from "../../src/routing/locate.ts";
import type { Attempt } from "../../src/store/records.ts";
import { at, broken, failed, silent, tooLong } from "../support/targets.ts";

/** A world in which time passes only when somebody waits for it. */
function world(script: (target: Target, count: number, now: number) => GatewayError | "ok" | number) {
  let now = 1_000_000;
  const attempts: Attempt[] = [];
  const tries: string[] = [];
  const blamed: string[] = [];
  const counts = new Map<string, number>();
  const breakers = new Breakers({ failures: 3, seconds: 30 }, () => now);
  const tools: FailoverServices = {
    breakers,
    now: () => now,
    sleep: async (ms) => void (now += ms),
    random: () => 0,
    logAttempt: (attempt) => attempts.push(attempt),
    mayFit: async ({ provider }, tooSmall) => provider.id > tooSmall.provider.id,
    canRepeat: () => true,
    onFirstError: (target) => blamed.push(targetKeyOf(target)),
    signal: new AbortController().signal,
  };
  const attempt: AttemptFn<string> = async (target) => {
    const key = targetKeyOf(target);
    tries.push(key);
    counts.set(key, (counts.get(key) ?? 0) + 1);
    const outcome = script(target, counts.get(key)!, now);
    now += typeof outcome === "number" ? outcome : 10;
    if (outcome instanceof GatewayError) throw outcome;
    return key;
  };
  const call = (targets: [Target, ...Target[]], more: Partial<FailoverPlan> = {}): Promise<string> =>
    failOver({ targets, policy: DEFAULT_POLICY, ...more }, attempt, tools);
  return { call, tries, blamed, attempts, breakers, tools, pass: (ms: number) => (now += ms), now: () => now };
}

describe("the loop of attempts", () => {
  it("a failing target is tried again, as often as the call has retries, then the next one", async () => {
    const { call, tries } = world(({ provider }) => (provider.id === "a" ? failed(500) : "ok"));
    expect(await call([at("a"), at("b")])).toBe("b/m");
    expect(tries).toEqual(["a/m", "a/m", "a/m", "b/m"]);
  });

  it("a call never makes more tries than it has targets and retries", async () => {
    const { call, tries } = world(() => failed(503));
    await expect(call([at("a"), at("b"), at("c")])).rejects.toMatchObject({ status: 503 });
    expect(tries).toEqual(["a/m", "a/m", "a/m", "b/m", "c/m"]);
  });

  it.each([
    [silent, ["a/m", "b/m"]],
    [failed(401), ["a/m", "b/m"]],
    [failed(429, { retryAfterSeconds: 9 }), ["a/m", "b/m"]],
    [failed(429, { retryAfterSeconds: 1 }), ["a/m", "a/m", "a/m", "b/m"]],
  ])("a target whose error cannot pass soon is left at once: %o", async (error, expected) => {
    const { call, tries } = world(({ provider }) => (provider.id === "a" ? error : "ok"));
    expect(await call([at("a"), at("b")])).toBe("b/m");
    expect(tries).toEqual(expected);
  });

  it("a call waits as long as the provider requests when there is no other target", async () => {
    const { call, now } = world((_, count) => (count === 1 ? failed(429, { retryAfterSeconds: 20 }) : "ok"));
    const before = now();
    expect(await call([at("a")])).toBe("a/m");
    expect(now() - before).toBe(20_020);
  });

  it("a wrong request is reported to the caller, and sent to no other target", async () => {
    const { call, tries } = world(() => failed(400));
    await expect(call([at("a"), at("b")])).rejects.toMatchObject({ status: 400 });
    expect(tries).toEqual(["a/m"]);
  });

  it("a request that is too long goes to a target that holds more, and only there", async () => {
    const larger = world(({ provider }) => (provider.id === "c" ? "ok" : tooLong));
    expect(await larger.call([at("b"), at("a"), at("c")])).toBe("c/m");
    expect(larger.tries).toEqual(["b/m", "c/m"]);
    const none = world(() => tooLong);
    await expect(none.call([at("b"), at("a")])).rejects.toBe(tooLong);
    expect(none.tries).toEqual(["b/m"]);
  });

  it("a request that is too long goes to no target that is no larger than one that was too small", async () => {
    const windows: Record<string, number> = { a: 200, c: 100 };
    const { call, tries, tools } = world(() => tooLong);
    tools.mayFit = async ({ provider }, { provider: before }) => !(windows[provider.id]! <= windows[before.id]!);
    await expect(call([at("a"), at("b"), at("c")])).rejects.toBe(tooLong);
    expect(tries).toEqual(["a/m", "b/m"]);
  });

  it("a request that cannot be sent again is not tried again", async () => {
    const { call, tries, tools } = world(() => broken);
    tools.canRepeat = () => tries.length === 0;
    await expect(call([at("a"), at("b")])).rejects.toBe(broken);
    expect(tries).toEqual(["a/m"]);
  });

  it("each attempt gets the information whether another target is left", async () => {
    const { breakers, tools } = world(() => "ok");
    for (let failures = 0; failures < 3; failures++) await breakers.recordFailure("c/m", broken);
    const run = async (error: GatewayError, ...targets: [Target, ...Target[]]): Promise<[string, boolean][]> => {
      const seen: [string, boolean][] = [];
      const attempt: AttemptFn<string> = async (target, { isLast }) => {
        seen.push([targetKeyOf(target), isLast]);
        throw error;
      };
      await expect(failOver({ targets, policy: DEFAULT_POLICY }, attempt, tools)).rejects.toBe(error);
      return seen;
    };
    const inOrder = [
      ["a/m", false],
      ["b/m", true],
    ];
    expect(await run(silent, at("a"), at("b"))).toEqual(inOrder);
    // The breaker of c is open.
    expect(await run(silent, at("a"), at("b"), at("c"))).toEqual(inOrder);
    expect(await run(tooLong, at("a"), at("b"), at("a", "n"))).toEqual(inOrder);
  });

  it("a call fails with the first error when no target helps", async () => {
    const { call, attempts } = world(({ provider }) => (provider.id === "a" ? failed(500) : failed(400)));
    await expect(call([at("a"), at("b")])).rejects.toThrow("status 500");
    expect(attempts.map(({ provider, error }) => [provider, error])).toEqual([
      ...Array(3).fill(["a", "provider.execution_failed"]),
      ["b", "request.invalid"],
    ]);
  });

  it("a target that another call probes is none that is left", async () => {
    const waits: boolean[] = [];
    const { breakers, pass, tools } = world(() => "ok");
    for (let i = 0; i < 3; i++) await breakers.recordFailure("b/m", failed(500));
    pass(31_000);
    const plan = { targets: [at("a"), at("b")] as const, policy: DEFAULT_POLICY };
    const attempt: AttemptFn<string> = async (target, { isLast }) => (waits.push(isLast), targetKeyOf(target));
    await failOver(plan, attempt, tools);
    expect(await breakers.admit("b/m", false)).toBe("probe");
    await failOver(plan, attempt, tools);
    expect(waits).toEqual([false, true]);
  });

  it("the error that is thrown is that of the first target that was tried, which is named", async () => {
    const { call, blamed, breakers } = world(({ provider }) => failed(provider.id === "b" ? 503 : 500));
    for (let i = 0; i < 3; i++) await breakers.recordFailure("a/m", failed(500));
    await expect(call([at("a"), at("b"), at("c")])).rejects.toMatchObject({ status: 503 });
    expect(blamed).toEqual(["b/m"]);
  });

  it("a target that cools down is passed over, probed once when its time has come, and used again", async () => {
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

  it("a target that cools down gets ten calls a second when there is no other, and the rest are refused", async () => {
    const { call, tools, breakers, pass } = world(() => broken);
    await expect(call([at("a")])).rejects.toBe(broken);
    pass(99);
    expect(await breakers.admit("a/m", true)).toBe("refused");
    pass(1);
    expect(await breakers.admit("a/m", true)).toBe("probe");
    const refused = failOver({ targets: [at("a")], policy: DEFAULT_POLICY }, () => Promise.resolve("never"), tools);
    await expect(refused).rejects.toMatchObject({ status: 503, retryAfterSeconds: 30 });
    breakers.recordSuccess("a/m");
    await expect(call([at("a")])).rejects.toBe(broken);
  });

  it("a call stops when its client has left, and counts nothing against the target", async () => {
    const gone = new AbortController();
    const left = new GatewayError("stream.interrupted", "left");
    const { tools, breakers } = world(() => "ok");
    const attempt: AttemptFn<string> = async () => {
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
  const tools = (): FailoverServices & { attempts: Attempt[] } => {
    const attempts: Attempt[] = [];
    const sleep = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));
    return { ...world(() => "ok").tools, sleep, logAttempt: (one) => attempts.push(one), attempts };
  };
  const hedged = (attempt: AttemptFn<string>, all: FailoverServices): Promise<string> =>
    failOver({ targets: [at("a")], policy: DEFAULT_POLICY, hedge: { afterMs: 5, target: at("b") } }, attempt, all);

  it("a hedge starts when the first target is silent; the first content wins and the other is cancelled", async () => {
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

  it("a hedge never starts when the first target is quick, and leaves the winner alone", async () => {
    const asked: string[] = [];
    let signalOfWinner: AbortSignal | undefined;
    const attempt: AttemptFn<string> = async (target, { signal }) => {
      asked.push(targetKeyOf(target));
      signalOfWinner = signal;
      return "a";
    };
    expect(await hedged(attempt, tools())).toBe("a");
    expect([asked, signalOfWinner!.aborted]).toEqual([["a/m"], false]);
  });

  it("a hedge fails with the first target's error when both fail", async () => {
    const attempt: AttemptFn<string> = async ({ provider }) => {
      if (provider.id === "a") await new Promise((resolve) => setTimeout(resolve, 20));
      throw provider.id === "a" ? silent : failed(500);
    };
    await expect(hedged(attempt, tools())).rejects.toBe(silent);
  });
});

it("over a day of a flapping provider callers are served, the target is not hammered, and nothing grows", async () => {
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
  for (let i = 0; i < 5_000; i++) await breakers.recordFailure(`p/${i}`, broken);
  expect(breakers.keys).toHaveLength(1000);
  expect(breakers.state("p/4999")).toBe("open");
});
