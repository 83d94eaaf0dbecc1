import { execFile } from "node:child_process";
import { promisify } from "node:util";
import type { TestContext } from "vitest";

/** How a program ended: its exit status, or the signal or the reason that ended it, and all that it printed. */
export type Ended = { code: number | string; said: string };
export type Options = { withinMs: number; env?: Record<string, string>; cwd?: string };

/** Runs a program, which is told nothing, to its end. Never throws: a program that cannot be started has its reason as the code. */
export async function run(command: string, args: string[], { withinMs, env, cwd }: Options): Promise<Ended> {
  try {
    const options = { timeout: withinMs, env: { ...process.env, ...env }, ...(cwd !== undefined && { cwd }) };
    const running = promisify(execFile)(command, args, options);
    running.child.stdin?.end();
    const { stdout, stderr } = await running;
    return { code: 0, said: stdout + stderr };
  } catch (thrown) {
    const { code, signal, message, stdout, stderr } = thrown as Partial<Failed> & Error;
    return { code: code ?? signal ?? message, said: `${stdout ?? ""}${stderr ?? ""}` || message };
  }
}

type Failed = { code: number | string | null; signal: string | null; stdout: string; stderr: string };

/** What must be there before a check can run: a name for it, and the command that provides it or finds it. */
export type Step = [what: string, command: string, args: string[], options: Options];

/** Skips the test if something is missing, and says what: reporters keep a skipped test's reason and words to themselves. */
export async function requirePrograms(steps: readonly Step[], test: TestContext): Promise<void> {
  const missing = await whatIsMissing(steps);
  if (missing === undefined) return;
  process.stderr.write(`skipped: ${test.task.name}: ${missing}\n`);
  test.skip(missing);
}

/** The first step that fails, as a reason to skip what needs it; `undefined` when all is there. */
async function whatIsMissing(steps: readonly Step[]): Promise<string | undefined> {
  for (const [what, command, args, options] of steps) {
    const { code, said } = await run(command, args, options);
    // A registry that answers, but not with what is pinned, is a mistake here and nothing missing.
    if (/from versions: (?!none)|checksum mismatch|missing go\.sum/.test(said)) throw new Error(said);
    if (code !== 0) return `${what} is not available: ${said.trim().split("\n").at(-1)}`;
  }
  return undefined;
}
