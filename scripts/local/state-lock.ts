import { readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { UserError } from "../user-error.ts";

/**
 * Locks a state directory for this process: two gateways that write the same databases would undo each other's turns.
 * The lock of a process that was killed is replaced. Throws a `UserError` that names the other process.
 */
export function lockState(dir: string): void {
  const file = join(dir, "claimed-by");
  const holder = findHolder(file);
  if (holder !== undefined)
    throw new UserError(`RHONE_STATE_DIR: another gateway (process ${holder}) keeps its state in ${dir}`);
  writeFileSync(file, `${process.pid}\n`);
  process.on("exit", () => rmSync(file, { force: true }));
}

/** The process that holds the lock; undefined when it has ended. */
function findHolder(file: string): number | undefined {
  try {
    const holder = Number(readFileSync(file, "utf8"));
    process.kill(holder, 0);
    return isGateway(holder) ? holder : undefined;
  } catch {
    return undefined;
  }
}

/** The number of a process that ended may belong to another program by now. Without /proc the number is trusted. */
function isGateway(pid: number): boolean {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, "utf8").includes("scripts/");
  } catch {
    return true;
  }
}
