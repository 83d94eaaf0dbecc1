import { spawn } from "node:child_process";
import { once } from "node:events";
import { readFileSync, rmSync } from "node:fs";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { createInterface } from "node:readline";
import type { Readable } from "node:stream";
import { runScript } from "../user-error.ts";
import type { RuntimeCommand } from "./capture-runtime.ts";
import { waitUntilHealthy } from "./health.ts";
import { HOST } from "./port.ts";
import { endChildrenOnExit, endWithRuntime } from "./process-group.ts";
import { mapSourcePositions } from "./source-positions.ts";
import { holdState } from "./state-lock.ts";

/**
 * What `node scripts/local/supervise.ts <file>` reads from the file, as JSON. `main`: the worker's bundle, for the positions
 * in stack traces. `temporary`: directories that end with the gateway.
 */
export type Launch = RuntimeCommand & {
  port: number;
  stateDir: string;
  main: string;
  project: string;
  temporary: string[];
  banner: string;
};

/** How workerd announces a crash, of which it then prints the stack. */
const CRASH = /^\*\*\* (std::terminate\(\)|Fatal uncaught|Received signal|Uncaught exception)/;
/** What workerd prints about itself and no user can act on: addresses of its own code, a hint to its debugger. */
const NOISE = /stack:( (0|[a-f\d]{4,})){3,}|LLVM_SYMBOLIZER|took recursive isolate lock|CODE_MOVED for unknown/;

/**
 * Runs workerd and nothing else: this is all that stays of `npm run serve`, which becomes this process when everything is
 * prepared. It prints the logs of the worker, ends workerd on a signal, and reports it if workerd ends by itself.
 */
await runScript(async () => {
  const file = process.argv[2]!;
  const launch = JSON.parse(readFileSync(file, "utf8")) as Launch;
  rmSync(file);
  endChildrenOnExit();
  process.once("exit", () => launch.temporary.forEach((dir) => rmSync(dir, { recursive: true, force: true })));
  holdState(launch.stateDir);
  endWithRuntime("The gateway could not start: the runtime rejected the worker");
  const loopback = `--external-addr=loopback=${HOST}:${await listenForMiniflare()}`;
  const args = launch.args
    .filter((arg) => !arg.startsWith("--control-fd="))
    .map((arg) => (arg.startsWith("--external-addr=loopback=") ? loopback : arg));
  const runtime = spawn(launch.command, args, { env: { ...process.env, TZ: "UTC" } });
  holdState(launch.stateDir, runtime.pid);
  // Its end is reported as that of the runtime.
  runtime.stdin.on("error", () => {});
  runtime.stdin.end(readFileSync(launch.configFile));
  rmSync(launch.configFile);
  const readable = mapSourcePositions(launch.main, launch.project);
  for (const stream of [runtime.stdout, runtime.stderr]) printLogs(stream, readable);
  await waitUntilHealthy(launch.port);
  endWithRuntime();
  console.log(launch.banner);
});

/** Miniflare's own workers report to a server of Miniflare's, and wait for its answer. Returns the port of one. */
async function listenForMiniflare(): Promise<number> {
  const server = createServer((request, response) => {
    request.resume();
    response.writeHead(204).end();
  });
  await once(server.listen(0, HOST), "listening");
  return (server.address() as AddressInfo).port;
}

/** Prints the lines of the runtime: JSON of the worker's logs, and text of the runtime's own. */
function printLogs(stream: Readable, readable: (text: string) => string): void {
  let isCrashing = false;
  createInterface(stream).on("line", (line) => {
    const { level, message } = parseLog(line);
    isCrashing ||= CRASH.test(message);
    if (!isCrashing && NOISE.test(message)) return;
    (level === "error" || level === "warn" ? console.error : console.log)(readable(message));
  });
}

function parseLog(line: string): { level: string; message: string } {
  try {
    const { level, message } = JSON.parse(line) as { level?: unknown; message?: unknown };
    if (typeof level === "string" && typeof message === "string") return { level, message };
  } catch {
    // A line of the runtime itself.
  }
  return { level: "error", message: line };
}
