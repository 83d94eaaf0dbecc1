import { join } from "node:path";
import { expect, it } from "vitest";
import { PROJECT } from "../../scripts/settings.ts";
import { baseUrl, key } from "./gateway.ts";
import { run, type Step, requirePrograms } from "./programs.ts";

const VENV = join(PROJECT, "node_modules", ".cache", "rhone-python");
const PYTHON = join(VENV, "bin", "python");
const REQUIREMENTS = join(import.meta.dirname, "requirements.txt");
const PATIENCE = ["--disable-pip-version-check", "--retries", "1", "--timeout", "20"];

/** Makes the environment, or finds it made: pip asks no registry for what is there already. */
const NEEDED: Step[] = [
  ["python3", "python3", ["--version"], { withinMs: 10_000 }],
  ["python3's venv module", "python3", ["-m", "venv", VENV], { withinMs: 60_000 }],
  ["pip's registry", PYTHON, ["-m", "pip", "install", "-q", ...PATIENCE, "-r", REQUIREMENTS], { withinMs: 90_000 }],
];

it.for([
  ["OpenAI", "python_client.py"],
  ["Anthropic", "python_anthropic.py"],
  ["Google", "python_genai.py"],
] as const)(
  "the official Python SDK of %s finds everything as it expects",
  { timeout: 240_000 },
  async ([, name], test) => {
    await requirePrograms(NEEDED, test);
    const script = join(import.meta.dirname, name);
    const env = { PYTHONDONTWRITEBYTECODE: "1", RHONE_BASE_URL: baseUrl, RHONE_KEY: key };
    const { code, said } = await run(PYTHON, [script], { withinMs: 90_000, env });
    expect(code, said).toBe(0);
    expect(said).toMatch(/^[1-9]\d* passed, 0 failed$/m);
  },
);
