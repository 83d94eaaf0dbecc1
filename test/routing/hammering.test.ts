import { describe, expect, it } from "vitest";
import { Breakers, type BreakerStore, LOCAL_ONLY } from "../../src/routing/breaker.ts";

/**
 * How often a dead target is asked by a deployment of many isolates. Time is a number here; calls arrive evenly, each at
 * an isolate by chance, and every try fails, until the target is back.
 */
const COOLDOWN = { failures: 3, seconds: 30 };
const MINUTE = 60_000;
/** Until what one isolate says is known to the others. Milliseconds. */
const LAG = 20;

type World = { isolates: number; callsPerSecond: number; isShared: boolean };

/** Tries that the target sees in each minute. `backAt`: from then on it answers. */
async function triesPerMinute(
  { isolates, callsPerSecond, isShared }: World,
  { minutes = 6, backAt = Number.POSITIVE_INFINITY } = {},
): Promise<number[]> {
  let now = 0;
  const shared = isShared ? cacheOf(() => now) : LOCAL_ONLY;
  const all = Array.from({ length: isolates }, () => new Breakers(COOLDOWN, () => now, shared));
  const random = numbers(isolates * 31 + callsPerSecond);
  const tries = Array.from({ length: minutes }, () => 0);
  for (; now < minutes * MINUTE; now += 1000 / callsPerSecond) {
    const breakers = all[Math.floor(random() * isolates)]!;
    if ((await breakers.admit("dead", false)) === "refused") continue;
    tries[Math.floor(now / MINUTE)]!++;
    if (now >= backAt) breakers.recordSuccess("dead", 1);
    else await breakers.recordFailure("dead", { code: "provider.unavailable", message: "dead" });
  }
  return tries;
}

/** A data centre's cache: what is written is read a little later, and forgotten when it is over. */
function cacheOf(now: () => number): BreakerStore {
  let said: { until: number; from: number }[] = [];
  return {
    downUntil: async () => said.findLast(({ from }) => from <= now())?.until,
    markDown: async (_, until) => void (said = [...said.slice(-50), { until, from: now() + LAG }]),
    markUp: async () => void (said = []),
  };
}

/** The same every time (mulberry32). */
function numbers(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 4294967296;
  };
}

describe("a dead target", () => {
  it.each([
    // Tries a minute when each isolate goes by itself, and when they tell each other.
    [1, 10, 2, 2],
    [10, 10, 20, 2],
    [100, 10, 150, 3],
    [100, 100, 200, 4],
    [1000, 100, 1490, 8],
  ])(
    "a dead target behind %i isolates and %i calls a second is tried by few of them",
    async (isolates, callsPerSecond, alone, told) => {
      const [, ...apart] = await triesPerMinute({ isolates, callsPerSecond, isShared: false });
      const [, ...together] = await triesPerMinute({ isolates, callsPerSecond, isShared: true });
      expect(Math.min(...apart)).toBeGreaterThanOrEqual(alone);
      expect(Math.max(...together)).toBeLessThanOrEqual(told);
    },
  );

  it("a dead target costs an isolate without a notice of it one try, and not three", async () => {
    const [first] = await triesPerMinute({ isolates: 1000, callsPerSecond: 10, isShared: true }, { minutes: 1 });
    const [alone] = await triesPerMinute({ isolates: 1000, callsPerSecond: 1000, isShared: false }, { minutes: 1 });
    expect([first! < 600, alone! > 3000]).toEqual([true, true]);
  });

  it("a target that is back has all of its calls within a cool-down", async () => {
    const world = { isolates: 100, callsPerSecond: 100, isShared: true };
    const tries = await triesPerMinute(world, { backAt: 3 * MINUTE });
    expect(tries[3]).toBeGreaterThan(6_000 / 3);
    expect(tries.slice(4)).toEqual([6_000, 6_000]);
  });
});
