import { execFile } from "node:child_process";
import { join } from "node:path";
import { promisify } from "node:util";
import { expect, it } from "vitest";
import { PROJECT } from "../../scripts/settings.ts";
import { baseUrl, key } from "./gateway.ts";

const VENV = join(PROJECT, "node_modules", ".cache", "rhone-python");
const PYTHON = join(VENV, "bin", "python");
const REQUIREMENTS = join(import.meta.dirname, "requirements.txt");

it.for([
  ["OpenAI", "python_client.py"],
  ["Anthropic", "python_anthropic.py"],
  ["Google", "python_genai.py"],
] as const)(
  "the official Python SDK of %s finds everything as it expects",
  { timeout: 240_000 },
  async ([, name], test) => {
    const missing = await whatIsMissing();
    if (missing !== undefined) {
      // The reporters keep a skipped test's reason to themselves.
      console.error(`skipped: ${missing}`);
      test.skip(missing);
    }
    const script = join(import.meta.dirname, name);
    const { code, said } = await run(PYTHON, [script], 90_000, { RHONE_BASE_URL: baseUrl, RHONE_KEY: key });
    expect(code, said).toBe(0);
    expect(said).toMatch(/^[1-9]\d* passed, 0 failed$/m);
  },
);

/** Makes the environment, or finds it made: pip asks no registry for what is there already. Says why it cannot. */
async function whatIsMissing(): Promise<string | undefined> {
  const steps: [what: string, command: string, args: string[], withinMs: number][] = [
    ["python3", "python3", ["--version"], 10_000],
    ["python3's venv module", "python3", ["-m", "venv", VENV], 60_000],
    ["pip's registry", PYTHON, ["-m", "pip", "install", "-q", ...PATIENCE, "-r", REQUIREMENTS], 90_000],
  ];
  for (const [what, command, args, withinMs] of steps) {
    const { code, said } = await run(command, args, withinMs);
    // A registry that answers, but not with what is pinned, is a mistake here and nothing missing.
    if (/from versions: (?!none)/.test(said)) throw new Error(said);
    if (code !== 0) return `${what} is not available: ${said.trim().split("\n").at(-1)}`;
  }
  return undefined;
}

const PATIENCE = ["--disable-pip-version-check", "--retries", "1", "--timeout", "20"];

async function run(
  command: string,
  args: string[],
  timeout: number,
  env: Record<string, string> = {},
): Promise<{ code: number | string; said: string }> {
  try {
    const options = { timeout, env: { ...process.env, PYTHONDONTWRITEBYTECODE: "1", ...env } };
    const { stdout, stderr } = await promisify(execFile)(command, args, options);
    return { code: 0, said: stdout + stderr };
  } catch (thrown) {
    const { code, signal, message, stdout, stderr } = thrown as Partial<Failed> & Error;
    return { code: code ?? signal ?? message, said: `${stdout ?? ""}${stderr ?? ""}` || message };
  }
}

type Failed = { code: number | string | null; signal: string | null; stdout: string; stderr: string };
