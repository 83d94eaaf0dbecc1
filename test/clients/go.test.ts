import { join } from "node:path";
import { expect, it } from "vitest";
import { baseUrl, key } from "./gateway.ts";
import { run, type Step, requirePrograms } from "./programs.ts";

const cwd = join(import.meta.dirname, "go");

const NEEDED: Step[] = [
  ["go", "go", ["version"], { withinMs: 10_000, cwd }],
  ["Go's module proxy", "go", ["mod", "download"], { withinMs: 90_000, cwd }],
];

it("the official Go SDKs find everything as they expect", { timeout: 420_000 }, async (test) => {
  await requirePrograms(NEEDED, test);
  const env = { RHONE_BASE_URL: baseUrl, RHONE_KEY: key };
  const { code, said } = await run("go", ["test", "-count=1", "./..."], { withinMs: 300_000, env, cwd });
  expect(code, said).toBe(0);
  expect(said).toMatch(/^ok\s/m);
});
