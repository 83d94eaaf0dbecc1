import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { callTool } from "../../src/mcp/call-tool.ts";
import type { McpOutcome, McpProgress, McpQuestion } from "../../src/mcp/messages.ts";
import type { McpSession } from "../../src/mcp/session.ts";
import { listTools } from "../../src/mcp/tools.ts";
import type { JsonObject } from "../../src/wire/json.ts";
import { startEverything } from "../support/mcp/everything.ts";
import { never } from "../support/mcp/fake-server.ts";
import { openPeerSession } from "../support/mcp/peer.ts";

/** A port that was free a moment ago. */
async function findPort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address() as AddressInfo;
  await new Promise((resolve) => server.close(resolve));
  return port;
}

describe("server-everything", () => {
  let port: number;
  let end: (() => Promise<void>) | undefined;
  let session: McpSession;
  beforeAll(async () => {
    // The server does not say which port the system has chosen for it, and another process may take a free one first.
    for (let tries = 0; end === undefined; tries++) {
      port = await findPort();
      end = await startEverything(port).catch((reason: unknown) => {
        if (tries === 4) throw reason;
        return undefined;
      });
    }
    session = openPeerSession(`http://127.0.0.1:${port}/mcp`);
  });
  afterAll(() => end!());

  const call = (name: string, args: JsonObject = {}, more: object = {}): Promise<McpOutcome> =>
    callTool(
      session,
      { name, args: JSON.stringify(args), schema: { type: "object" }, id: `tex_${name}` },
      { ...never(), ...more },
    );

  const TOOLS = [
    "echo",
    "get-annotated-message",
    "get-env",
    "get-resource-links",
    "get-resource-reference",
    "get-structured-content",
    "get-sum",
    "get-tiny-image",
    "gzip-file-as-resource",
    "simulate-research-query",
    "toggle-simulated-logging",
    "toggle-subscriber-updates",
    "trigger-elicitation-request",
    "trigger-long-running-operation",
    "trigger-url-elicitation",
  ];

  it("lists its tools", async () => {
    const { tools, ttlMs } = await listTools(session, never());
    expect(tools.map(({ name }) => name).toSorted()).toEqual(TOOLS);
    expect(ttlMs).toBe(60_000);
    expect(tools.find(({ name }) => name === "echo")).toMatchObject({
      annotations: { readOnly: true },
      title: "Echo Tool",
    });
  });

  const media = [{ mimeType: "image/png", data: expect.any(String) as string }];
  const answers: [string, JsonObject, object][] = [
    ["echo", { message: "grüße" }, { text: "Echo: grüße", isError: false }],
    [
      "get-annotated-message",
      { messageType: "error", includeImage: true },
      { text: expect.stringContaining("Error") as string, media },
    ],
    ["get-env", {}, { text: expect.stringContaining(`PORT`) as string }],
    ["get-resource-links", { count: 2 }, { text: expect.stringMatching(/\(demo:\/\/.*\n.*\(demo:\/\//) as string }],
    [
      "get-resource-reference",
      { resourceType: "Text", resourceId: 1 },
      { text: expect.stringContaining("Resource 1") as string },
    ],
    ["get-resource-reference", { resourceType: "Blob", resourceId: 1 }, { media: [{ mimeType: "text/plain" }] }],
    ["get-structured-content", { location: "Chicago" }, { text: expect.stringContaining('"temperature"') as string }],
    ["get-sum", { a: 1, b: 2 }, { text: "The sum of 1 and 2 is 3." }],
    ["get-tiny-image", {}, { media }],
    [
      "gzip-file-as-resource",
      { name: "a.gz", data: "data:text/plain,hello", outputType: "resource" },
      { media: [{ mimeType: "application/gzip" }] },
    ],
    ["toggle-simulated-logging", {}, { text: expect.stringContaining("Started") as string }],
    ["toggle-simulated-logging", {}, { text: expect.stringContaining("Stopped") as string }],
    ["toggle-subscriber-updates", {}, { text: expect.stringContaining("Started") as string }],
    ["toggle-subscriber-updates", {}, { text: expect.stringContaining("Stopped") as string }],
    ["get-sum", { a: "x" }, { isError: true, text: expect.stringContaining("Input validation error") as string }],
    ["missing", {}, { isError: true }],
  ];
  it.each(answers)("answers %s %j", async (name, args, outcome) => {
    expect(await call(name, args)).toMatchObject({ kind: "result", ...outcome });
  });

  it("reports progress", async () => {
    const seen: McpProgress[] = [];
    const onProgress = (progress: McpProgress): number => seen.push(progress);
    const outcome = await call("trigger-long-running-operation", { duration: 0.03, steps: 3 }, { onProgress });
    expect(outcome).toMatchObject({ text: expect.stringContaining("completed") as string });
    expect(seen).toEqual([1, 2, 3].map((progress) => ({ progress, total: 3 })));
  });

  it("asks a person while it works", async () => {
    const asked: McpQuestion[] = [];
    const onQuestion = async (question: McpQuestion) => {
      asked.push(question);
      return { action: "accept" as const, content: { name: "Ada", check: true } };
    };
    const outcome = await call("trigger-elicitation-request", {}, { onQuestion });
    expect(asked).toMatchObject([{ schema: { type: "object", required: ["name"] } }]);
    expect(outcome).toMatchObject({ text: expect.stringContaining("Ada") as string });
    expect(await call("trigger-elicitation-request")).toMatchObject({
      text: expect.stringContaining("cancel") as string,
    });
  });

  it("asks to open pages, while it works and before", async () => {
    const url = "https://example.com/login";
    const asked: McpQuestion[] = [];
    const onQuestion = async (question: McpQuestion) => {
      asked.push(question);
      return { action: "accept" as const };
    };
    await call("trigger-url-elicitation", { url, message: "Log in" }, { onQuestion });
    expect(asked).toMatchObject([{ message: "Log in", url }]);
    const before = await call("trigger-url-elicitation", { url, errorPath: true }, { onQuestion });
    expect(before).toMatchObject({ kind: "input", questions: [{ url: "https://modelcontextprotocol.io" }] });
    expect(await call("trigger-url-elicitation", { url, errorPath: true }, { onQuestion })).toMatchObject({
      kind: "result",
    });
  });

  it("says that a tool needs the tasks of its own version", async () => {
    const outcome = await call("simulate-research-query", { topic: "x" }).catch((e: unknown) => e);
    expect(String((outcome as { text?: string }).text ?? outcome)).toMatch(/task/i);
  });

  it("is connected to again when it has forgotten its session", async () => {
    await end!();
    end = await startEverything(port);
    const calls = await Promise.all([call("echo", { message: "a" }), call("echo", { message: "b" })]);
    expect(calls).toMatchObject([{ text: "Echo: a" }, { text: "Echo: b" }]);
  });
});
