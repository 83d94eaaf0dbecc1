import { expect } from "vitest";
import { request, user } from "./client.ts";

export type Body = Record<string, unknown>;
type Items = Record<string, ReturnType<typeof JSON.parse>>[];

type Loop = {
  /** The question that the script "tools" answers with two calls of one tool, for Paris and for Rome. */
  ask: (model: string, stream: boolean, rhone: object) => Promise<Response>;
  /** The ids of calls in an answer, whole or streamed. */
  ids: RegExp;
  /** The results of calls, or a text. */
  send: (model: string, results: [id: string, text: string][] | string, rhone: object) => Promise<Response>;
  textOf: (body: never) => string;
};

export const call = (path: string, body: object): Promise<Response> =>
  request(path, { method: "POST", body: JSON.stringify(body), headers: { "anthropic-version": "2023-06-01" } });

export const LOOPS: Record<string, Loop> = {
  chat: {
    ask: (model, stream, rhone) =>
      call("/v1/chat/completions", { model, messages: [user("weather?")], tools: CHAT_TOOLS, stream, rhone }),
    ids: /"id":"(call_[^"]+)","type":"function"/g,
    send: (model, results, rhone) =>
      call("/v1/chat/completions", {
        model,
        messages:
          typeof results === "string"
            ? [user(results)]
            : results.map(([id, content]) => ({ role: "tool", tool_call_id: id, content })),
        tools: CHAT_TOOLS,
        rhone,
      }),
    textOf: ({ choices }: { choices: { message: { content: string } }[] }) => choices[0]!.message.content,
  },
  messages: {
    ask: (model, stream, rhone) =>
      call("/v1/messages", {
        model,
        max_tokens: 9,
        messages: [user("weather?")],
        tools: ANTHROPIC_TOOLS,
        stream,
        rhone,
      }),
    ids: /"type":"tool_use","id":"([^"]+)"/g,
    send: (model, results, rhone) =>
      call("/v1/messages", {
        model,
        max_tokens: 9,
        messages: [
          {
            role: "user",
            content:
              typeof results === "string"
                ? results
                : results.map(([id, content]) => ({ type: "tool_result", tool_use_id: id, content })),
          },
        ],
        tools: ANTHROPIC_TOOLS,
        rhone,
      }),
    textOf: ({ content }: { content: { text: string }[] }) => content[0]!.text,
  },
  responses: {
    ask: (model, stream, rhone) =>
      call("/v1/responses", { model, input: "weather?", tools: RESPONSES_TOOLS, stream, rhone }),
    ids: /"call_id":"(call_[\w-]{22})"/g,
    send: (model, results, rhone) =>
      call("/v1/responses", {
        model,
        input:
          typeof results === "string"
            ? results
            : results.map(([id, output]) => ({ type: "function_call_output", call_id: id, output })),
        tools: RESPONSES_TOOLS,
        rhone,
      }),
    textOf: ({ output }: { output: { content: { text: string }[] }[] }) => output[0]!.content[0]!.text,
  },
};

const parameters = { type: "object", properties: { city: { type: "string" } } };

export const CHAT_TOOLS = [{ type: "function", function: { name: "get_weather", parameters } }];
const ANTHROPIC_TOOLS = [{ name: "get_weather", input_schema: parameters }];
const RESPONSES_TOOLS = [{ type: "function", name: "get_weather", parameters }];

/** Calls and results in a provider's request, each with what pairs them there. */
export const READERS: Record<string, (body: Body) => { calls: [unknown, string][]; results: [unknown, string][] }> = {
  fake: ({ messages }) => ({
    calls: (messages as Items).flatMap(({ tool_calls }) =>
      ((tool_calls ?? []) as { id: string; function: { arguments: string } }[]).map(
        ({ id, function: { arguments: args } }): [string, string] => [id, cityOf(JSON.parse(args))],
      ),
    ),
    results: (messages as Items).flatMap(({ tool_call_id, content }) =>
      tool_call_id === undefined ? [] : [[tool_call_id, content]],
    ),
  }),
  fakeanth: ({ messages }) => {
    const blocks = (messages as Items).flatMap(({ content }) =>
      typeof content === "string" ? [] : (content as Items),
    );
    return {
      calls: blocks.flatMap(({ type, id, input }) => (type === "tool_use" ? [[id, cityOf(input)]] : [])),
      results: blocks.flatMap(({ type, tool_use_id, content }) =>
        type === "tool_result" ? [[tool_use_id, content]] : [],
      ),
    };
  },
  fakeresp: ({ input }) => ({
    calls: (input as Items).flatMap(({ type, call_id, arguments: args }) =>
      type === "function_call" ? [[call_id, cityOf(JSON.parse(args ?? ""))]] : [],
    ),
    results: (input as Items).flatMap(({ type, call_id, output }) =>
      type === "function_call_output" ? [[call_id, output]] : [],
    ),
  }),
  // Without ids, the results of one name are in the order of their calls.
  fakegem: ({ contents: items }) => {
    const parts = (items as Items).flatMap(({ parts: some }) => some as Items);
    const calls = parts.flatMap(({ functionCall }) => (functionCall === undefined ? [] : [functionCall as Items[0]]));
    const results = parts.flatMap(({ functionResponse }) =>
      functionResponse === undefined ? [] : [functionResponse as Items[0]],
    );
    return {
      calls: calls.map(({ id, name, args }, i) => [id ?? `${String(name)} ${i}`, cityOf(args)]),
      results: results.map(({ id, name, response }, i) => [
        id ?? `${String(name)} ${i}`,
        (response as { result?: string; error?: string }).result ?? (response as { error: string }).error,
      ]),
    };
  },
};

const cityOf = (args: unknown): string => (args as { city: string }).city;

/** City → result, as the provider pairs them; fails if a call or a result is alone. */
export function pairsIn(provider: string, body: Body): Record<string, string> {
  const { calls, results } = READERS[provider]!(body);
  const idsOf = (pairs: [unknown, string][]): string[] => pairs.map(([id]) => String(id)).toSorted();
  expect(idsOf(results)).toEqual(idsOf(calls));
  return Object.fromEntries(calls.map(([id, city]) => [city, results.find(([other]) => other === id)![1]]));
}
