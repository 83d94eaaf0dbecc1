import { spawnSync } from "node:child_process";
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";

const PROGRAMS = join(import.meta.dirname, "programs");

/** Before all files: the programs from npm, in the versions of `programs/package.json`. About a gigabyte, once. */
export function setup(): void {
  const { dependencies } = read("package.json") as { dependencies: Record<string, string> };
  const isThere = ([name, version]: [string, string]): boolean =>
    (read(`node_modules/${name}/package.json`) as { version?: string }).version === version;
  if (Object.entries(dependencies).every(isThere)) return;
  // `npm ci` refuses a lockfile without the packages of other platforms, which not every registry has.
  const args = ["install", "--no-save", "--no-audit", "--no-fund"];
  const { status } = spawnSync("npm", args, { cwd: PROGRAMS, stdio: "inherit" });
  if (status !== 0) throw new Error("npm install failed in test/agents/programs");
}

function read(path: string): object {
  const file = join(PROGRAMS, path);
  return existsSync(file) ? (JSON.parse(readFileSync(file, "utf8")) as object) : {};
}
