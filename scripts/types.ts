import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { PROJECT } from "./settings.ts";
import { UserError, runScript } from "./user-error.ts";
import { NO_ENV_FILES, runWrangler } from "./wrangler.ts";

const FILE = "src/env.d.ts";
/** The first line that wrangler writes. */
const GENERATED = "/* eslint-disable */";

/** `npm run types`: writes the bindings of wrangler.toml into the second part of `src/env.d.ts`; the first is by hand. */
await runScript(async () => {
  const path = join(PROJECT, FILE);
  const [manual] = readFileSync(path, "utf8").split(GENERATED);
  const args = ["types", FILE, "--include-runtime=false", ...NO_ENV_FILES.map((file) => `--env-file=${file}`)];
  const { ok, stdout, stderr } = await runWrangler(args);
  if (!ok) throw new UserError(`wrangler types failed:\n${stderr.trim() || stdout.trim()}`);
  const generated = readFileSync(path, "utf8");
  if (!generated.startsWith(GENERATED)) throw new UserError(`${FILE}: expected ${GENERATED} as wrangler's first line`);
  writeFileSync(path, `${manual!.trimEnd()}\n\n${generated.trimEnd()}\n`);
});
