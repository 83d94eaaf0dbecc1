import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { Worker } from "node:worker_threads";
import type { TestProject } from "vitest/node";
import { freePort, HOST } from "../../scripts/local/port.ts";
import { makeAdminKey, PROJECT } from "../../scripts/settings.ts";

declare module "vitest" {
  interface ProvidedContext {
    /** `baseUrl` is the origin alone: each SDK adds what it is used to. */
    gateway: { baseUrl: string; key: string };
    /** Where the scripted provider tells what it has seen. */
    providerUrl: string;
    /** Where the provider on bare sockets tells what it has seen. */
    wireUrl: string;
    /** Where the gateway may reach a server of tools: a test starts one there. */
    toolsUrl: string;
    namedUrl: string;
    /** The directory of the gateway's databases and files. */
    stateDir: string;
  }
}

/** The scripted provider's rows. `fake` is the Chat one's first name. */
const ROWS = {
  fake: "openai-chat",
  fakechat: "openai-chat",
  fakeresp: "openai-responses",
  fakeanth: "anthropic",
  fakegem: "gemini",
};

/** The provider on bare sockets, and one where nobody listens. */
const WIRE_ROWS = {
  wire: "openai-chat",
  wireresp: "openai-responses",
  wireanth: "anthropic",
  wiregem: "gemini",
};
const NOBODY = "http://127.0.0.1:9/v1";

const START_MS = 90_000;
const END_MS = 10_000;

/** Before all files: the gateway as `npm start` serves it, with the scripted provider behind it in every dialect. */
export async function setup(project: TestProject): Promise<() => Promise<void>> {
  try {
    return await serve(project);
  } catch (error) {
    // vitest cannot show what a global setup throws: what maps its stack fails on it.
    console.error(error instanceof Error ? error.message : error);
    throw error;
  }
}

async function serve(project: TestProject): Promise<() => Promise<void>> {
  const provider = new Worker(join(import.meta.dirname, "provider.ts"));
  const [[{ url, wireUrl }], state, port, toolsPort, namedPort] = await Promise.all([
    once(provider, "message") as Promise<[{ url: string; wireUrl: string }]>,
    mkdtemp(join(tmpdir(), "rhone-clients-")),
    freePort(),
    freePort(),
    freePort(),
  ]);
  const baseUrl = `http://${HOST}:${port}`;
  const [toolsUrl, namedUrl] = [toolsPort, namedPort].map((one) => `http://${HOST}:${one}`);
  const key = makeAdminKey();
  const gateway = start({
    PORT: String(port),
    RHONE_STATE_DIR: state,
    RHONE_ADMIN_KEY: key,
    RHONE_CONFIG: JSON.stringify({
      retries: { base_ms: 5, max_ms: 50, retry_after_max_ms: 2_000 },
      // Many files ask the same models to fail, in no order: none of them must find the breaker open.
      cooldown: { failures: 1_000, seconds: 1 },
      tools: { origins: [toolsUrl, namedUrl] },
    }),
    RHONE_PROVIDERS: JSON.stringify([
      ...rowsAt(url, ROWS),
      ...rowsAt(wireUrl, WIRE_ROWS),
      ...rowsAt(NOBODY, Object.fromEntries(Object.entries(WIRE_ROWS).map(([id, dialect]) => [`no${id}`, dialect]))),
    ]),
  });
  const teardown = async (): Promise<void> => {
    try {
      await end(gateway);
    } finally {
      await provider.terminate();
      await rm(state, { recursive: true, force: true });
    }
  };
  try {
    await untilHealthy(gateway, baseUrl);
  } catch (error) {
    await teardown();
    throw error;
  }
  project.provide("gateway", { baseUrl, key });
  project.provide("providerUrl", url);
  project.provide("wireUrl", wireUrl);
  project.provide("toolsUrl", toolsUrl!);
  project.provide("namedUrl", namedUrl!);
  project.provide("stateDir", state);
  return teardown;
}

const rowsAt = (base_url: string, rows: Record<string, string>): object[] =>
  Object.entries(rows).map(([id, dialect]) => ({ id, dialect, base_url, api_key: "fake-key" }));

type Gateway = { process: ChildProcess; pid: number; lastWords: () => string; onExit: () => void };

/** In a process group of its own, so that ending the group ends whatever was started below. */
function start(env: Record<string, string>): Gateway {
  const child = spawn("npm", ["start"], {
    cwd: PROJECT,
    env: { ...process.env, ...env },
    detached: true,
    stdio: ["ignore", "pipe", "pipe"],
  });
  const { pid } = child;
  if (pid === undefined) throw new Error("npm could not be started");
  let said = "";
  for (const output of [child.stdout, child.stderr])
    output.setEncoding("utf8").on("data", (text: string) => (said = (said + text).slice(-4000)));
  // A vitest that is interrupted runs no teardown.
  const onExit = (): void => void tell(pid, "SIGTERM");
  process.once("exit", onExit);
  return { process: child, pid, lastWords: () => said, onExit };
}

async function untilHealthy({ process: child, lastWords }: Gateway, baseUrl: string): Promise<void> {
  const isHealthy = await comesTrue(START_MS, async () => {
    if (child.exitCode !== null || child.signalCode !== null) throw new Error(`the gateway ended:\n${lastWords()}`);
    const answer = await fetch(`${baseUrl}/healthz`, { signal: AbortSignal.timeout(5000) }).catch(() => undefined);
    return answer?.ok === true;
  });
  if (!isHealthy) throw new Error(`the gateway was not healthy within ${START_MS / 1000} s:\n${lastWords()}`);
}

/** Resolves when nothing of the group is left. Throws when that took more than the polite signal. */
async function end({ pid, onExit, lastWords }: Gateway): Promise<void> {
  process.off("exit", onExit);
  const isGone = (): Promise<boolean> => comesTrue(END_MS, () => !tell(pid, 0));
  tell(pid, "SIGTERM");
  if (await isGone()) return;
  tell(pid, "SIGKILL");
  const rest = (await isGone()) ? "SIGKILL ended it" : "nor on SIGKILL";
  throw new Error(`the gateway did not end on SIGTERM within ${END_MS / 1000} s; ${rest}:\n${lastWords()}`);
}

/** A signal to the whole group; 0 only asks. Whether there was anybody to hear it. */
function tell(pid: number, signal: NodeJS.Signals | 0): boolean {
  try {
    return process.kill(-pid, signal);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ESRCH") return false;
    throw error;
  }
}

async function comesTrue(withinMs: number, condition: () => boolean | Promise<boolean>): Promise<boolean> {
  for (const deadline = Date.now() + withinMs; Date.now() < deadline; await sleep(50)) {
    if (await condition()) return true;
  }
  return false;
}
