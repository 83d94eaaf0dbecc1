import { beforeEach, describe, expect, it } from "vitest";
import { json, listOf, run, send, type Json } from "../../support/runs/client.ts";
import { callOf, callsOf, crm, tell } from "../../support/runs/mcp.ts";

describe("the tools of a server", () => {
  beforeEach(async () => {
    await send("PUT", "/v1/secrets/BOUND", { value: "x", hosts: ["tools.example.com"] });
  });

  const start = (body: Json): Promise<Response> =>
    send("POST", "/v1/runs", { model: "fake/plan", input: "x", ...body });

  it("are those that the run names, with the effects of the annotations where the run trusts those", async () => {
    const done = await run({
      ...callOf("only", "modern", "get_order", { args: { id: "1" }, server: { trust_annotations: true } }),
      tools: [{ type: "mcp", server: "crm", only: ["get_*"] }],
    });
    expect(done.status).toBe("completed");
    const request = await json("GET", `/v1/runs/${done.id as string}/effective-request`);
    expect(request.tools).toMatchObject([{ name: "crm__get_order", tool: "get_order", effect: "read_only" }]);
  });

  it.each([
    ["two tools of one name", { servers: crm("bad", "double") }, 502, "two tools of the name refund"],
    ["a pattern that no tool matches", { only: ["nothing_*"] }, 400, "tools[0].only[0]"],
    ["a server that the run does not name", { server: "erp" }, 400, "tools[0].server"],
    ["a server at a private address", { servers: { crm: { url: "http://127.0.0.1/mcp" } } }, 400, "https://"],
    [
      "a server that refuses the credentials",
      { servers: crm("bad", "modern", { headers: { authorization: "Bearer wrong" } }) },
      502,
      "credentials",
    ],
    [
      "a secret that is not bound to the server",
      {
        servers: crm("bad", "modern", {
          auth: { client_id: "x", client_secret: { secret: "BOUND" }, token_url: "https://tools.example.com/token" },
        }),
      },
      400,
      "BOUND may be sent to tools.example.com only",
    ],
    [
      "a secret that is not there",
      { servers: crm("bad", "modern", { auth: { secret: "NONE" } }) },
      400,
      "servers.crm.auth.secret",
    ],
  ])(
    "are refused when the run starts: %s",
    async (_, { server = "crm", only, servers = crm("bad", "modern") }: Json, status, text) => {
      const answer = await start({ servers, tools: [{ type: "mcp", server, ...(only !== undefined && { only }) }] });
      expect([answer.status, await answer.text()]).toEqual([status, expect.stringContaining(text)]);
    },
  );

  it("may not have the name of another tool of the run", async () => {
    const answer = await start({
      servers: crm("same", "modern"),
      tools: [{ type: "mcp", server: "crm" }, { name: "crm__refund" }],
    });
    expect([answer.status, await answer.text()]).toEqual([400, expect.stringContaining("tools[1].name")]);
  });

  it("with a schema elsewhere are called without its being fetched", async () => {
    const done = await run(callOf("refs", "refs", "ref"));
    expect(await listOf(done.id, "tool-executions")).toMatchObject([{ status: "succeeded" }]);
  });

  it("are called in a new session when the server has forgotten the one that was", async () => {
    const first = await run(callOf("forgets", "legacy", "get_order", { args: { id: "1" } }));
    await tell("forgets", "forget");
    const again = await run({
      ...callOf("forgets", "legacy", "get_order", { args: { id: "2" } }),
      session_id: first.session_id,
    });
    expect(await listOf(again.id, "tool-executions")).toMatchObject([
      { status: "succeeded", result: 'get_order {"id":"2"}' },
    ]);
  });

  it("are replayed as the servers are then", async () => {
    const first = await run(callOf("replayed", "modern", "get_order", { args: { id: "1" } }));
    const again = await json("POST", `/v1/runs/${first.id as string}:replay`, {});
    expect(again.status).toBe("completed");
    expect(await callsOf("replayed")).toHaveLength(2);
  });
});
