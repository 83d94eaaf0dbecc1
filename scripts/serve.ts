import { readFileSync, writeFileSync } from "node:fs";
import { stripTypeScriptTypes } from "node:module";
import { basename, dirname, join } from "node:path";
import { bundle } from "./bundle.ts";
import { captureRuntime } from "./local/capture-runtime.ts";
import { formatBanner, runGateway } from "./local/gateway.ts";
import type { Launch } from "./local/supervise.ts";
import { PROJECT } from "./settings.ts";

/**
 * `npm run serve`: the gateway on the production runtime without wrangler's proxy. The worker has its own socket on
 * `PORT`; Miniflare's entry socket, which leads through a proxy worker, listens on another port and is not used.
 *
 * When everything is prepared, this process becomes the small one that runs workerd (`local/supervise.ts`), and keeps its
 * number: the memory of wrangler and Miniflare is freed.
 */
await runGateway(async (local) => {
  const worker = await bundle();
  const { dir, ...command } = await captureRuntime(worker, local);
  const { port, stateDir } = local.settings;
  const launch: Launch = {
    ...command,
    port,
    stateDir,
    main: worker.main,
    project: PROJECT,
    temporary: [worker.dir, dir],
    banner: formatBanner(local.settings),
  };
  const file = join(dir, "launch.json");
  writeFileSync(file, JSON.stringify(launch), { mode: 0o600 });
  const program = copyWithoutTypes(join(import.meta.dirname, "local", "supervise.ts"), dir);
  process.execve!(process.execPath, [process.execPath, "--no-warnings", program, file], process.env);
});

/** Copies a script and what it imports into one directory, as JavaScript: what removes types takes 20 MB of memory. */
function copyWithoutTypes(file: string, dir: string): string {
  const copy = join(dir, `${basename(file, ".ts")}.mjs`);
  const code = stripTypeScriptTypes(readFileSync(file, "utf8"));
  const linked = code.replace(/(from ")(\.[^"]+\.ts)"/g, (_, start: string, path: string) => {
    const imported = copyWithoutTypes(join(dirname(file), path), dir);
    return `${start}./${basename(imported)}"`;
  });
  writeFileSync(copy, linked);
  return copy;
}
