import { expect } from "vitest";
import type { Dialect, Message, ToolCall } from "../../src/canonical/types.ts";
import { DIALECTS } from "../../src/dialects/index.ts";
import type { Json, JsonObject } from "../../src/wire/json.ts";

export type Wire = Exclude<Dialect, "native">;
export const WIRES: readonly Wire[] = ["openai-chat", "openai-responses", "anthropic", "gemini"];

/** A call of the tool "look", by its number in the conversation. `id`: undefined where the wire has none (Gemini). */
export type Call = { id: string | undefined; n: number };
/** Its result, or a text of the client. */
export type Answer = { id: string | undefined; n: number } | { text: string };

/** A wire's own items, and what pairs calls and results in them. */
export const FORMS: Record<
  Wire,
  {
    calls: (calls: readonly Call[]) => Json[];
    answers: (answers: readonly Answer[]) => Json[];
    read: (items: readonly JsonObject[]) => Pairable[];
  }
> = {
  "openai-chat": {
    calls: (calls) => [
      {
        role: "assistant",
        content: null,
        tool_calls: calls.map(({ id, n }) => ({
          id: id!,
          type: "function",
          function: { name: "look", arguments: JSON.stringify({ n }) },
        })),
      },
    ],
    answers: (answers) =>
      answers.map((one) =>
        "text" in one
          ? { role: "user", content: one.text }
          : { role: "tool", tool_call_id: one.id!, content: `${one.n}` },
      ),
    read: (items) =>
      items.flatMap(({ tool_calls: calls, tool_call_id: id, content }): Pairable[] =>
        id === undefined
          ? ((calls ?? []) as JsonObject[]).map((call) => ({
              call: call.id,
              n: JSON.parse((call.function as { arguments: string }).arguments).n,
            }))
          : [{ result: id, n: Number(content) }],
      ),
  },
  "openai-responses": {
    calls: (calls) =>
      calls.map(({ id, n }) => ({
        type: "function_call",
        id: `fc_${n}`,
        call_id: id!,
        name: "look",
        arguments: JSON.stringify({ n }),
      })),
    answers: (answers) =>
      answers.map((one) =>
        "text" in one
          ? { type: "message", role: "user", content: one.text }
          : { type: "function_call_output", call_id: one.id!, output: `${one.n}` },
      ),
    read: (items) =>
      items.flatMap(({ type, call_id: id, arguments: args, output }): Pairable[] => {
        if (type === "function_call") return [{ call: id, n: JSON.parse(args as string).n }];
        return type === "function_call_output" ? [{ result: id, n: Number(output) }] : [];
      }),
  },
  anthropic: {
    calls: (calls) => [
      {
        role: "assistant",
        content: calls.map(({ id, n }) => ({ type: "tool_use", id: id!, name: "look", input: { n } })),
      },
    ],
    answers: (answers) => [
      {
        role: "user",
        content: answers.map((one) =>
          "text" in one
            ? { type: "text", text: one.text }
            : { type: "tool_result", tool_use_id: one.id!, content: `${one.n}` },
        ),
      },
    ],
    read: (items) =>
      items.flatMap(({ content }) =>
        typeof content === "string"
          ? []
          : (content as JsonObject[]).flatMap(({ type, id, tool_use_id: of, input, content: text }): Pairable[] => {
              if (type === "tool_use") return [{ call: id, n: (input as { n: number }).n }];
              return type === "tool_result" ? [{ result: of, n: Number(text) }] : [];
            }),
      ),
  },
  gemini: {
    calls: (calls) => [
      {
        role: "model",
        parts: calls.map(({ id, n }) => ({
          functionCall: { ...(id !== undefined && { id }), name: "look", args: { n } },
        })),
      },
    ],
    answers: (answers) => [
      {
        role: "user",
        parts: answers.map((one) =>
          "text" in one
            ? { text: one.text }
            : {
                functionResponse: {
                  ...(one.id !== undefined && { id: one.id }),
                  name: "look",
                  response: { result: `${one.n}` },
                },
              },
        ),
      },
    ],
    read: (items) =>
      items.flatMap(({ parts }) =>
        (parts as JsonObject[]).flatMap(({ functionCall: call, functionResponse: result }): Pairable[] => {
          if (call !== undefined)
            return [{ call: (call as JsonObject).id, n: (call as { args: { n: number } }).args.n }];
          if (result === undefined) return [];
          const { id, response } = result as { id?: string; response: { result: string } };
          return [{ result: id, n: Number(response.result) }];
        }),
      ),
  },
};

export type Pairable = { call: Json | undefined; n: number } | { result: Json | undefined; n: number };

/** Call and result numbers as the provider pairs them: by id, and without ids by order. Fails if one is alone. */
export function pairsOf(found: readonly Pairable[]): [call: number, result: number][] {
  const open: { call: Json | undefined; n: number }[] = [];
  const pairs: [number, number][] = [];
  for (const one of found) {
    if ("call" in one) {
      open.push(one);
      continue;
    }
    const at = open.findIndex(({ call }) => call === one.result);
    expect(at, `a result of no call: ${JSON.stringify(found)}`).toBeGreaterThanOrEqual(0);
    pairs.push([open.splice(at, 1)[0]!.n, one.n]);
  }
  expect(open).toEqual([]);
  return pairs;
}

/** The ids that providers give: their own, one of other characters, a long one, one that each answer counts anew. */
export const ID_STYLES: ((turn: number, i: number) => string)[] = [
  (turn, i) => `call_${turn}_${i}`,
  (turn, i) => `functions.look:${turn * 4 + i}`,
  (turn, i) => `${"long_".repeat(16)}${turn}_${i}`,
  (_, i) => `call_${i}`,
];

/** The ids of the calls of an answer, as a client of the surface receives them. */
export function idsAt(surface: Wire, messages: readonly Message[]): (string | undefined)[] {
  const finish = { reason: "tool_calls" } as const;
  const response = { id: "r", model: "m", messages: [...messages], finish, usage: {} };
  const body = DIALECTS[surface].encodeResponse(response, { created: 0, id: "resp_r", model: "m" });
  const decoded = DIALECTS[surface].decodeResponse(body).messages.flatMap(({ blocks }) => blocks);
  return decoded
    .filter((block): block is ToolCall => block.kind === "tool_call")
    .map(({ id, isIdAssigned }) => (isIdAssigned ? undefined : id));
}
