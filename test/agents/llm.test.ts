import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { type Planned, writePlan } from "../fake/plan.ts";
import { findPythonProgram } from "./python.ts";
import { expectBytesKept, expectOneSession, isWholeCheck, openWorkbench, type Row, rowsOf, said } from "./workbench.ts";

const OWN: Row = "fakechat";
const tool = (name: string): Planned => ({ name, args: {} });

/** `llm` names no conversation; a model of its settings may have headers. */
describe.runIf(isWholeCheck).each(rowsOf(OWN))("llm on %s", (row) => {
  it("a loop with parallel tools and a second question is one conversation", { timeout: 600_000 }, async (test) => {
    const program = await findPythonProgram("llm", test);
    const bench = await openWorkbench(row);
    const settings = [
      "- model_id: rhone",
      `  model_name: ${bench.model}`,
      `  api_base: ${bench.origin}/v1`,
      "  api_key_name: rhone",
      "  supports_tools: true",
      "  headers:",
      "    x-rhone-conversation-id: my-questions",
    ];
    await bench.configure("llm/extra-openai-models.yaml", settings.join("\n"));
    const tools = ["-T", "llm_version", "-T", "llm_time"];
    const llm = (...args: string[]): Promise<string> =>
      bench.run(program, [...args, "--key", bench.key, ...tools], { LLM_USER_PATH: join(bench.home, "llm") });
    const plan = [[tool("llm_version"), tool("llm_time")], [tool("llm_time")], "All known."];
    expect(await llm("-m", "rhone", writePlan(plan))).toContain("All known.");
    expect(await llm("-c", writePlan([[tool("llm_version")], "Again."]))).toContain("Again.");
    const timeline = await expectOneSession(bench);
    const called = ["llm_version", "llm_time", "llm_time", "All known.", "llm_version", "Again."];
    expect(said(timeline)).toEqual(called);
    if (row === OWN) await expectBytesKept(bench);
  });
});
