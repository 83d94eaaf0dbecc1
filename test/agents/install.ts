import { spawnSync } from "node:child_process";
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";

const PROGRAMS = join(import.meta.dirname, "programs");

/** Before all files: the programs from npm, as the lockfile of `programs/` has them. About a gigabyte, once. */
export function setup(): void {
  const lock = readFileSync(join(PROGRAMS, "package-lock.json"), "utf8");
  const installed = join(PROGRAMS, "node_modules", ".package-lock.json");
  const isThere =
    existsSync(installed) && versionsOf(readFileSync(installed, "utf8")).every((one) => versionsOf(lock).includes(one));
  if (isThere) return;
  const { status } = spawnSync("npm", ["ci", "--no-audit", "--no-fund"], { cwd: PROGRAMS, stdio: "inherit" });
  if (status !== 0) throw new Error("npm ci failed in test/agents/programs");
}

const versionsOf = (lock: string): string[] => {
  const { packages } = JSON.parse(lock) as { packages: Record<string, { version?: string }> };
  return Object.entries(packages)
    .filter(([path]) => path !== "")
    .map(([path, { version }]) => `${path}@${version}`);
};
