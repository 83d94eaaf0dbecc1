import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { openSync, readdirSync, readFileSync, readlinkSync } from "node:fs";
import { basename } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";

/** A server under measurement, with everything it started. */
export type RunningServer = {
  origin: string;
  /** From its start to its first complete answer. Milliseconds. */
  coldStartMs: number;
  /** Time on a processor of all threads of the process tree that still run. Milliseconds. */
  cpuMs: () => number;
  /** Resident memory of the processes that serve the calls; shared pages count once. Bytes. */
  memory: () => number;
  /** The same for all processes of the tree, by their names. */
  memoryByProcess: () => Record<string, number>;
  stop: () => Promise<void>;
};

type StartOptions = {
  command: string;
  args: string[];
  env?: Record<string, string>;
  cwd?: string;
  /** Receives its output: logging is part of the measurement, a terminal is not. */
  logFile: string;
  /** Absent: the server chooses its port, and logs `origin http://…`. */
  origin?: string;
  /** Whether it answers a call like those of the measurement. */
  isReady: (origin: string) => Promise<boolean>;
  /** The name of the processes that serve; absent: all of them. Miniflare starts workerd and serves nothing itself. */
  serves?: string;
};

const READY_MS = 120_000;

/** Starts a server and waits for its first answer. Rejects with the end of its log if it does not start. */
export async function start({
  command,
  args,
  env,
  cwd,
  logFile,
  origin: knownOrigin,
  isReady,
  serves,
}: StartOptions): Promise<RunningServer> {
  const log = openSync(logFile, "w");
  const startedAt = performance.now();
  const child = spawn(command, args, {
    cwd,
    env: { ...process.env, ...env },
    stdio: ["ignore", log, log],
    // With its own process group, so that its children end with it.
    detached: true,
  });
  groups.add(child);
  let failure: Error | undefined;
  let origin = knownOrigin;
  child.once("error", (error) => (failure = error));
  child.once("exit", () => groups.delete(child));
  for (const end = Date.now() + READY_MS; ; await sleep(10)) {
    if (failure !== undefined || child.exitCode !== null || Date.now() > end) {
      await stop(child);
      throw failure ?? new Error(`${command} did not start:\n${readFileSync(logFile, "utf8").slice(-2000)}`);
    }
    origin ??= /^origin (\S+)/m.exec(readFileSync(logFile, "utf8"))?.[1];
    if (origin !== undefined && (await isReady(origin).catch(() => false))) break;
  }
  const coldStartMs = performance.now() - startedAt;
  const pid = child.pid!;
  return {
    origin,
    coldStartMs,
    cpuMs: () => listTree(pid).reduce((sum, one) => sum + readCpuMs(one), 0),
    memory: () =>
      listTree(pid).reduce(
        (sum, one) => sum + (serves === undefined || nameOf(one) === serves ? readMemory(one) : 0),
        0,
      ),
    memoryByProcess: () => {
      const byName: Record<string, number> = {};
      for (const one of listTree(pid)) byName[nameOf(one)] = (byName[nameOf(one)] ?? 0) + readMemory(one);
      return byName;
    },
    stop: () => stop(child),
  };
}

const groups = new Set<ChildProcess>();

// All servers end with this process.
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
 * Waits until the process tree is almost idle: the work after an answer (records, logs) belongs to its call, and must not
 * slow the next measurement. `ticks`: the process time in a tenth of a second that counts as idle, in 10 ms.
 */
export async function waitUntilIdle(
  { cpuMs }: Pick<RunningServer, "cpuMs">,
  { longestMs = 4000, ticks = 1 }: { longestMs?: number; ticks?: number } = {},
): Promise<void> {
  const end = Date.now() + longestMs;
  for (let quiet = 0; quiet < 2 && Date.now() < end;) {
    const before = cpuMs();
    await sleep(100);
    quiet = cpuMs() - before <= ticks * TICK_MS ? quiet + 1 : 0;
  }
}

/** What a server does in the background, in a tenth of a second. Milliseconds. */
const TICK_MS = 10;

function listTree(root: number): number[] {
  const children = new Map<number, number[]>();
  for (const name of readdirSync("/proc")) {
    const parent = /^\d+$/.test(name) ? Number(readStat(Number(name))[1]) : Number.NaN;
    if (!Number.isNaN(parent)) children.set(parent, [...(children.get(parent) ?? []), Number(name)]);
  }
  const tree: number[] = [];
  for (let next = [root]; next.length > 0; next = next.flatMap((pid) => children.get(pid) ?? [])) tree.push(...next);
  return tree;
}

/** The time of the process's threads, in the kernel's scheduler's unit of nanoseconds: its ticks are too coarse. */
function readCpuMs(pid: number): number {
  try {
    const threads = readdirSync(`/proc/${pid}/task`);
    return threads.reduce(
      (sum, thread) => sum + Number(readOrEmpty(`/proc/${pid}/task/${thread}/schedstat`)[0]) / 1e6,
      0,
    );
  } catch {
    // The process has ended.
    return 0;
  }
}

/** The fields of a file; zeros if its thread has ended. */
function readOrEmpty(file: string): string[] {
  try {
    return readFileSync(file, "utf8").split(" ");
  } catch {
    return ["0"];
  }
}

/** The program that the process runs: Node names its main thread otherwise. */
function nameOf(pid: number): string {
  try {
    return basename(readlinkSync(`/proc/${pid}/exe`));
  } catch {
    return "ended";
  }
}

/** The proportional set size: of a page that n processes share, each has an n-th. */
function readMemory(pid: number): number {
  try {
    const [, kib] = /^Pss:\s+(\d+) kB/m.exec(readFileSync(`/proc/${pid}/smaps_rollup`, "utf8")) ?? [];
    return Number(kib ?? 0) * 1024;
  } catch {
    // The process has ended.
    return 0;
  }
}

/** The fields of `/proc/{pid}/stat` after the command, whose name may contain any character. Empty for an ended process. */
function readStat(pid: number): string[] {
  try {
    const text = readFileSync(`/proc/${pid}/stat`, "utf8");
    return text.slice(text.lastIndexOf(")") + 2).split(" ");
  } catch {
    return [];
  }
}
