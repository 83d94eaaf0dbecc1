import { spawn } from "node:child_process";
import { once } from "node:events";
import { join } from "node:path";
import { ROOT } from "../source.ts";

const SERVER = join(ROOT, "node_modules/@modelcontextprotocol/server-everything/dist/index.js");

/** The official server of examples, which is legacy, as a process of its own. Resolves once it listens, to what ends it. */
export async function startEverything(port: number | string): Promise<() => Promise<void>> {
  const env = { ...process.env, PORT: String(port) };
  const child = spawn(process.execPath, [SERVER, "streamableHttp"], { env, stdio: ["ignore", "ignore", "pipe"] });
  await new Promise<void>((resolve, reject) => {
    let output = "";
    child.stderr.on("data", (data: Buffer) => {
      output += data.toString();
      if (output.includes("listening on port")) resolve();
    });
    child.once("exit", () => reject(new Error(output)));
  });
  return async () => {
    const gone = once(child, "exit");
    child.kill("SIGKILL");
    await gone;
  };
}
