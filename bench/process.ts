import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { openSync, readdirSync, readFileSync } from "node:fs";
import { setTimeout as sleep } from "node:timers/promises";

/** A server under measurement, with everything it started. */
export type Running = {
  origin: string;
  /** From its start to its first whole answer. Milliseconds. */
  coldStartMs: number;
  /** User and system time of the whole process tree since its start. Milliseconds. */
  cpuMs: () => number;
  /** Resident memory of what serves the calls; pages that its processes share count once. Bytes. */
  memory: () => number;
  stop: () => Promise<void>;
};

type Start = {
  command: string;
  args: string[];
  env?: Record<string, string>;
  cwd?: string;
  /** What it prints goes here: logging is part of what is measured, a terminal is not. */
  logFile: string;
  origin: string;
  /** Resolves when it answers a call as it will be asked. */
  isReady: () => Promise<boolean>;
  /** The name of the processes that serve; without it, all do. Miniflare only starts workerd, and serves nothing. */
  serves?: string;
};

const READY_MS = 120_000;

/** Starts a server and waits for its first answer. Throws with the end of its log when it does not come to that. */
export async function start({ command, args, env, cwd, logFile, origin, isReady, serves }: Start): Promise<Running> {
  const log = openSync(logFile, "w");
  const began = performance.now();
  const child = spawn(command, args, {
    cwd,
    env: { ...process.env, ...env },
    stdio: ["ignore", log, log],
    // A process group of its own: what it starts ends with it.
    detached: true,
  });
  groups.add(child);
  let failure: Error | undefined;
  child.once("error", (error) => (failure = error));
  child.once("exit", () => groups.delete(child));
  for (const end = Date.now() + READY_MS; ; await sleep(10)) {
    if (failure !== undefined || child.exitCode !== null || Date.now() > end) {
      await stop(child);
      throw failure ?? new Error(`${command} did not start:\n${readFileSync(logFile, "utf8").slice(-2000)}`);
    }
    if (await isReady().catch(() => false)) break;
  }
  const coldStartMs = performance.now() - began;
  const pid = child.pid!;
  return {
    origin,
    coldStartMs,
    cpuMs: () => treeOf(pid).reduce((sum, one) => sum + cpuMsOf(one), 0),
    memory: () => treeOf(pid).reduce((sum, one) => sum + memoryOf(one, serves), 0),
    stop: () => stop(child),
  };
}

const groups = new Set<ChildProcess>();

// Whatever ends the bench ends what it started.
process.on("exit", () => groups.forEach((child) => signal(child, "SIGKILL")));
for (const name of ["SIGINT", "SIGTERM"] as const) process.on(name, () => process.exit(1));

async function stop(child: ChildProcess): Promise<void> {
  if (child.pid === undefined || child.exitCode !== null || child.signalCode !== null) return;
  const ended = once(child, "exit");
  signal(child, "SIGTERM");
  await Promise.race([ended, sleep(3000, undefined, { ref: false })]);
  signal(child, "SIGKILL");
}

function signal(child: ChildProcess, name: NodeJS.Signals): void {
  try {
    process.kill(-child.pid!, name);
  } catch {
    // The whole group has ended.
  }
}

/**
 * Waits until the tree does next to nothing: what follows an answer (records, logs) belongs to its call, and must not be
 * in the way of whoever is measured next. `ticks`: of process time in a tenth of a second that count as nothing.
 */
export async function untilIdle(
  { cpuMs }: Pick<Running, "cpuMs">,
  { longestMs = 4000, ticks = 1 }: { longestMs?: number; ticks?: number } = {},
): Promise<void> {
  const end = Date.now() + longestMs;
  for (let quiet = 0; quiet < 2 && Date.now() < end;) {
    const before = cpuMs();
    await sleep(100);
    quiet = cpuMs() - before <= ticks * TICK_MS ? quiet + 1 : 0;
  }
}

/** The kernel's clock for process times, USER_HZ: 100 on every Linux there is. */
const TICK_MS = 10;

function treeOf(root: number): number[] {
  const children = new Map<number, number[]>();
  for (const name of readdirSync("/proc")) {
    const parent = /^\d+$/.test(name) ? Number(statOf(Number(name))[1]) : Number.NaN;
    if (!Number.isNaN(parent)) children.set(parent, [...(children.get(parent) ?? []), Number(name)]);
  }
  const tree: number[] = [];
  for (let next = [root]; next.length > 0; next = next.flatMap((pid) => children.get(pid) ?? [])) tree.push(...next);
  return tree;
}

/** Its own time and that of the children it has waited for. */
function cpuMsOf(pid: number): number {
  return statOf(pid)
    .slice(11, 15)
    .reduce((sum, ticks) => sum + Number(ticks) * TICK_MS, 0);
}

/** The proportional set size: a page that n processes share counts a n-th in each. */
function memoryOf(pid: number, name: string | undefined): number {
  try {
    if (name !== undefined && readFileSync(`/proc/${pid}/comm`, "utf8").trim() !== name) return 0;
    const [, kib] = /^Pss:\s+(\d+) kB/m.exec(readFileSync(`/proc/${pid}/smaps_rollup`, "utf8")) ?? [];
    return Number(kib ?? 0) * 1024;
  } catch {
    // It has ended.
    return 0;
  }
}

/** The fields of `/proc/{pid}/stat` after the command, whose name may hold anything. Empty when it has ended. */
function statOf(pid: number): string[] {
  try {
    const text = readFileSync(`/proc/${pid}/stat`, "utf8");
    return text.slice(text.lastIndexOf(")") + 2).split(" ");
  } catch {
    return [];
  }
}
