import { spawn } from "node:child_process";
import { join } from "node:path";
import { PROJECT } from "../../scripts/settings.ts";

/** Starts server-everything at an origin, as a process of its own. Returns what ends it. */
export async function startEverything(origin: string): Promise<() => void> {
  const path = join(PROJECT, "node_modules/@modelcontextprotocol/server-everything/dist/index.js");
  const env = { ...process.env, PORT: new URL(origin).port };
  const server = spawn(process.execPath, [path, "streamableHttp"], { env, stdio: ["ignore", "ignore", "pipe"] });
  await new Promise<void>((resolve, reject) => {
    let output = "";
    server.stderr.on("data", (data: Buffer) => {
      output += data.toString();
      if (output.includes("listening")) resolve();
    });
    server.once("exit", () => reject(new Error(output)));
  });
  return () => void server.kill("SIGKILL");
}
