import { expect, it } from "vitest";
import { cacheBreakers } from "../../src/platform/shared-breakers.ts";
import { Breakers } from "../../src/routing/breaker.ts";

const COOLDOWN = { failures: 3, seconds: 30 };
const why = { code: "provider.unavailable", message: "down" } as const;

/** An isolate of this data centre. `later`: milliseconds by which its clock is ahead. */
const isolate = (clock = { later: 0 }): Breakers => {
  const now = (): number => Date.now() + clock.later;
  return new Breakers(
    COOLDOWN,
    now,
    cacheBreakers(() => caches.default, now),
  );
};

it("a target that one isolate has found down costs another a single try", async () => {
  const [first, second] = [isolate(), isolate()];
  for (let i = 0; i < 3; i++) await first.recordFailure("p/a", why);
  await expect
    .poll(async () => {
      if (second.state("p/a") === "closed") await second.recordFailure("p/a", why);
      return second.state("p/a");
    })
    .toBe("open");
  expect([second.health("p/a").isPublished, await second.admit("p/a", false)]).toEqual([true, "refused"]);
});

it("one isolate probes whether a target is back, and the others wait for what it finds", async () => {
  const clock = { later: 0 };
  const [first, second] = [isolate(clock), isolate(clock)];
  for (let i = 0; i < 3; i++) for (const one of [first, second]) await one.recordFailure("p/b", why);
  clock.later = 31_000;
  expect(await first.admit("p/b", false)).toBe("probe");
  const shared = cacheBreakers(() => caches.default);
  await expect.poll(() => shared.downUntil("p/b")).toBeGreaterThan(Date.now() + 40_000);
  expect(await second.admit("p/b", false)).toBe("refused");
  first.recordSuccess("p/b", 10);
  clock.later = 62_000;
  expect(await second.admit("p/b", false)).toBe("probe");
});

it("a cache that fails or does not answer leaves an isolate to itself", async () => {
  const never = new Promise<never>(() => {});
  const broken = cacheBreakers(() => ({
    match: () => never,
    put: () => Promise.reject(new Error("full")),
    delete: () => never,
  }));
  const breakers = new Breakers(COOLDOWN, Date.now, broken);
  for (let i = 0; i < 3; i++) await breakers.recordFailure("p/c", why);
  expect(breakers.state("p/c")).toBe("open");
});
