import { describe, expect, it } from "vitest";
import { baseUrl } from "../clients/gateway.ts";
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

const OWN: Row = "fakeresp";

const exec = (cmd: string): Planned => ({ name: "exec_command", args: { cmd } });
const view = (path: string): Planned => ({ name: "view_image", args: { path } });
const spawn = (message: string): Planned => ({ name: "spawn_agent", args: { message } });
const wait = (n: number): Planned => ({ name: "wait_agent", args: { targets: [`@agent_id.${n}`] } });

/** Codex. `overSocket`: it keeps a connection to the gateway, beside the tap, and sends what is new only. */
async function openCodex(row: Row, { overSocket = false, hasServerTools = false } = {}) {
  const bench = await openWorkbench(row, { hasServerTools });
  const settings = [
    `model = "${bench.model}"`,
    `model_provider = "rhone"`,
    `approval_policy = "never"`,
    // Its sandbox needs a kernel that lets it make one.
    `sandbox_mode = "danger-full-access"`,
    `[model_providers.rhone]`,
    `name = "Rhone"`,
    `base_url = "${overSocket ? baseUrl : bench.origin}/v1"`,
    `supports_websockets = ${overSocket}`,
    `env_key = "RHONE_KEY"`,
    `wire_api = "responses"`,
  ];
  await bench.configure(".codex/config.toml", settings.join("\n"));
  const codex = (...args: string[]): Promise<string> =>
    bench.run("codex", ["exec", "--skip-git-repo-check", ...args], { RHONE_KEY: bench.key });
  const codexOn = (used: Row, ...args: string[]): Promise<string> => codex(...args, "-m", `${used}/${bench.script}`);
  return { bench, codexOn, codex, at: (name: string) => `${bench.folder}/${name}` };
}

describe.each(rowsOf(OWN))("Codex on %s", (row) => {
  it("a loop with parallel tools, an image and a second question is one conversation", async () => {
    const { bench, codex, at } = await openCodex(row);
    const plan = [[exec("cat a.txt"), exec("cat b.txt")], [view(at("c.png"))], [exec("ls")], "All read."];
    expect(await codex(writePlan(plan))).toContain("All read.");
    expect(await codex("resume", "--last", writePlan([[exec("ls"), exec("pwd")], "Again."]))).toContain("Again.");
    const timeline = await expectOneSession(bench);
    const called = ["exec_command", "exec_command", "view_image", "exec_command", "All read."];
    expect(said(timeline)).toEqual([...called, "exec_command", "exec_command", "Again."]);
    if (row === OWN) await expectBytesKept(bench);
  });

  it("sub-agents stand beside the conversation", async () => {
    const { bench, codex } = await openCodex(row);
    const names = ["a.txt", "b.txt"];
    const sub = (name: string): Planned =>
      spawn(writePlan([[exec(`cat ${name}`), exec("ls")], [exec("pwd")], `${name} is read.`]));
    const plan = [names.map(sub), [wait(0)], [wait(1)], [exec("ls")], "All done."];
    expect(await codex(writePlan(plan))).toContain("All done.");
    const timeline = await expectOneSession(bench);
    expect(saidByAgents(timeline)).toEqual(
      names.map((name) => ["exec_command", "exec_command", "exec_command", `${name} is read.`]),
    );
    expect(said(timeline).at(-1)).toBe("All done.");
    if (row === OWN) await expectBytesKept(bench);
  });

  it.each([false, true])(
    "runs its own tools, and not those that the gateway executes (WebSocket: %s)",
    async (overSocket) => {
      const { bench, codex } = await openCodex(row, { overSocket, hasServerTools: true });
      const [time, order] = serverCalls;
      const plan = [[time], [exec("cat a.txt"), order], [order, time], [exec("cat b.txt")], "All read."];
      expect(await codex(writePlan(plan))).toContain("All read.");
      expect(await codex("resume", "--last", writePlan([[time], [exec("ls")], "Again."]))).toContain("Again.");
      const called = [time, exec(""), order, order, time, exec(""), time, exec("")];
      await expectServerToolsHidden(
        bench,
        called.map(({ name }) => name),
      );
    },
  );
});

it.each(rowsOf(OWN))("Codex over WebSockets on %s has one conversation, which it resumes", async (row) => {
  const { bench, codex } = await openCodex(row, { overSocket: true });
  const plan = [
    [spawn(writePlan([[exec("cat a.txt"), exec("ls")], "a.txt is read."]))],
    [wait(0)],
    [exec("ls")],
    "Done.",
  ];
  expect(await codex(writePlan(plan))).toContain("Done.");
  expect(await codex("resume", "--last", writePlan([[exec("ls"), exec("pwd")], "Again."]))).toContain("Again.");
  expect(bench.sent()).toEqual([]);
  const [timeline, ...others] = await bench.timelines();
  expect(others).toEqual([]);
  const called = ["spawn_agent", "wait_agent", "exec_command", "Done.", "exec_command", "exec_command", "Again."];
  expect(said(timeline!)).toEqual(called);
  expect(saidByAgents(timeline!)).toEqual([["exec_command", "exec_command", "a.txt is read."]]);
  // The model knows what it is at every step.
  const prompts = (await bench.seen()).map(({ raw }) => raw);
  expect(prompts).toHaveLength(8);
  for (const prompt of prompts) expect(prompt).toContain("You are a coding agent running in the Codex CLI");
});

it.runIf(isWholeCheck).each<Row>(["fakechat", "fakeanth", "fakegem"])(
  "Codex goes from %s to OpenAI and back, with all reasoning at its issuer",
  async (other) => {
    const { bench, codexOn } = await openCodex(other);
    for (const [i, row] of [other, OWN, other, OWN].entries()) {
      const plan = writePlan([[exec("ls"), exec("pwd")], [exec("ls")], `Done ${i}.`]);
      expect(await codexOn(row, ...(i > 0 ? ["resume", "--last"] : []), plan)).toContain(`Done ${i}.`);
    }
    const rounds = [0, 1, 2, 3].flatMap((i) => ["exec_command", "exec_command", "exec_command", `Done ${i}.`]);
    expect(said(await expectOneSession(bench))).toEqual(rounds);
    expect(bench.sent()).toHaveLength(12);
  },
);
