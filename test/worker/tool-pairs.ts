import { expect } from "vitest";

export type Body = Record<string, unknown>;
type Items = Record<string, ReturnType<typeof JSON.parse>>[];

const parameters = { type: "object", properties: { city: { type: "string" } } };

export const CHAT_TOOLS = [{ type: "function", function: { name: "get_weather", parameters } }];
export const ANTHROPIC_TOOLS = [{ name: "get_weather", input_schema: parameters }];
export const RESPONSES_TOOLS = [{ type: "function", name: "get_weather", parameters }];

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
