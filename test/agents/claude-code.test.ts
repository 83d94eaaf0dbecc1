import { describe, expect, it } from "vitest";
import { type Planned, writePlan } from "../fake/plan.ts";
import {
  expectBytesKept,
  expectOneSession,
  expectServerToolsHidden,
  isWholeCheck,
  openWorkbench,
  type Row,
  rowsOf,
  said,
  saidByAgents,
  serverCalls,
} from "./workbench.ts";

const OWN: Row = "fakeanth";

const read = (file_path: string): Planned => ({ name: "Read", args: { file_path } });
const bash = (command: string): Planned => ({ name: "Bash", args: { command, description: "Runs it" } });
const agent = (description: string, prompt: string): Planned => ({
  name: "Agent",
  args: { description, subagent_type: "general-purpose", prompt },
});

/** Claude Code. */
async function openClaude(row: Row, options: { hasServerTools?: boolean } = {}) {
  const bench = await openWorkbench(row, options);
  const { origin, key, model } = bench;
  const env = {
    ANTHROPIC_BASE_URL: origin,
    ANTHROPIC_AUTH_TOKEN: key,
    ANTHROPIC_DEFAULT_HAIKU_MODEL: model,
    ANTHROPIC_DEFAULT_SONNET_MODEL: model,
    ANTHROPIC_DEFAULT_OPUS_MODEL: model,
    CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC: "1",
  };
  const claudeOn = (used: Row, ...args: string[]): Promise<string> => {
    const named = ["--model", `${used}/${bench.script}`];
    return bench.run("claude", [...named, "-p", ...args, "--allowedTools", "Read,Bash,Agent"], env);
  };
  const claude = (...args: string[]): Promise<string> => claudeOn(row, ...args);
  return { bench, claudeOn, claude, at: (name: string) => `${bench.folder}/${name}` };
}

describe.each(rowsOf(OWN))("Claude Code on %s", (row) => {
  it("a loop with parallel tools, an image and a second question is one conversation", async () => {
    const { bench, claude, at } = await openClaude(row);
    const plan = [[read(at("a.txt")), read(at("b.txt"))], [read(at("c.png"))], [bash("ls")], "All read."];
    expect(await claude(writePlan(plan))).toContain("All read.");
    expect(await claude("--continue", writePlan([[bash("cat a.txt"), bash("cat b.txt")], "Again."]))).toContain(
      "Again.",
    );
    const timeline = await expectOneSession(bench);
    expect(said(timeline)).toEqual(["Read", "Read", "Read", "Bash", "All read.", "Bash", "Bash", "Again."]);
    if (row === OWN) await expectBytesKept(bench);
  });

  it("sub-agents stand beside the conversation, which goes on behind a compaction", async () => {
    const { bench, claude, at } = await openClaude(row);
    const sub = (name: string): Planned =>
      agent(`Reads ${name}`, writePlan([[read(at(name)), bash("ls")], [bash("pwd")], `${name} is read.`]));
    const names = ["a.txt", "b.txt", "c.png"];
    expect(await claude(writePlan([names.map(sub), [read(at("a.txt"))], "All done."]))).toContain("All done.");
    await claude("--continue", "/compact");
    expect(await claude("--continue", writePlan([[read(at("b.txt")), bash("ls")], "Again."]))).toContain("Again.");
    const timeline = await expectOneSession(bench);
    expect(saidByAgents(timeline)).toEqual(names.map((name) => ["Read", "Bash", "Bash", `${name} is read.`]));
    expect(said(timeline)).toEqual([
      "Agent",
      "Agent",
      "Agent",
      "Read",
      "All done.",
      "All done.",
      "Read",
      "Bash",
      "Again.",
    ]);
    if (row === OWN) await expectBytesKept(bench);
  });

  it("has sub-agents with the gateway's tools beside the conversation, which goes on behind a compaction", async () => {
    const { bench, claude, at } = await openClaude(row, { hasServerTools: true });
    const [time, order] = serverCalls;
    const sub = (name: string): Planned =>
      agent(`Reads ${name}`, writePlan([[time], [read(at(name)), order], [order], `${name} is read.`]));
    const names = ["a.txt", "b.txt"];
    expect(await claude(writePlan([[time], names.map(sub), "All done."]))).toContain("All done.");
    await claude("--continue", "/compact");
    const again = [[time], [read(at("b.txt"))], "Again."];
    expect(await claude("--continue", writePlan(again))).toContain("Again.");
    const [timeline, ...others] = await bench.timelines();
    expect(others).toEqual([]);
    const called = [time, read(""), order, order].map(({ name }) => name);
    expect(saidByAgents(timeline!).map((words) => words.toSorted())).toEqual(
      names.map((name) => [...called, `${name} is read.`].toSorted()),
    );
    const main = ["time", "Agent", "Agent", "All done.", "All done.", "time", "Read", "Again."];
    expect(said(timeline!).toSorted()).toEqual(main.toSorted());
  });

  it("runs its own tools, and not those that the gateway executes", async () => {
    const { bench, claude, at } = await openClaude(row, { hasServerTools: true });
    const [time, order] = serverCalls;
    const plan = [[time], [read(at("a.txt")), order], [order, time], [bash("cat b.txt")], "All read."];
    expect(await claude(writePlan(plan))).toContain("All read.");
    expect(await claude("--continue", writePlan([[time], [bash("ls")], "Again."]))).toContain("Again.");
    const called = [time, read(""), order, order, time, bash(""), time, bash("")];
    await expectServerToolsHidden(
      bench,
      called.map(({ name }) => name),
    );
  });
});

it.runIf(isWholeCheck).each<Row>(["fakechat", "fakeresp", "fakegem"])(
  "Claude Code goes from %s to Claude and back, with all reasoning at its issuer",
  async (other) => {
    const { bench, claudeOn } = await openClaude(other);
    for (const [i, row] of [other, OWN, other, OWN].entries()) {
      const plan = writePlan([[bash("ls"), bash("pwd")], [bash("ls")], `Done ${i}.`]);
      expect(await claudeOn(row, plan, ...(i > 0 ? ["--continue"] : []))).toContain(`Done ${i}.`);
    }
    const rounds = [0, 1, 2, 3].flatMap((i) => ["Bash", "Bash", "Bash", `Done ${i}.`]);
    expect(said(await expectOneSession(bench))).toEqual(rounds);
    // Nothing was refused, and sent again without its reasoning.
    expect(bench.sent()).toHaveLength(12);
  },
);
