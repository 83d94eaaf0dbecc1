import { type ChildProcess, spawn } from "node:child_process";
import { setTimeout as sleep } from "node:timers/promises";
import { freePort, HOST } from "../../scripts/local/port.ts";

/** `kill` ends the gateway as a crash does, with SIGKILL; `stop` ends it as an operator does. */
export type ServedGateway = { baseUrl: string; kill: () => Promise<void>; stop: () => Promise<void> };

type Options = {
  /** The directory of the code that is to be served. */
  checkout: string;
  stateDir: string;
  env: Record<string, string>;
};

const START_MS = 120_000;
const END_MS = 20_000;

/** Runs `npm run serve` of a checkout. Resolves when it answers; throws with its last output when it does not. */
export async function serveGateway({ checkout, stateDir, env }: Options): Promise<ServedGateway> {
  const port = await freePort();
  const baseUrl = `http://${HOST}:${port}`;
  const child = spawn("npm", ["run", "serve"], {
    cwd: checkout,
    env: { ...process.env, ...env, PORT: String(port), RHONE_STATE_DIR: stateDir },
    // A process group of its own: a signal to it reaches npm, the script and workerd alike.
    detached: true,
    stdio: ["ignore", "pipe", "pipe"],
  });
  const { pid } = child;
  if (pid === undefined) throw new Error("npm could not be started");
  let output = "";
  for (const stream of [child.stdout, child.stderr])
    stream.setEncoding("utf8").on("data", (text: string) => (output = (output + text).slice(-4000)));
  const killOnExit = (): void => void signal(pid, "SIGKILL");
  process.once("exit", killOnExit);
  const end = async (name: NodeJS.Signals): Promise<void> => {
    signal(pid, name);
    const hasEnded = await waitUntil(() => !signal(pid, 0), END_MS);
    if (!hasEnded) signal(pid, "SIGKILL");
    process.off("exit", killOnExit);
    if (!hasEnded) throw new Error(`the gateway did not end on ${name}:\n${output}`);
  };
  const isReady = await waitUntil(() => isHealthy(child, baseUrl), START_MS);
  if (!isReady) {
    await end("SIGKILL");
    throw new Error(`the gateway of ${checkout} did not start:\n${output}`);
  }
  return { baseUrl, kill: () => end("SIGKILL"), stop: () => end("SIGTERM") };
}

async function isHealthy(child: ChildProcess, baseUrl: string): Promise<boolean | "never"> {
  if (child.exitCode !== null || child.signalCode !== null) return "never";
  const answer = await fetch(`${baseUrl}/healthz`, { signal: AbortSignal.timeout(5000) }).catch(() => undefined);
  return answer?.ok === true;
}

/** False when no process of the group is left. Signal 0 only looks. */
function signal(pid: number, name: NodeJS.Signals | 0): boolean {
  try {
    return process.kill(-pid, name);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ESRCH") return false;
    throw error;
  }
}

/** Resolves to whether the condition became true in time; `never` ends the wait early. */
export async function waitUntil(
  condition: () => boolean | "never" | Promise<boolean | "never">,
  withinMs: number,
): Promise<boolean> {
  for (const deadline = Date.now() + withinMs; Date.now() < deadline; await sleep(20)) {
    const found = await condition();
    if (found === "never") return false;
    if (found) return true;
  }
  return false;
}
