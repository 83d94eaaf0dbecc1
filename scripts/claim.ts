import { readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { Refusal } from "./refusal.ts";

/**
 * Claims a directory of state for this process: two gateways that write the same databases would undo each other's
 * turns. The claim of one that was killed is taken over. Throws a refusal that names the other one.
 */
export function claim(dir: string): void {
  const file = join(dir, "claimed-by");
  const holder = holderOf(file);
  if (holder !== undefined)
    throw new Refusal(`RHONE_STATE_DIR: another gateway (process ${holder}) keeps its state in ${dir}`);
  writeFileSync(file, `${process.pid}\n`);
  process.on("exit", () => rmSync(file, { force: true }));
}

/** The process that holds it; undefined when there is none any more. */
function holderOf(file: string): number | undefined {
  try {
    const holder = Number(readFileSync(file, "utf8"));
    process.kill(holder, 0);
    return isGateway(holder) ? holder : undefined;
  } catch {
    return undefined;
  }
}

/** The number of a process that ended may be another one's by now. Where the system does not say, it is believed. */
function isGateway(pid: number): boolean {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, "utf8").includes("scripts/");
  } catch {
    return true;
  }
}
