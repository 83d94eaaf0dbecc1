import type { ChildProcess } from "node:child_process";
import { subscribe } from "node:diagnostics_channel";
import { setTimeout as sleep } from "node:timers/promises";

const children = new Set<ChildProcess>();
let onRuntimeEnd: (() => void) | undefined;

/**
 * Ties this process and everything it starts together: a signal ends all of it at once with exit code 0, and nothing
 * that was started outlives it. Durable state needs no farewell (SQLite's log, an outbox before each queue), so
 * the whole stop is one synchronous step and a second signal finds nothing left to interrupt.
 *
 * Call it before wrangler is imported: the first listener of a signal decides the exit code.
 */
export function endTogether(): void {
  subscribe("child_process", (message) => {
    const child = (message as { process: ChildProcess }).process;
    children.add(child);
    child.once("exit", () => {
      children.delete(child);
      if (isRuntime(child)) onRuntimeEnd?.();
    });
  });
  for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const) process.on(signal, () => process.exit(0));
  process.on("exit", () => {
    // Other programs have children of their own to see to; workerd has none, and would wait for open requests.
    for (const child of children) child.kill(isRuntime(child) ? "SIGKILL" : "SIGTERM");
  });
}

const isRuntime = (child: ChildProcess): boolean => child.spawnfile.endsWith("workerd");

/** From now on the end of a workerd is the end of the gateway; wrangler alone would start another one in its place. */
export function endWithRuntime(): void {
  onRuntimeEnd = () =>
    void stopWith("The Workers runtime (workerd) ended by itself; the gateway stops. Its state is kept.");
}

/** Ends everything because of a failure, unless a signal turns out to be what lies behind it. */
export async function stopWith(reason: string): Promise<never> {
  await signalsFirst();
  console.error(reason);
  process.exit(1);
}

/** A signal to the whole process group ends the children too, and their end may be seen before our own signal. */
export const signalsFirst = (): Promise<void> => sleep(100);
