import { Client, StreamableHTTPClientTransport } from "@modelcontextprotocol/client";
import { afterAll, beforeAll, describe, expect, inject, it } from "vitest";
import { startEverything } from "../support/mcp/everything.ts";
import { baseUrl, key } from "./gateway.ts";

type Json = Record<string, unknown>;

const toolsUrl = inject("toolsUrl");

async function api(method: string, path: string, body?: unknown): Promise<Json> {
  const response = await fetch(`${baseUrl}${path}`, {
    method,
    headers: { authorization: `Bearer ${key}`, "content-type": "application/json" },
    ...(body !== undefined && { body: JSON.stringify(body) }),
  });
  const answer = (await response.json()) as Json;
  expect([response.status, answer]).toEqual([response.ok ? response.status : 200, answer]);
  return answer;
}

/** The official client at the gateway's server, in one of the eras of the protocol. `onQuestion`: a person's answer. */
async function connect(mode: "auto" | "legacy", path = "/mcp", onQuestion?: () => Json): Promise<Client> {
  const client = new Client(
    { name: "test", version: "1" },
    { capabilities: onQuestion === undefined ? {} : { elicitation: { form: {} } }, versionNegotiation: { mode } },
  );
  if (onQuestion !== undefined) client.setRequestHandler("elicitation/create", () => onQuestion() as never);
  const headers = { authorization: `Bearer ${key}` };
  await client.connect(new StreamableHTTPClientTransport(new URL(`${baseUrl}${path}`), { requestInit: { headers } }));
  return client;
}

describe.each(["auto", "legacy"] as const)("the official client at /mcp (%s)", (mode) => {
  it("lists the tools and calls one", async () => {
    const client = await connect(mode);
    const { tools } = await client.listTools();
    expect(tools.map(({ name }) => name)).toEqual(["time", "web_fetch"]);
    const { content, isError } = await client.callTool({ name: "time", arguments: { time_zone: "Asia/Tokyo" } });
    expect([isError, content]).toEqual([
      false,
      [{ type: "text", text: expect.stringContaining("Asia/Tokyo") as string }],
    ]);
    await expect(client.callTool({ name: "nothing", arguments: {} })).rejects.toThrow("nothing");
    await client.close();
  });
});

it("the official client passes on what a person decides", async () => {
  await api("POST", "/v1/harnesses", {
    name: "asks",
    model: "demo",
    tools: [{ native: "time" }],
    policy: [{ tool: "time", do: "ask" }],
  });
  let answers = 0;
  const allowing = await connect("auto", "/mcp/harness_asks", () => {
    answers++;
    return { action: "accept", content: { allow: true } };
  });
  const { content, isError } = await allowing.callTool({ name: "time", arguments: {} });
  expect([isError, answers, content]).toEqual([
    false,
    1,
    [{ type: "text", text: expect.stringContaining("UTC") as string }],
  ]);
  const refusing = await connect("auto", "/mcp/harness_asks", () => ({ action: "decline" }));
  expect(await refusing.callTool({ name: "time", arguments: {} })).toMatchObject({ isError: true });
  const silent = await connect("auto", "/mcp/harness_asks");
  const waiting = await silent.callTool({ name: "time", arguments: {} });
  expect([waiting.isError, JSON.stringify(waiting.content)]).toEqual([true, expect.stringContaining("ckpt_")]);
  await Promise.all([allowing, refusing, silent].map((client) => client.close()));
});

describe("a run with the tools of server-everything", () => {
  let end: (() => Promise<void>) | undefined;
  beforeAll(async () => {
    end = await startEverything(new URL(toolsUrl).port);
  });
  afterAll(() => end?.());

  /** A run that calls one tool; `answer`: to the questions of the server. */
  async function run(name: string, args: Json, answer?: Json): Promise<Json> {
    const started = await fetch(`${baseUrl}/v1/runs:stream`, {
      method: "POST",
      headers: { authorization: `Bearer ${key}`, "content-type": "application/json" },
      body: JSON.stringify({
        model: "demo",
        input: `Please call all__${name} with ${JSON.stringify(args)}`,
        servers: { all: { url: `${toolsUrl}/mcp` } },
        tools: [{ type: "mcp", server: "all", policy: "allow" }],
      }),
    });
    const id = started.headers.get("x-rhone-run-id")!;
    let text = "";
    const decoder = new TextDecoder();
    const answered = new Set<string>();
    for await (const chunk of started.body!) {
      text += decoder.decode(chunk, { stream: true });
      for (const [, checkpoint] of text.matchAll(/"checkpoint.created".*?"id":"(ckpt_\w+)"/g)) {
        if (answered.has(checkpoint!)) continue;
        answered.add(checkpoint!);
        await api("POST", `/v1/checkpoints/${checkpoint!}:resolve`, answer);
      }
    }
    expect(await api("GET", `/v1/runs/${id}`)).toMatchObject({ status: "completed" });
    const { data } = (await api("GET", `/v1/runs/${id}/tool-executions`)) as { data: Json[] };
    return data[0]!;
  }

  it.each([
    ["echo", { message: "Hello" }, "Echo: Hello"],
    ["get-sum", { a: 2, b: 40 }, "42"],
    ["get-tiny-image", {}, "image"],
    ["get-structured-content", { location: "New York" }, "temperature"],
    ["get-annotated-message", { messageType: "success", includeImage: true }, "successful"],
    ["get-resource-links", { count: 2 }, "resource"],
    ["get-resource-reference", { resourceType: "Text", resourceId: 1 }, "esource"],
    ["get-env", {}, "PATH"],
    ["trigger-long-running-operation", { duration: 1, steps: 2 }, "completed"],
  ])("calls %s", async (name, args, text) => {
    const { status, result } = await run(name, args);
    expect([status, result]).toEqual(["succeeded", expect.stringContaining(text)]);
  });

  it("answers what a tool asks a person", async () => {
    const content = { name: "Ada", check: true };
    const { status, result } = await run("trigger-elicitation-request", {}, { decision: "answer", content });
    expect([status, result]).toEqual(["succeeded", expect.stringContaining("Ada")]);
  });
});
