import OpenAI from "openai";
import type { ChatCompletionMessageCustomToolCall } from "openai/resources/chat/completions";
import type {
  ResponseInputItem,
  ResponseOutputItem,
  Tool,
  ToolChoiceAllowed,
} from "openai/resources/responses/responses";
import { describe, expect, it } from "vitest";
import { baseUrl, key } from "./gateway.ts";
import { PROVIDERS } from "./matrix.ts";

/**
 * Agents with a freeform tool over every provider: Responses as Codex calls it (`apply_patch` with a grammar, tools in
 * namespaces, tools that only OpenAI has), and Chat. The scripted model (`test/fake/loop.ts`) answers two questions, each
 * after two rounds of three calls, of the first tool twice and of the last one, and reads whether each result is at its call.
 */
const openai = new OpenAI({ baseURL: `${baseUrl}/v1`, apiKey: key, maxRetries: 0, logLevel: "off" });
const QUESTIONS = ["First question", "Second question"];
const DONE = ["All 6 results are at their calls.", "All 12 results are at their calls."];
const SCHEMA = { type: "object", properties: { city: { type: "string" } }, required: ["city"] };
const GRAMMAR = { syntax: "lark" as const, definition: 'start: "*** Begin Patch" LF\n' };
const LONG = `mcp__${"x".repeat(59)}`;
const cityIn = (args: string): string => (JSON.parse(args) as { city: string }).city;
/** A stateless answer over the provider's own dialect is its bytes, without a session. */
const sessionOf = (answer: object): string => (answer as { rhone?: { session_id: string } }).rhone?.session_id ?? "";

/** How the conversation is kept: by the last response, in a session, by the client. */
const MODES = ["response", "session", "stateless"] as const;
type Mode = (typeof MODES)[number];
/** One provider for the whole conversation, or each in turn. */
const ROUTES = [...PROVIDERS.map((provider) => [provider]), [...PROVIDERS], [...PROVIDERS].toReversed()];
const rounds = (modes: readonly Mode[]) =>
  ROUTES.flatMap((route) =>
    modes.flatMap((mode) =>
      [false, true].map((stream) => ({ route: route.join(" → "), mode, stream, providers: route })),
    ),
  );

const headersOf = (mode: Mode, session: string | undefined): Record<string, string> => ({
  ...(mode === "stateless" && { "x-rhone-context-mode": "stateless" }),
  ...(mode === "session" && session !== undefined && { "x-rhone-session-id": session }),
});

const CODEX_TOOLS = [
  {
    type: "namespace",
    name: "mcp__files",
    description: "Files",
    tools: [{ type: "function", name: "read", description: "Reads", parameters: SCHEMA, strict: false }],
  },
  { type: "function", name: LONG, parameters: SCHEMA, strict: false },
  { type: "local_shell" },
  { type: "web_search" },
  { type: "custom", name: "apply_patch", description: "Edits files", format: { type: "grammar", ...GRAMMAR } },
] as Tool[];
const ALLOWED = {
  type: "allowed_tools",
  mode: "auto",
  tools: [
    { type: "function", name: "read", namespace: "mcp__files" },
    { type: "custom", name: "apply_patch" },
  ],
} as ToolChoiceAllowed;

describe.each(rounds(MODES))("openai responses to $route, $mode, streamed: $stream", ({ providers, mode, stream }) => {
  it.each([
    ["all tools", undefined],
    ["some allowed tools", ALLOWED],
  ])("a loop over a freeform tool and a namespace runs to its end, with %s", async (_, choice) => {
    const transcript: ResponseInputItem[] = [];
    const texts: string[] = [];
    let previous: OpenAI.Responses.Response | undefined;
    let requests = 0;
    for (const content of QUESTIONS) {
      let added: ResponseInputItem[] = [{ role: "user", content }];
      while (added.length > 0) {
        transcript.push(...added);
        const body = {
          model: `${providers[requests++ % providers.length]}/loop`,
          input: mode === "stateless" ? transcript : added,
          tools: CODEX_TOOLS,
          ...(choice && { tool_choice: choice }),
          ...(mode === "response" && previous && { previous_response_id: previous.id }),
        };
        const headers = headersOf(mode, previous && sessionOf(previous));
        const answer = stream ? await readResponse(body, headers) : await openai.responses.create(body, { headers });
        previous = answer;
        transcript.push(...(answer.output as ResponseInputItem[]));
        added = answer.output.flatMap(toOutput);
        if (added.length === 0) texts.push(answer.output_text);
      }
    }
    expect(texts).toEqual(DONE);
  });
});

