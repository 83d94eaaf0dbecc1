import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { writePlan } from "../fake/plan.ts";
import { findPythonProgram } from "./python.ts";
import { expectBytesKept, expectOneSession, isWholeCheck, openWorkbench, type Row, rowsOf, said } from "./workbench.ts";

const OWN: Row = "fakechat";
const FENCE = "```";
const edit = (from: string, to: string): string =>
  `a.txt\n${FENCE}\n<<<<<<< SEARCH\n${from}\n=======\n${to}\n>>>>>>> REPLACE\n${FENCE}\n`;

/** aider names no conversation; its settings of a model may have headers. It edits by texts, without tools. */
describe.runIf(isWholeCheck).each(rowsOf(OWN))("aider on %s", (row) => {
  it("edits of two runs are one conversation", { timeout: 600_000 }, async (test) => {
    const aider = await findPythonProgram("aider", test);
    const bench = await openWorkbench(row);
    const settings = [
      `- name: openai/${bench.model}`,
      "  edit_format: diff",
      "  extra_params:",
      "    extra_headers:",
      "      x-rhone-conversation-id: my-edits",
    ];
    await bench.write(".aider.model.settings.yml", settings.join("\n"));
    const flags = ["--yes-always", "--no-git", "--no-show-model-warnings", "--no-check-update", "--analytics-disable"];
    const at = ["--openai-api-base", `${bench.origin}/v1`, "--openai-api-key", bench.key];
    const edits = [edit("alpha", "beta"), edit("beta", "gamma")];
    for (const text of edits)
      await bench.run(
        aider,
        ["--model", `openai/${bench.model}`, ...at, ...flags, "--message", writePlan([text]), "a.txt"],
        {},
      );
    expect(await readFile(join(bench.folder, "a.txt"), "utf8")).toBe("gamma\n");
    expect(said(await expectOneSession(bench))).toEqual(edits);
    if (row === OWN) await expectBytesKept(bench);
  });
});
