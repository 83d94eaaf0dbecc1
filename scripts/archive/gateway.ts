import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { migrate } from "../local/migrate.ts";
import { freePort } from "../local/port.ts";
import { createRuntime } from "../local/runtime.ts";
import { UserError } from "../user-error.ts";
import { readConfig, runWrangler, WRANGLER_CONFIG } from "../wrangler.ts";

/** `pid`: of the runtime that answers now; it is started again after a kill. */
export type ArchiveGateway = { origin: string; pid: () => number };

/** Starts the worker of this folder, with its state in the other one. */
export async function serve(folder: string): Promise<ArchiveGateway> {
  const dir = join(folder, "bundle");
  const persistDir = join(folder, "state");
  const { ok, stdout, stderr } = await runWrangler(
    ["deploy", join(import.meta.dirname, "worker.ts"), "--dry-run", "--outdir", dir, "--config", WRANGLER_CONFIG],
    { env: { WRANGLER_LOG: "error" } },
  );
  if (!ok) throw new UserError(`The worker does not build:\n${stdout}${stderr}`);
  const main = readdirSync(dir).find((name) => name.endsWith(".js"))!;
  const config = await readConfig();
  await migrate(config, persistDir);
  const port = await freePort();
  const before = new Set(workerds());
  const runtime = await createRuntime(
    { dir, main: join(dir, main) },
    { settings: { port, secrets: {} }, config, persistDir },
  );
  await runtime.ready;
  return { origin: `http://127.0.0.1:${port}`, pid: () => workerds().findLast((id) => !before.has(id))! };
}

/** The runtimes that this process has started. */
function workerds(): number[] {
  return readdirSync("/proc")
    .filter((name) => /^\d+$/.test(name) && isRuntime(name))
    .map(Number);
}

function isRuntime(pid: string): boolean {
  try {
    const status = readFileSync(`/proc/${pid}/status`, "utf8");
    return /^Name:\tworkerd/m.test(status) && status.includes(`\nPPid:\t${process.pid}\n`);
  } catch {
    return false;
  }
}

export async function post<T>(url: string, body?: object): Promise<T> {
  const response = await fetch(url, { method: "POST", ...(body && { body: JSON.stringify(body) }) });
  if (!response.ok) throw new UserError(`${url}: ${response.status} ${await response.text()}`);
  return (await response.json()) as T;
}

/** Kills the runtime, and waits until it answers again. */
export async function killRuntime({ origin, pid }: ArchiveGateway): Promise<void> {
  const old = pid();
  process.kill(old, "SIGKILL");
  for (const until = Date.now() + 60_000; Date.now() < until; await sleep(20)) {
    if (workerds().includes(old)) continue;
    const answer = await fetch(`${origin}/healthz`, { signal: AbortSignal.timeout(2_000) }).catch(() => undefined);
    if (answer?.ok) return;
  }
  throw new UserError("The gateway did not answer within a minute");
}
