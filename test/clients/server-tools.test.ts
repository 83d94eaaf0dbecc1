import { createOpenAI } from "@ai-sdk/openai";
import Anthropic from "@anthropic-ai/sdk";
import { betaZodTool } from "@anthropic-ai/sdk/helpers/beta/zod";
import { GoogleGenAI } from "@google/genai";
import { generateText, isStepCount, streamText, tool } from "ai";
import OpenAI from "openai";
import { beforeAll, describe, expect, it } from "vitest";
import { z } from "zod";
import { writePlan } from "../fake/plan.ts";
import { baseUrl } from "./gateway.ts";
import { newHarnessKey } from "./harness-key.ts";

/** A key whose calls have the tools of a harness. */
let apiKey = "";
beforeAll(async () => {
  apiKey = await newHarnessKey("sdk", { tools: [{ type: "native", name: "time" }] }, { scopes: ["inference"] });
});

const time = { name: "time", args: {} };
const weather = { name: "weather", args: { city: "Lyon" } };
const PLAN = writePlan([[time], [weather], "Sun."]);
const TIME_ONLY = writePlan([[time], "Late."]);
const city = z.object({ city: z.string() });

let sessions = 0;
/** A session of the client's own: in it the model sees what the gateway's tools have returned to earlier steps. */
const newSession = (): Record<string, string> => ({
  "x-rhone-session-id": `sess_sdk-${++sessions}`,
  "x-rhone-session-create": "true",
});

/** The cities that the client's own tool was called for. */
const cities: string[] = [];
const run = ({ city: name }: { city: string }): string => {
  cities.push(name);
  return "22 degrees";
};

const runnable = {
  type: "function" as const,
  function: {
    name: "weather",
    description: "The weather of a city",
    parameters: { type: "object", properties: { city: { type: "string" } }, required: ["city"] },
    parse: JSON.parse as (text: string) => { city: string },
    function: run,
  },
};

describe("OpenAI's client", () => {
  const openai = (): OpenAI =>
    new OpenAI({ baseURL: `${baseUrl}/v1`, apiKey, maxRetries: 0, defaultHeaders: newSession() });

  it("runs its own tools, and not the gateway's", async () => {
    const names: string[] = [];
    const runner = openai()
      .chat.completions.runTools({
        model: "fake/plan",
        messages: [{ role: "user", content: PLAN }],
        stream: true,
        tools: [runnable],
      })
      .on("functionToolCall", ({ name }) => void names.push(name));
    expect(await runner.finalContent()).toContain("Sun.");
    expect(names).toEqual(["weather"]);
  });

  it("reads a stream of Chat and one of Responses", async () => {
    const chat = openai().chat.completions.stream({
      model: "fake/plan",
      messages: [{ role: "user", content: TIME_ONLY }],
    });
    expect(await chat.finalContent()).toBe("Let me look.\n\nLate.");
    const responses = openai().responses.stream({ model: "fakeresp/plan", input: TIME_ONLY });
    const { output, output_text: text } = await responses.finalResponse();
    expect(text).toBe("Let me look.Late.");
    expect(output.map(({ type }) => type)).not.toContain("function_call");
  });
});

describe("Anthropic's client", () => {
  const anthropic = (): Anthropic =>
    new Anthropic({ baseURL: baseUrl, apiKey, maxRetries: 0, defaultHeaders: newSession() });

  it("reads a stream", async () => {
    const stream = anthropic().messages.stream({
      model: "fakeanth/plan",
      max_tokens: 99,
      messages: [{ role: "user", content: TIME_ONLY }],
    });
    const { content, stop_reason: reason } = await stream.finalMessage();
    expect(content.flatMap((block) => (block.type === "text" ? [block.text] : [])).join("")).toBe(
      "Let me look.\n\nLate.",
    );
    expect([reason, content.some(({ type }) => type === "tool_use")]).toEqual(["end_turn", false]);
  });

  it.each([false, true])("runs its own tools (stream: %s)", async (stream) => {
    const runner = anthropic().beta.messages.toolRunner({
      model: "fakeanth/plan",
      max_tokens: 99,
      messages: [{ role: "user", content: PLAN }],
      tools: [betaZodTool({ name: "weather", description: "", inputSchema: city, run })],
      ...(stream && { stream: true as never }),
    });
    const { content } = await runner.runUntilDone();
    expect(content).toContainEqual(expect.objectContaining({ type: "text", text: "Sun." }));
  });
});

it("Google's client reads whole answers and streams", async () => {
  const { models } = new GoogleGenAI({ apiKey, httpOptions: { baseUrl } });
  const request = { model: "fakegem/plan", contents: TIME_ONLY };
  const whole = await models.generateContent(request);
  expect([whole.text, whole.functionCalls]).toEqual(["Let me look.\n\nLate.", undefined]);
  let text = "";
  for await (const chunk of await models.generateContentStream(request)) text += chunk.text ?? "";
  expect(text).toBe("Let me look.\n\nLate.");
});

describe("the AI SDK", () => {
  const own = { weather: tool({ inputSchema: city, execute: run }) };
  const models = () => {
    const provider = createOpenAI({ baseURL: `${baseUrl}/v1`, apiKey });
    return [provider.chat("fake/plan"), provider.responses("fakeresp/plan")];
  };

  it("runs its own tools in steps of its own", async () => {
    for (const model of models()) {
      const options = {
        model,
        prompt: PLAN,
        tools: own,
        stopWhen: isStepCount(4),
        maxRetries: 0,
        headers: newSession(),
      };
      const { text, steps } = await generateText(options);
      expect(text).toBe("Sun.");
      expect(steps.flatMap(({ toolCalls }) => toolCalls.map(({ toolName }) => toolName))).toEqual(["weather"]);
      expect(await streamText({ ...options, headers: newSession() }).text).toBe("Sun.");
    }
  });
});

it("no call of the gateway's tools came to a client", () => {
  expect(new Set(cities)).toEqual(new Set(["Lyon"]));
});
