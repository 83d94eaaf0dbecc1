import { createOpenAI } from "@ai-sdk/openai";
import Anthropic from "@anthropic-ai/sdk";
import { Agent, hostedMcpTool, OpenAIResponsesModel, run, setTracingDisabled } from "@openai/agents";
import { generateText } from "ai";
import OpenAI from "openai";
import { afterAll, beforeAll, describe, expect, inject, it } from "vitest";
import { writePlan } from "../fake/plan.ts";
import { startEverything } from "../support/mcp/everything.ts";
import { baseUrl, key as apiKey } from "./gateway.ts";

setTracingDisabled(true);

const origin = inject("namedUrl");
const serverUrl = `${origin}/mcp`;
/** A model that calls no servers. */
const model = "fake/plan";
const PLAN = writePlan([[{ name: "all__get-sum", args: { a: 2, b: 40 } }], "It is 42."]);

let end: (() => Promise<void>) | undefined;
beforeAll(async () => {
  end = await startEverything(new URL(origin).port);
});
afterAll(() => end?.());

const openai = (): OpenAI => new OpenAI({ baseURL: `${baseUrl}/v1`, apiKey, maxRetries: 0 });
const hosted = (require_approval: "always" | "never"): OpenAI.Responses.Tool => ({
  type: "mcp",
  server_label: "all",
  server_url: serverUrl,
  require_approval,
});

describe("OpenAI's client", () => {
  it("streams one response with the calls of a server", async () => {
    const stream = openai().responses.stream({ model, input: PLAN, tools: [hosted("never")] });
    const types: string[] = [];
    for await (const { type } of stream) types.push(type);
    const { output, output_text: text } = await stream.finalResponse();
    expect(output.map(({ type }) => type)).toEqual(["mcp_list_tools", "reasoning", "message", "mcp_call", "message"]);
    expect(output.find((item) => item.type === "mcp_call")).toMatchObject({
      name: "get-sum",
      output: expect.stringContaining("42") as string,
    });
    expect(text).toContain("It is 42.");
    expect(types).toContain("response.mcp_call.completed");
    expect(types.filter((type) => type === "response.completed")).toHaveLength(1);
  });

  it("approves a call", async () => {
    const tools = [hosted("always")];
    const first = await openai().responses.create({ model, input: PLAN, tools });
    const request = first.output.find((item) => item.type === "mcp_approval_request")!;
    const response = await openai().responses.create({
      model,
      input: [{ type: "mcp_approval_response", approval_request_id: request.id, approve: true }],
      tools,
      previous_response_id: first.id,
    });
    expect(response.output.map(({ type }) => type)).toEqual(["mcp_call", "message"]);
    expect(response.output_text).toBe("It is 42.");
  });
});

it.each(["always", "never"] as const)("the Agents SDK has its hosted tool called (approval: %s)", async (approval) => {
  const asked: string[] = [];
  const tool =
    approval === "never"
      ? hostedMcpTool({ serverLabel: "all", serverUrl, requireApproval: "never" })
      : hostedMcpTool({
          serverLabel: "all",
          serverUrl,
          requireApproval: "always",
          onApproval: (_, { rawItem }) => {
            asked.push((rawItem as { name: string }).name);
            return Promise.resolve({ approve: true });
          },
        });
  const agent = new Agent({ name: "helper", model: new OpenAIResponsesModel(openai(), model), tools: [tool] });
  const { finalOutput } = await run(agent, PLAN);
  expect(finalOutput).toContain("It is 42.");
  expect(asked).toEqual(approval === "never" ? [] : ["get-sum"]);
});

it("the AI SDK shows a call of a server as one that was made", async () => {
  const provider = createOpenAI({ baseURL: `${baseUrl}/v1`, apiKey });
  const mcp = provider.tools.mcp({ serverLabel: "all", serverUrl, requireApproval: "never" });
  const { text, steps } = await generateText({ model: provider.responses(model), prompt: PLAN, tools: { mcp } });
  expect(text).toContain("It is 42.");
  const calls = steps.flatMap(({ toolCalls }) => toolCalls);
  expect(calls).toMatchObject([{ toolName: "mcp.get-sum", providerExecuted: true }]);
});

it.each([false, true])("Anthropic's client shows calls of the servers that it names (stream: %s)", async (stream) => {
  const anthropic = new Anthropic({ baseURL: baseUrl, apiKey, maxRetries: 0 });
  const request = {
    model,
    max_tokens: 99,
    messages: [{ role: "user" as const, content: PLAN }],
    mcp_servers: [{ type: "url" as const, name: "all", url: serverUrl }],
    tools: [{ type: "mcp_toolset" as const, mcp_server_name: "all" }],
    betas: ["mcp-client-2025-11-20" as const],
  };
  const { content, stop_reason } = stream
    ? await anthropic.beta.messages.stream(request).finalMessage()
    : await anthropic.beta.messages.create(request);
  const shown = content.filter(({ type }) => type !== "thinking");
  expect(shown.map(({ type }) => type)).toEqual(["text", "mcp_tool_use", "mcp_tool_result", "text"]);
  expect(shown[1]).toMatchObject({ name: "get-sum", server_name: "all", input: { a: 2, b: 40 } });
  expect(stop_reason).toBe("end_turn");
});
