import { join } from "node:path";
import type { TestContext } from "vitest";
import { PROJECT } from "../../scripts/settings.ts";
import { type Step, requirePrograms } from "../clients/programs.ts";

/**
 * The path of a program of PyPI, in an environment of its own. Skips the test where none can be made. `name`: that of the
 * program and of its requirements in `programs/`.
 */
export async function findPythonProgram(name: string, test: TestContext): Promise<string> {
  const environment = join(PROJECT, "node_modules", ".cache", `rhone-${name}`);
  const requirements = join(import.meta.dirname, "programs", `${name}.txt`);
  const install = ["-m", "pip", "install", "-q", "--disable-pip-version-check", "-r", requirements];
  const needed: Step[] = [
    ["python3's venv module", "python3", ["-m", "venv", environment], { withinMs: 60_000 }],
    ["pip's registry", join(environment, "bin", "python"), install, { withinMs: 400_000 }],
  ];
  await requirePrograms(needed, test);
  return join(environment, "bin", name);
}
