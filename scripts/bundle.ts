import { mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { gzipSync } from "node:zlib";
import { UserError } from "./user-error.ts";
import { runWrangler, WRANGLER_CONFIG } from "./wrangler.ts";

export type Bundle = {
  dir: string;
  /** The entry module, absolute. */
  main: string;
  /** esbuild's account of what the bundle consists of. */
  metafile: string;
  bytes: number;
  gzipped: number;
};

/** Builds the worker as a deployment would upload it, in a directory that is removed when this process ends. */
export async function bundle(): Promise<Bundle> {
  const dir = mkdtempSync(join(tmpdir(), "rhone-bundle-"));
  process.on("exit", () => rmSync(dir, { recursive: true, force: true }));
  const metafile = join(dir, "metafile.json");
  const { ok, stdout, stderr } = await runWrangler(
    ["deploy", "--dry-run", "--outdir", dir, "--metafile", metafile, "--config", WRANGLER_CONFIG],
    { env: { WRANGLER_LOG: "error" } },
  );
  if (!ok) throw new UserError(`The worker does not build:\n${stdout}${stderr}`);
  const modules = readdirSync(dir).filter((name) => !/\.(map|json|md)$/.test(name));
  const contents = Buffer.concat(modules.map((name) => readFileSync(join(dir, name))));
  const main = modules.find((name) => name.endsWith(".js"));
  if (main === undefined) throw new UserError(`The worker does not build: no module in ${dir}`);
  return { dir, main: join(dir, main), metafile, bytes: contents.length, gzipped: gzipSync(contents).length };
}

export const describeSize = ({ bytes, gzipped }: Bundle): string =>
  `Worker bundle, minified: ${toKib(bytes)} KiB, ${toKib(gzipped)} KiB compressed with gzip`;

export const toKib = (bytes: number): string => (bytes / 1024).toFixed(1);
