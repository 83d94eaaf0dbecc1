import {
  Agent,
  type AgentInputItem,
  MemorySession,
  OpenAIChatCompletionsModel,
  OpenAIResponsesModel,
  run,
  type Session,
  setTracingDisabled,
  StreamedRunResult,
  tool,
} from "@openai/agents";
import OpenAI from "openai";
import { beforeAll, describe, expect, it } from "vitest";
import { z } from "zod";
import { writePlan } from "../fake/plan.ts";
import { baseUrl } from "./gateway.ts";
import { newHarnessKey } from "./harness-key.ts";

setTracingDisabled(true);

let ownKey = "";
let recognisingKey = "";
beforeAll(async () => {
  const harness = { tools: [{ type: "native", name: "time" }] };
  ownKey = await newHarnessKey("agents-sdk", harness);
  const defaults = { harness: "harness_agents-sdk-2", conversation: "transcript" };
  recognisingKey = await newHarnessKey("agents-sdk-2", harness, { defaults });
});

const time = { name: "time", args: {} };
const weather = (city: string): object => ({ name: "weather", args: { city } });
const plan = (...steps: unknown[]): string => writePlan(steps as never);
const FIRST = plan([time], [weather("Lyon")], [time, weather("Rome")], "Sun.");
const SECOND = plan([time], [weather("Oslo")], "Snow.");

type Api = "chat" | "responses";

/** An agent with a tool of its own. `cities`: those that the tool was called for. */
function openAgent(api: Api, headers: Record<string, string> = {}, apiKey = ownKey) {
  const client = new OpenAI({ baseURL: `${baseUrl}/v1`, apiKey, maxRetries: 0, defaultHeaders: headers });
  const Model = api === "chat" ? OpenAIChatCompletionsModel : OpenAIResponsesModel;
  const cities: string[] = [];
  const own = tool({
    name: "weather",
    description: "The weather of a city",
    parameters: z.object({ city: z.string() }),
    execute: ({ city }) => {
      cities.push(city);
      return "22 degrees";
    },
  });
  const model = new Model(client, api === "chat" ? "fake/plan" : "fakeresp/plan");
  return { agent: new Agent({ name: "helper", instructions: "Help.", model, tools: [own] }), client, cities };
}

/** The names of the calls among the items of a result. */
const callsIn = (items: readonly AgentInputItem[]): string[] =>
  items.flatMap((item) => (item.type === "function_call" ? [item.name] : []));

/** What comes of a question, to the end of all that the agent does for it. */
async function ask(
  agent: Agent,
  input: string | AgentInputItem[],
  { stream, ...options }: { stream: boolean; session?: Session; conversationId?: string },
): Promise<{ text: unknown; history: AgentInputItem[] }> {
  const ended = stream ? await run(agent, input, { ...options, stream: true }) : await run(agent, input, options);
  if (ended instanceof StreamedRunResult) await ended.completed;
  return { text: ended.finalOutput, history: ended.history };
}

describe.each<Api>(["chat", "responses"])("the Agents SDK on %s", (api) => {
  it.each([false, true])("runs its own tools, and not the gateway's (stream: %s)", async (stream) => {
    const { agent, cities } = openAgent(api);
    const first = await ask(agent, FIRST, { stream });
    const second = await ask(agent, [...first.history, { role: "user", content: SECOND }], { stream });
    expect([first.text, second.text]).toEqual(["Sun.", "Snow."]);
    expect(new Set(cities)).toEqual(new Set(["Lyon", "Rome", "Oslo"]));
    expect(new Set(callsIn(second.history))).toEqual(new Set(["weather"]));
  });

  it.each([false, true])("goes on in the conversation that it names (stream: %s)", async (stream) => {
    const { agent, cities } = openAgent(api, { "x-rhone-conversation-id": `${api} ${stream}` });
    const session = new MemorySession();
    const texts = [await ask(agent, FIRST, { stream, session }), await ask(agent, SECOND, { stream, session })];
    expect(texts.map(({ text }) => text)).toEqual(["Sun.", "Snow."]);
    // The model has seen what the gateway's tools have returned.
    expect(cities).toEqual(["Lyon", "Rome", "Oslo"]);
  });

  it("goes on in the conversation that its key recognises", async () => {
    const { agent, cities } = openAgent(api, {}, recognisingKey);
    const first = await ask(agent, FIRST, { stream: true });
    const second = await ask(agent, [...first.history, { role: "user", content: SECOND }], { stream: false });
    expect([first.text, second.text, cities]).toEqual(["Sun.", "Snow.", ["Lyon", "Rome", "Oslo"]]);
  });

  it("keeps what it has got in a session of its own", async () => {
    const { agent } = openAgent(api);
    const session = new MemorySession();
    const texts = [
      await ask(agent, FIRST, { stream: false, session }),
      await ask(agent, SECOND, { stream: true, session }),
    ];
    expect(texts.map(({ text }) => text)).toEqual(["Sun.", "Snow."]);
    expect(new Set(callsIn(await session.getItems()))).toEqual(new Set(["weather"]));
  });
});

it.each([false, true])("the Agents SDK goes on from a conversation of the gateway (stream: %s)", async (stream) => {
  const { agent, client, cities } = openAgent("responses");
  const { id: conversationId } = await client.conversations.create();
  for (const [question, answer] of [
    [FIRST, "Sun."],
    [SECOND, "Snow."],
  ] as const)
    expect((await ask(agent, question, { stream, conversationId })).text).toBe(answer);
  expect(cities).toEqual(["Lyon", "Rome", "Oslo"]);
});
