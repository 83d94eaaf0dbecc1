import { describe, expect, it } from "vitest";
import { type Planned, writePlan } from "../fake/plan.ts";
import {
  expectBytesKept,
  expectOneSession,
  openWorkbench,
  type Row,
  rowsOf,
  said,
  saidByAgents,
  type TimelineEntry,
  isWholeCheck,
} from "./workbench.ts";

/** That of the package by which opencode talks to hosts of one's own. */
const OWN: Row = "fakechat";

/** opencode. */
async function openOpencode(row: Row) {
  const bench = await openWorkbench(row);
  const { origin, key, model } = bench;
  const provider = {
    npm: "@ai-sdk/openai-compatible",
    name: "Rhone",
    options: { baseURL: `${origin}/v1`, apiKey: key },
    models: { [model]: { attachment: true, modalities: { input: ["text", "image"], output: ["text"] } } },
  };
  const settings = { provider: { rhone: provider }, permission: "allow", autoupdate: false, share: "disabled" };
  await bench.write("opencode.json", JSON.stringify(settings));
  const opencode = (...args: string[]): Promise<string> =>
    bench.run("opencode", ["run", "-m", `rhone/${model}`, ...args], {});
  const read = (name: string): Planned => ({ name: "read", args: { filePath: `${bench.folder}/${name}` } });
  return { bench, opencode, read };
}

const bash = (command: string): Planned => ({ name: "bash", args: { command, description: "Runs it" } });

/** The call for a title is in no plan. */
const withoutTitle = (timeline: readonly TimelineEntry[]): string[] =>
  said(timeline).filter((text) => text !== "Said without a plan.");

describe.runIf(isWholeCheck).each(rowsOf(OWN))("opencode on %s", (row) => {
  it("a loop with parallel tools, an image and a second question is one conversation", async () => {
    const { bench, opencode, read } = await openOpencode(row);
    const plan = [[read("a.txt"), read("b.txt")], [read("c.png")], [bash("ls")], "All read."];
    expect(await opencode(writePlan(plan))).toContain("All read.");
    expect(await opencode("--continue", writePlan([[bash("ls"), read("a.txt")], "Again."]))).toContain("Again.");
    const timeline = await expectOneSession(bench);
    expect(withoutTitle(timeline)).toEqual(["read", "read", "read", "bash", "All read.", "bash", "read", "Again."]);
    if (row === OWN) await expectBytesKept(bench);
  });

  it("sub-agents stand beside the conversation", async () => {
    const { bench, opencode, read } = await openOpencode(row);
    const names = ["a.txt", "b.txt"];
    const sub = (name: string): Planned => {
      const prompt = writePlan([[read(name), bash("ls")], [bash("pwd")], `${name} is read.`]);
      return { name: "task", args: { description: `Reads ${name}`, subagent_type: "general", prompt } };
    };
    expect(await opencode(writePlan([names.map(sub), [bash("ls")], "All done."]))).toContain("All done.");
    const timeline = await expectOneSession(bench);
    expect(saidByAgents(timeline)).toEqual(names.map((name) => ["read", "bash", "bash", `${name} is read.`]));
    expect(withoutTitle(timeline)).toEqual(["task", "task", "bash", "All done."]);
    if (row === OWN) await expectBytesKept(bench);
  });
});
