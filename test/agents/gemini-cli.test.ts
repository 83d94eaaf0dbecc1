import { describe, expect, it } from "vitest";
import { type Planned, writePlan } from "../fake/plan.ts";
import { expectBytesKept, expectOneSession, openWorkbench, type Row, rowsOf, said, isWholeCheck } from "./workbench.ts";

const OWN: Row = "fakegem";

const read = (file_path: string): Planned => ({ name: "read_file", args: { file_path } });
const shell = (command: string): Planned => ({ name: "run_shell_command", args: { command, description: "Runs it" } });

/** Gemini CLI. It names no conversation, and can send a header that does. */
async function openGemini(row: Row) {
  const bench = await openWorkbench(row);
  await bench.configure(".gemini/settings.json", '{"security": {"auth": {"selectedType": "gemini-api-key"}}}');
  const env = {
    GOOGLE_GEMINI_BASE_URL: bench.origin,
    GEMINI_API_KEY: bench.key,
    GEMINI_CLI_CUSTOM_HEADERS: `x-rhone-conversation-id: ${crypto.randomUUID()}`,
  };
  const gemini = (...args: string[]): Promise<string> =>
    bench.run("gemini", ["-m", bench.model, "--skip-trust", "--yolo", ...args], env);
  return { bench, gemini };
}

describe.runIf(isWholeCheck).each(rowsOf(OWN))("Gemini CLI on %s", (row) => {
  it("a loop with parallel tools, an image and a second question is one conversation", async () => {
    const { bench, gemini } = await openGemini(row);
    const plan = [[read("a.txt"), read("b.txt")], [read("c.png")], [shell("ls")], "All read."];
    expect(await gemini("-p", writePlan(plan))).toContain("All read.");
    // Resumed, Gemini CLI sends every result twice, which a request in Gemini's own dialect keeps and Gemini refuses.
    const resumes = row !== OWN;
    if (resumes) {
      const again = writePlan([[shell("ls"), read("a.txt")], "Again."]);
      expect(await gemini("--resume", "latest", "-p", again)).toContain("Again.");
    }
    const timeline = await expectOneSession(bench);
    const called = ["read_file", "read_file", "read_file", "run_shell_command", "All read."];
    expect(said(timeline)).toEqual([...called, ...(resumes ? ["run_shell_command", "read_file", "Again."] : [])]);
    if (row === OWN) await expectBytesKept(bench);
  });
});
