import { readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { UserError } from "../user-error.ts";

/**
 * Locks a state directory for this process: two gateways that write the same databases would undo each other's turns.
 * The lock of processes that were killed is replaced. Throws a `UserError` that names the other process.
 */
export function lockState(dir: string): void {
  const holder = findHolder(fileIn(dir));
  if (holder !== undefined)
    throw new UserError(`RHONE_STATE_DIR: another gateway (process ${holder}) keeps its state in ${dir}`);
  holdState(dir);
}

/**
 * Names the processes that hold the lock: this one, and a runtime that it has started, which may outlive it. The lock ends
 * with this process.
 */
export function holdState(dir: string, runtime?: number): void {
  const file = fileIn(dir);
  writeFileSync(file, [process.pid, ...(runtime === undefined ? [] : [runtime])].map((pid) => `${pid}\n`).join(""));
  process.once("exit", () => rmSync(file, { force: true }));
}

const fileIn = (dir: string): string => join(dir, "claimed-by");

/** A process that holds the lock; undefined when all have ended. */
function findHolder(file: string): number | undefined {
  try {
    return readFileSync(file, "utf8").trim().split("\n").map(Number).find(isGateway);
  } catch {
    return undefined;
  }
}

/** The number of a process that ended may belong to another program by now. Without /proc the number is trusted. */
function isGateway(pid: number): boolean {
  try {
    process.kill(pid, 0);
  } catch {
    return false;
  }
  try {
    return /scripts\/|rhone-serve-|workerd/.test(readFileSync(`/proc/${pid}/cmdline`, "utf8"));
  } catch {
    return true;
  }
}
