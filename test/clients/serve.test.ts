import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { afterAll, expect, it } from "vitest";
import { freePort, HOST } from "../../scripts/local/port.ts";
import { PROJECT } from "../../scripts/settings.ts";

const state = mkdtempSync(join(tmpdir(), "rhone-serve-test-"));
const started: ChildProcess[] = [];
afterAll(() => {
  for (const { pid } of started) kill(-pid!, "SIGKILL");
  rmSync(state, { recursive: true, force: true });
});

/** False if there is no such process. */
function kill(pid: number, signal: NodeJS.Signals | 0): boolean {
  try {
    return process.kill(pid, signal);
  } catch {
    return false;
  }
}

type Serving = { ended: Promise<[code: number | null]>; output: () => string };

/** `npm run serve` without npm, in a process group of its own. */
async function serve(): Promise<Serving> {
  const port = await freePort();
  const child = spawn(process.execPath, ["scripts/serve.ts"], {
    cwd: PROJECT,
    env: { ...process.env, PORT: String(port), RHONE_STATE_DIR: state, RHONE_ADMIN_KEY: "rhone_sk_serve_test" },
    detached: true,
    stdio: ["ignore", "pipe", "pipe"],
  });
  started.push(child);
  let output = "";
  for (const stream of [child.stdout, child.stderr])
    stream.setEncoding("utf8").on("data", (text: string) => (output += text));
  const ended = once(child, "exit") as Promise<[number | null]>;
  const isReady = async (): Promise<boolean> => {
    const answer = await fetch(`http://${HOST}:${port}/healthz`).catch(() => undefined);
    return (answer?.ok === true && output.includes("is ready")) || child.exitCode !== null;
  };
  while (!(await isReady())) await sleep(50);
  return { ended, output: () => output };
}

/** The process that runs workerd, and workerd. */
const holders = (): number[] => readFileSync(join(state, "claimed-by"), "utf8").trim().split("\n").map(Number);
const commandOf = (pid: number): string => readFileSync(`/proc/${pid}/cmdline`, "utf8");

it(
  "a served gateway is workerd and one small process, and ends with either of them",
  { timeout: 120_000 },
  async () => {
    const first = await serve();
    const [supervisor, runtime] = holders();
    expect([commandOf(supervisor!), commandOf(runtime!)]).toEqual([
      expect.stringContaining("supervise"),
      expect.stringContaining("workerd"),
    ]);
    expect(started[0]!.pid).toBe(supervisor);
    kill(runtime!, "SIGKILL");
    expect((await first.ended)[0]).toBe(1);
    expect(first.output()).toContain("The Workers runtime (workerd) ended by itself; the gateway stops.");

    const second = await serve();
    const [, workerd] = holders();
    kill(started[1]!.pid!, "SIGTERM");
    expect((await second.ended)[0]).toBe(0);
    while (kill(workerd!, 0)) await sleep(20);
  },
);

it("a runtime that outlives its supervisor holds the state", { timeout: 120_000 }, async () => {
  const killed = await serve();
  const [supervisor, runtime] = holders();
  kill(supervisor!, "SIGKILL");
  await killed.ended;
  expect(kill(runtime!, 0)).toBe(true);
  const refused = await serve();
  expect((await refused.ended)[0]).toBe(1);
  expect(refused.output()).toContain(`RHONE_STATE_DIR: another gateway (process ${runtime}) keeps its state in`);
  kill(runtime!, "SIGKILL");
  while (kill(runtime!, 0)) await sleep(20);
  const next = await serve();
  expect(next.output()).toContain("is ready");
  kill(holders()[0]!, "SIGINT");
  expect((await next.ended)[0]).toBe(0);
});
