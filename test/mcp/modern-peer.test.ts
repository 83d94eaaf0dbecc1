import { acceptedContent, createMcpHandler, inputRequired, McpServer } from "@modelcontextprotocol/server";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import * as z from "zod/v4";
import { callTool } from "../../src/mcp/call-tool.ts";
import type { McpProgress } from "../../src/mcp/messages.ts";
import { listTools } from "../../src/mcp/tools.ts";
import type { JsonObject } from "../../src/wire/json.ts";
import { never } from "../support/mcp/fake-server.ts";
import { openPeerSession, type Peer, serve } from "../support/mcp/peer.ts";

const ASK = {
  message: "Deploy to prod?",
  requestedSchema: { type: "object", properties: { confirm: { type: "boolean" } }, required: ["confirm"] },
} as const;

/** A server of the official package, which knows both eras. */
function createOfficialServer(): McpServer {
  const server = new McpServer({ name: "peer", version: "1.0.0" }, { capabilities: { tools: {} } });
  server.registerTool(
    "echo",
    {
      description: "Says it again",
      inputSchema: z.object({ message: z.string() }),
      outputSchema: z.object({ echoed: z.string() }),
      annotations: { readOnlyHint: true },
    },
    async ({ message }) => ({ content: [{ type: "text", text: message }], structuredContent: { echoed: message } }),
  );
  server.registerTool(
    "route",
    { inputSchema: z.object({ region: z.string().meta({ "x-mcp-header": "Region" }), n: z.number() }) },
    async ({ region, n }) => ({ content: [{ type: "text", text: `${region} ${n}` }] }),
  );
  server.registerTool("count", { inputSchema: z.object({ to: z.number() }) }, async ({ to }, { mcpReq }) => {
    const progressToken = mcpReq._meta?.progressToken;
    if (progressToken !== undefined)
      for (let progress = 1; progress <= to; progress++)
        await mcpReq.notify({ method: "notifications/progress", params: { progressToken, progress, total: to } });
    return { content: [{ type: "text", text: `counted to ${to} for ${String(mcpReq._meta?.["idempotencyKey"])}` }] };
  });
  server.registerTool("deploy", { inputSchema: z.object({ env: z.string() }) }, async ({ env }, { mcpReq }) => {
    const answer = acceptedContent<{ confirm: boolean }>(mcpReq.inputResponses, "confirm");
    if (answer === undefined)
      return inputRequired({
        inputRequests: { confirm: inputRequired.elicit(ASK as never) },
        requestState: `for ${env}`,
      });
    return { content: [{ type: "text", text: `deployed ${env}: ${answer.confirm}` }] };
  });
  server.registerTool("fail", { inputSchema: z.object({}) }, async () => {
    throw new Error("the disk is full");
  });
  return server;
}

describe("a server of the official package", () => {
  let peer: Peer;
  beforeAll(async () => {
    const handler = createMcpHandler(createOfficialServer);
    peer = await serve((request) => handler.fetch(request));
  });
  afterAll(() => peer.close());

  const call = (name: string, args: JsonObject, schema: JsonObject = { type: "object" }) => ({
    name,
    args: JSON.stringify(args),
    schema,
    id: `tex_${name}`,
  });

  it("is modern, and lists its tools", async () => {
    const { tools } = await listTools(openPeerSession(peer.url), never());
    expect(tools.map(({ name, annotations }) => [name, annotations.readOnly])).toEqual([
      ["echo", true],
      ["route", false],
      ["count", false],
      ["deploy", false],
      ["fail", false],
    ]);
    expect(peer.requests.at(-1)!.headers.get("mcp-protocol-version")).toBe("2026-07-28");
  });

  it("answers calls, with headers from their parameters", async () => {
    const session = openPeerSession(peer.url);
    expect(await callTool(session, call("echo", { message: "grüße" }), never())).toEqual({
      kind: "result",
      text: "grüße",
      media: [],
      isError: false,
    });
    const { tools } = await listTools(session, never());
    const { inputSchema } = tools.find(({ name }) => name === "route")!;
    const args = { region: " 世界 ", n: 1 };
    expect(await callTool(session, call("route", args, inputSchema), never())).toMatchObject({ text: " 世界  1" });
    await expect(callTool(session, call("route", args), never())).rejects.toMatchObject({ code: -32020 });
  });

  it("reports progress", async () => {
    const seen: McpProgress[] = [];
    const onProgress = (progress: McpProgress): number => seen.push(progress);
    const outcome = await callTool(openPeerSession(peer.url), call("count", { to: 3 }), { ...never(), onProgress });
    expect(outcome).toMatchObject({ text: "counted to 3 for tex_count" });
    expect(seen).toEqual([1, 2, 3].map((progress) => ({ progress, total: 3 })));
  });

  it("asks a person, and goes on with the answer", async () => {
    const session = openPeerSession(peer.url);
    const asked = await callTool(session, call("deploy", { env: "prod" }), never());
    expect(asked).toEqual({
      kind: "input",
      state: "for prod",
      questions: [{ key: "confirm", message: ASK.message, schema: ASK.requestedSchema }],
    });
    const answered = {
      state: "for prod",
      answers: { confirm: { action: "accept" as const, content: { confirm: true } } },
    };
    const done = await callTool(openPeerSession(peer.url), { ...call("deploy", { env: "prod" }), answered }, never());
    expect(done).toMatchObject({ kind: "result", text: "deployed prod: true" });
  });

  it("reports errors of tools and of the protocol", async () => {
    const session = openPeerSession(peer.url);
    expect(await callTool(session, call("fail", {}), never())).toMatchObject({
      isError: true,
      text: "the disk is full",
    });
    await expect(callTool(session, call("missing", {}), never())).rejects.toMatchObject({ code: -32602 });
  });

  it("is not asked for a standing stream", () => {
    expect(new Set(peer.requests.map(({ method }) => method))).toEqual(new Set(["POST"]));
  });
});
