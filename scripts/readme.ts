import { spawn } from "node:child_process";
import { randomBytes } from "node:crypto";
import { once } from "node:events";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { freePort } from "./local/port.ts";
import { makeAdminKey, PROJECT } from "./settings.ts";
import { UserError, runScript } from "./user-error.ts";

/** The gateway is a job with its own process group, so that all of its processes end with the shell. */
const PRELUDE = `set -euo pipefail
gateway=
stop() { if [ -n "$gateway" ]; then kill -- "-$gateway" 2>/dev/null || true; wait "$gateway" || true; fi; }
trap stop EXIT
healthy() {
  for _ in $(seq 900); do
    if curl -s -o /dev/null 2>/dev/null "http://127.0.0.1:$PORT/healthz"; then return; fi
    if ! kill -0 "$gateway" 2>/dev/null; then echo "the gateway ended" >&2; return 1; fi
    sleep 0.2
  done
  echo "the gateway did not become healthy" >&2; return 1
}`;

/** The pages whose commands run, in this order: the first starts the gateway. */
const PAGES = [
  "README.md",
  "docs/agents.md",
  "docs/safety.md",
  "docs/runs.md",
  "docs/tools.md",
  "docs/mcp.md",
  "docs/harnesses.md",
  "docs/server-tools.md",
  "docs/approvals.md",
  "docs/webhooks.md",
];

/**
 * Runs the commands of the pages as they are written, in order, in one shell, and ends at the first that fails.
 *
 * - ```sh            runs in the shell. The block that holds `npm start` runs in the background until the end, and the
 *                    next block waits until `GET /healthz` answers.
 * - ```js run        runs as an ES module, with the project's packages.
 * - ```python run    runs with $PYTHON (default: python3; the block is left out if the variable is empty).
 * - any other fence  is not run.
 *
 * The gateway gets a free port, a new state directory and a new key: `PORT`, `RHONE_STATE_DIR` and `RHONE_ADMIN_KEY` are
 * exported, and `127.0.0.1:8787` in a block is replaced by that port. `127.0.0.1:9000` stands for a receiver that it may
 * reach, and is replaced likewise. A curl that receives an error status fails.
 */
await runScript(async () => {
  const port = await freePort();
  const receiver = await freePort();
  const dir = mkdtempSync(join(tmpdir(), "rhone-readme-"));
  process.on("exit", () => rmSync(dir, { recursive: true, force: true }));
  const blocks = PAGES.flatMap((page) => {
    const text = readFileSync(join(PROJECT, page), "utf8");
    const placed = text
      .replaceAll(/(127\.0\.0\.1|localhost):8787/g, `127.0.0.1:${port}`)
      .replaceAll("127.0.0.1:9000", `127.0.0.1:${receiver}`);
    const found = blocksOf(page, placed);
    if (found.length === 0)
      throw new UserError(`${page}: expected a block fenced as \`\`\`sh, \`\`\`js run or \`\`\`python run`);
    return found;
  });

  writeFileSync(join(dir, ".curlrc"), "fail-with-body\nshow-error\n");
  const script = join(dir, "readme.sh");
  writeFileSync(script, [PRELUDE, ...blocks.map((block, i) => toCommands(block, join(dir, `block-${i}`)))].join("\n"));
  const shell = spawn("bash", [script], {
    cwd: PROJECT,
    stdio: ["ignore", "inherit", "inherit"],
    env: {
      ...process.env,
      PORT: String(port),
      RHONE_STATE_DIR: join(dir, "state"),
      RHONE_ADMIN_KEY: makeAdminKey(),
      RHONE_CREDENTIALS_KEY: randomBytes(32).toString("base64"),
      RHONE_CONFIG: JSON.stringify({ tools: { origins: [`http://127.0.0.1:${receiver}`] } }),
      CURL_HOME: dir,
      PYTHON: process.env.PYTHON ?? "python3",
    },
  });
  const [code] = (await once(shell, "close")) as [number | null];
  if (code !== 0) throw new UserError("the block above failed");
  console.log(`${PAGES.join(", ")}: ${blocks.length} blocks ran`);
});

type Block = { page: string; line: number; fence: "sh" | "js run" | "python run"; code: string };

function blocksOf(page: string, text: string): Block[] {
  return [...text.matchAll(/^```(sh|js run|python run)[ \t]*\n(.*?)^```[ \t]*$/gms)].map(
    ({ 1: fence, 2: code, index }) => ({
      page,
      line: text.slice(0, index).split("\n").length,
      fence: fence as Block["fence"],
      code: code!,
    }),
  );
}

function toCommands({ page, line, fence, code }: Block, file: string): string {
  const heading = `echo; echo "${page}:${line} (${fence})"`;
  if (fence === "sh" && /\bnpm start\b/.test(code))
    return `${heading}\nset -m; {\n${code}} & gateway=$!; set +m\nhealthy`;
  if (fence === "sh") return `${heading}\n${code}`;
  writeFileSync(file, code);
  // Over stdin: imports are then resolved from the working directory, which is the project.
  if (fence === "js run") return `${heading}\n"${process.execPath}" --input-type=module - < "${file}"`;
  return `${heading}\nif [ -n "$PYTHON" ]; then "$PYTHON" - < "${file}"; else echo "left out: no Python"; fi`;
}
