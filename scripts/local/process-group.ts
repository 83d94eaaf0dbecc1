import type { ChildProcess } from "node:child_process";
import { subscribe } from "node:diagnostics_channel";
import { setTimeout as sleep } from "node:timers/promises";

const children = new Set<ChildProcess>();
let onRuntimeEnd: (() => void) | undefined;

/**
 * Ends every process that this one starts together with it: a signal ends all of them at once, with exit code 0. Stored
 * state needs no shutdown (SQLite has its log, each queue an outbox before it), so the stop is one synchronous step
 * and a second signal has nothing left to interrupt.
 *
 * Call it before wrangler is imported: the first listener of a signal decides the exit code.
 */
export function endChildrenOnExit(): void {
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
    // Other programs must end their own children; workerd has none, and on SIGTERM would wait for open requests.
    for (const child of children) child.kill(isRuntime(child) ? "SIGKILL" : "SIGTERM");
  });
}

const isRuntime = (child: ChildProcess): boolean => child.spawnfile.endsWith("workerd");

/** Ends the gateway when workerd ends; by default wrangler and Miniflare start another workerd. */
export function endWithRuntime(reason = RUNTIME_ENDED): void {
  onRuntimeEnd = () => void stopWith(reason);
}

const RUNTIME_ENDED = "The Workers runtime (workerd) ended by itself; the gateway stops. Its state is kept.";

/** Ends all processes with exit code 1, unless a signal that arrives meanwhile is the cause of the failure. */
export async function stopWith(reason: string): Promise<never> {
  await waitForSignals();
  console.error(reason);
  process.exit(1);
}

/** A signal to the process group ends the children as well; their exit may be noticed before this process has its signal. */
export const waitForSignals = (): Promise<void> => sleep(100);
