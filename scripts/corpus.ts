import { spawnSync } from "node:child_process";
import { existsSync } from "node:fs";
import { join, resolve } from "node:path";
import { parseArgs } from "node:util";
import { PROJECT } from "./settings.ts";
import { UserError, runScript } from "./user-error.ts";

/** Files whose tests hold for any part of the exchanges; others look for something rare in them. */
const SAMPLED = [
  "test/dialects/dialects.test.ts",
  "test/dialects/members.test.ts",
  "test/dialects/native/native.test.ts",
  "test/dialects/specs.test.ts",
];

const { values } = parseArgs({ options: { every: { type: "string", default: "1" } } });

/**
 * `npm run test:corpus [-- --every 8]`: runs all tests of the pure code over the recorded exchanges and over the providers' published
 * API documents, neither of which is part of the repository. With `--every`, the laws of the dialects alone run, over
 * each eighth exchange.
 */
await runScript(() => {
  if (!/^[1-9]\d*$/.test(values.every)) throw new UserError("--every: expected a whole number above 0");
  const configured = process.env.RHONE_CORPUS;
  const corpus = resolve(PROJECT, configured ?? join("..", "shared", "corpus"));
  if (!existsSync(corpus)) {
    if (configured !== undefined)
      throw new UserError(`RHONE_CORPUS: expected a directory of recorded exchanges, got ${configured}`);
    console.log(`No corpus at ${corpus}: nothing to run. Set RHONE_CORPUS to its directory.`);
    return;
  }
  const specs = process.env.RHONE_SPECS ?? join(PROJECT, "..", "shared", "specs");
  if (!existsSync(specs)) console.log(`No published documents at ${specs}: set RHONE_SPECS to their directory.`);
  const vitest = join(PROJECT, "node_modules", "vitest", "vitest.mjs");
  const { status } = spawnSync(
    process.execPath,
    [vitest, "run", "--project", "node", ...(values.every === "1" ? [] : SAMPLED)],
    {
      cwd: PROJECT,
      stdio: "inherit",
      env: {
        ...process.env,
        RHONE_CORPUS: corpus,
        RHONE_CORPUS_EVERY: values.every,
        ...(existsSync(specs) && { RHONE_SPECS: resolve(specs) }),
      },
    },
  );
  process.exitCode = status ?? 1;
});
