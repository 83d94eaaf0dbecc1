import { spawn } from "node:child_process";
import { once } from "node:events";
import { join } from "node:path";

/** Starts the scripted provider (upstream.ts) as a process that ends with this one. Returns its origin. */
export async function startProvider(): Promise<string> {
  const child = spawn(process.execPath, [join(import.meta.dirname, "upstream.ts")], {
    stdio: ["ignore", "pipe", "inherit", "ipc"],
  });
  const [line] = (await once(child.stdout!, "data")) as [Buffer];
  return `http://127.0.0.1:${Number(line.toString("utf8"))}`;
}
