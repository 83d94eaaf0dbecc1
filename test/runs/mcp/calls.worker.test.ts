import { describe, expect, it } from "vitest";
import { writePlan } from "../../fake/plan.ts";
import { json, listOf, run, textOf, type Json, ended } from "../../support/runs/client.ts";
import { KINDS, callOf, callsOf, resolve, tell } from "../../support/runs/mcp.ts";

describe.each(KINDS)("a server of the %s protocol", (kind) => {
  it("executes its tools, each with the model's own bytes and a key that stays the same", async () => {
    const test = `call-${kind}`;
    const done = await run(callOf(test, kind, "get_order", { args: { id: "A 1" } }));
    expect([done.status, textOf(done)]).toEqual(["completed", "Done."]);
    const [execution] = await listOf(done.id, "tool-executions");
    expect(execution).toMatchObject({
      name: "crm__get_order",
      kind: "mcp",
      status: "succeeded",
      result: 'get_order {"id":"A 1"}',
    });
    expect(await callsOf(test)).toMatchObject([
      { name: "get_order", arguments: { id: "A 1" }, _meta: { idempotencyKey: execution!.id } },
    ]);
  });

  it("gives pictures to the model as well", async () => {
    const done = await run(callOf(`picture-${kind}`, kind, "picture"));
    const turns = (await json("GET", `/v1/sessions/${done.session_id as string}/blocks`)) as { data: Json[] };
    const result = turns.data.find(({ type }) => type === "tool_result");
    expect(result?.content).toMatchObject([
      { text: "A picture:" },
      { media: { mime: "image/png", source: { type: "base64", data: "iVBORw0KGgo=" } } },
    ]);
    expect(await listOf(done.id, "tool-executions")).toMatchObject([{ status: "succeeded" }]);
  });

  it("whose answer is endless ends the call with an error, not the run", async () => {
    const done = await run(callOf(`huge-${kind}`, kind, "huge"));
    expect(done.status).toBe("completed");
    expect(await listOf(done.id, "tool-executions")).toMatchObject([
      { status: "failed", is_error: true, result: expect.stringContaining("4") },
    ]);
  });

  it.each(["vanish", "unavailable"])(
    "that breaks off behind a call that may have changed something leaves that to a person: %s",
    async (name) => {
      const waiting = await run(callOf(`${name}-${kind}`, kind, name));
      expect(waiting.status).toBe("waiting_for_approval");
      const [checkpoint] = await listOf(waiting.id, "checkpoints");
      expect(checkpoint).toMatchObject({ kind: "unknown", decisions: ["retry", "result", "fail"] });
      await resolve(checkpoint!.id, { decision: "result", content: "It has run." });
      expect(await ended(waiting.id)).toMatchObject({ status: "completed" });
      expect(await callsOf(`${name}-${kind}`)).toHaveLength(1);
    },
  );

  it("whose tool has an error of its own is not called again", async () => {
    const done = await run(callOf(`missing-${kind}`, kind, "missing"));
    expect(await listOf(done.id, "tool-executions")).toMatchObject([
      { status: "failed", result: expect.stringContaining("no such order") },
    ]);
    expect(await callsOf(`missing-${kind}`)).toHaveLength(1);
  });

  it("may give what is no picture, and the model reads that", async () => {
    const done = await run(callOf(`odd-${kind}`, kind, "odd_media"));
    expect(done.status).toBe("completed");
    expect(await listOf(done.id, "tool-executions")).toMatchObject([
      { result: expect.stringContaining("cannot be read") },
    ]);
  });

  it("has rules for its tools by their names in full", async () => {
    const name = `${"a_very_long_name_".repeat(4)}delete`;
    const policy = [
      { tool: "*_delete", do: "deny" },
      { tool: "*", do: "allow" },
    ];
    const first = await run(callOf(`rules-${kind}`, kind, "picture"));
    const shown = await json("GET", `/v1/runs/${first.id as string}/effective-request`);
    const own = (shown.tools as Json[]).find(({ tool }) => tool === name)!.name as string;
    expect(own).not.toContain("_delete");
    const input = writePlan([[{ name: own, args: {} }], "Done."]);
    const done = await run({ ...callOf(`rules-${kind}`, kind, "picture"), input, policy });
    expect(await listOf(done.id, "tool-executions")).toMatchObject([{ status: "denied" }]);
  });

  it("that describes a tool anew after its approval is not called", async () => {
    const test = `changed-${kind}`;
    const waiting = await run({
      ...callOf(test, kind, "refund", { args: { n: 1 } }),
      tools: [{ type: "mcp", server: "crm" }],
    });
    expect(waiting.status).toBe("waiting_for_approval");
    await tell(test, "change");
    await resolve((waiting.open as string[])[0], { decision: "approve" });
    const done = await ended(waiting.id);
    expect(await listOf(done.id, "tool-executions")).toMatchObject([
      { status: "failed", result: expect.stringContaining("changed the tool") },
    ]);
    expect(await callsOf(test)).toEqual([]);
  });
});
