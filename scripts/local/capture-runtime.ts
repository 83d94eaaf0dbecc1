import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import type { Bundle } from "../bundle.ts";
import { UserError } from "../user-error.ts";
import type { LocalGateway } from "./gateway.ts";
import { createRuntime } from "./runtime.ts";

/** How workerd is started: its configuration, which has the secrets, is a file for its standard input. */
export type RuntimeCommand = { command: string; args: string[]; configFile: string };

/** A program that Miniflare starts in place of workerd: it stores its arguments and its input, and ends. */
const CAPTURE = `#!/bin/sh
cd "$(dirname "$0")" && umask 077 && cat > config && printf '%s\\n' "$@" > args.part && mv args.part args
`;

/**
 * V8's room for new objects: 8 MiB for each of its halves instead of 16. Four coding agents at once take 320 MiB of memory
 * then instead of 460, and the same CPU time; 4 MiB cost a tenth of it.
 */
const V8_FLAGS = "--max-semi-space-size=8";

/**
 * The command by which Miniflare would start workerd for this gateway. Miniflare and what it needs take 400 MB of memory,
 * of which a running gateway needs nothing. `dir`, which only its owner can read, receives the files.
 */
export async function captureRuntime(
  bundle: Pick<Bundle, "dir" | "main">,
  local: LocalGateway,
): Promise<RuntimeCommand & { dir: string }> {
  const dir = mkdtempSync(join(tmpdir(), "rhone-serve-"));
  // Unless this process becomes another one, which then removes it.
  process.once("exit", () => rmSync(dir, { recursive: true, force: true }));
  const program = join(dir, "capture");
  writeFileSync(program, CAPTURE, { mode: 0o700 });
  // Miniflare removes its own temporary files when its process ends; in this directory they stay.
  const { MINIFLARE_WORKERD_V8_FLAGS: flags = V8_FLAGS } = process.env;
  Object.assign(process.env, { MINIFLARE_WORKERD_PATH: program, MINIFLARE_WORKERD_V8_FLAGS: flags, TMPDIR: dir });
  const runtime = await createRuntime(bundle, local);
  let failure: unknown;
  // Without a runtime it cannot become ready; an error before that is one of the configuration.
  runtime.ready.catch((error: unknown) => (failure = error));
  const args = join(dir, "args");
  while (!existsSync(args)) {
    if (failure !== undefined)
      throw new UserError("The gateway could not start: its configuration is not valid", { cause: failure });
    await sleep(10);
  }
  const { default: command } = createRequire(createRequire(import.meta.url).resolve("miniflare"))("workerd") as {
    default: string;
  };
  return { dir, command, args: readFileSync(args, "utf8").trim().split("\n"), configFile: join(dir, "config") };
}