/** The streamed answer, whose deltas have the whole text of each custom call. */
async function readResponse(
  body: OpenAI.Responses.ResponseCreateParamsNonStreaming,
  headers: Record<string, string>,
): Promise<OpenAI.Responses.Response> {
  const stream = openai.responses.stream({ ...body, stream: true }, { headers });
  const inputs = new Map<string, string>();
  for await (const event of stream)
    if (event.type === "response.custom_tool_call_input.delta")
      inputs.set(event.item_id, (inputs.get(event.item_id) ?? "") + event.delta);
  const answer = await stream.finalResponse();
  for (const item of answer.output) if (item.type === "custom_tool_call") expect(inputs.get(item.id!)).toBe(item.input);
  return answer;
}

/** The result of a call, which must be that of one of the client's tools, as it defined them. */
function toOutput(item: ResponseOutputItem): ResponseInputItem[] {
  if (item.type === "custom_tool_call") {
    expect(item.name).toBe("apply_patch");
    return [{ type: "custom_tool_call_output", call_id: item.call_id, output: `patched ${item.input}` }];
  }
  if (item.type !== "function_call") return [];
  expect(item.name).toBe("read");
  return [{ type: "function_call_output", call_id: item.call_id, output: `read ${cityIn(item.arguments)}` }];
}

type ChatBody = OpenAI.ChatCompletionCreateParamsNonStreaming;
const CHAT_TOOLS: OpenAI.ChatCompletionTool[] = [
  { type: "function", function: { name: "read", parameters: SCHEMA } },
  { type: "function", function: { name: LONG, parameters: SCHEMA } },
  { type: "custom", custom: { name: "apply_patch", format: { type: "grammar", grammar: GRAMMAR } } },
];
const CHAT_ALLOWED: OpenAI.ChatCompletionToolChoiceOption = {
  type: "allowed_tools",
  allowed_tools: {
    mode: "auto",
    tools: [
      { type: "function", function: { name: "read" } },
      { type: "custom", custom: { name: "apply_patch" } },
    ],
  },
};

describe.each(rounds(["session", "stateless"]))(
  "openai chat to $route, $mode, streamed: $stream",
  ({ providers, mode, stream }) => {
    it.each([
      ["all tools", undefined],
      ["some allowed tools", CHAT_ALLOWED],
    ])("a loop over a freeform tool runs to its end, with %s", async (_, choice) => {
      const transcript: OpenAI.ChatCompletionMessageParam[] = [];
      const texts: string[] = [];
      let session: string | undefined;
      let requests = 0;
      for (const content of QUESTIONS) {
        let added: OpenAI.ChatCompletionMessageParam[] = [{ role: "user", content }];
        while (added.length > 0) {
          transcript.push(...added);
          const body = {
            model: `${providers[requests++ % providers.length]}/loop`,
            messages: mode === "stateless" ? transcript : added,
            tools: CHAT_TOOLS,
            ...(choice && { tool_choice: choice }),
          };
          const headers = headersOf(mode, session);
          const answer = stream ? await readCompletion(body, headers) : await complete(body, headers);
          session = answer.session;
          transcript.push(answer.message);
          added = (answer.message.tool_calls ?? []).map(toResult);
          if (added.length === 0) texts.push(answer.message.content as string);
        }
      }
      expect(texts).toEqual(DONE);
    });
  },
);

type Answer = { message: OpenAI.ChatCompletionAssistantMessageParam; session: string };

async function complete(body: ChatBody, headers: Record<string, string>): Promise<Answer> {
  const answer = await openai.chat.completions.create(body, { headers });
  return { message: answer.choices[0]!.message, session: sessionOf(answer) };
}

/** The SDK joins the pieces of functions only; those of custom tools have the same form. */
async function readCompletion(body: ChatBody, headers: Record<string, string>): Promise<Answer> {
  const calls: OpenAI.ChatCompletionMessageToolCall[] = [];
  let [content, session] = ["", ""];
  for await (const chunk of await openai.chat.completions.create({ ...body, stream: true }, { headers })) {
    if ("rhone" in chunk) session = sessionOf(chunk);
    const delta = chunk.choices[0]?.delta;
    content += delta?.content ?? "";
    for (const { index, ...piece } of delta?.tool_calls ?? []) {
      const call = piece as unknown as OpenAI.ChatCompletionMessageToolCall & { custom?: object };
      const before = calls[index];
      if (before === undefined) calls[index] = call;
      else if (before.type === "custom")
        before.custom.input += (call as ChatCompletionMessageCustomToolCall).custom.input;
      else before.function.arguments += (call as OpenAI.ChatCompletionMessageFunctionToolCall).function.arguments;
    }
  }
  return { message: { role: "assistant", content, ...(calls.length > 0 && { tool_calls: calls }) }, session };
}

function toResult(call: OpenAI.ChatCompletionMessageToolCall): OpenAI.ChatCompletionToolMessageParam {
  const isCustom = call.type === "custom";
  expect(isCustom ? call.custom.name : call.function.name).toBe(isCustom ? "apply_patch" : "read");
  const content = isCustom ? `patched ${call.custom.input}` : `read ${cityIn(call.function.arguments)}`;
  return { role: "tool", tool_call_id: call.id, content };
}
