import { spawnSync } from "node:child_process";
import { existsSync } from "node:fs";
import { join, resolve } from "node:path";
import { Refusal, runScript } from "./refusal.ts";
import { PROJECT } from "./settings.ts";

/**
 * `npm run test:corpus`: every law over the recorded exchanges, and over the makers' published documents, where they
 * are; they are no part of the repository.
 */
await runScript(() => {
  const given = process.env.RHONE_CORPUS;
  const corpus = resolve(PROJECT, given ?? join("..", "shared", "corpus"));
  if (!existsSync(corpus)) {
    if (given !== undefined)
      throw new Refusal(`RHONE_CORPUS: expected a directory of recorded exchanges, got ${given}`);
    console.log(`No corpus at ${corpus}: nothing to run. Set RHONE_CORPUS to where it is.`);
    return;
  }
  const specs = process.env.RHONE_SPECS ?? join(PROJECT, "..", "shared", "specs");
  if (!existsSync(specs)) console.log(`No published documents at ${specs}: set RHONE_SPECS to where they are.`);
  const vitest = join(PROJECT, "node_modules", "vitest", "vitest.mjs");
  const { status } = spawnSync(process.execPath, [vitest, "run", "--project", "node", "test/laws"], {
    cwd: PROJECT,
    stdio: "inherit",
    env: { ...process.env, RHONE_CORPUS: corpus, ...(existsSync(specs) && { RHONE_SPECS: resolve(specs) }) },
  });
  process.exitCode = status ?? 1;
});
