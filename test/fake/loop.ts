import type { Call, Scene } from "./scene.ts";

type Json = ReturnType<typeof JSON.parse>;

/** One step of a conversation with tools, on any wire. Gemini's calls and results need no id. */
export type Step =
  | { kind: "question"; text: string }
  | { kind: "call"; id: string | undefined; name: string; args: string }
  | { kind: "result"; id: string | undefined; name?: string; text: string };

/** The questions, calls and results of a request's body on any wire, in their order. */
export function stepsOf({ messages, contents, input }: Json): Step[] {
  if (contents !== undefined)
    return contents.flatMap(({ parts, role }: Json) => parts.flatMap((part: Json) => geminiSteps(part, role)));
  if (messages !== undefined) return messages.flatMap(messageSteps);
  return typeof input === "string" ? [{ kind: "question", text: input }] : input.flatMap(itemSteps);
}

function geminiSteps({ functionCall, functionResponse, text }: Json, role: string): Step[] {
  if (functionCall !== undefined) {
    const { id, name, args } = functionCall;
    return [{ kind: "call", id, name, args: JSON.stringify(args) }];
  }
  if (functionResponse !== undefined) {
    const { id, name, response } = functionResponse;
    return [{ kind: "result", id, name, text: JSON.stringify(response) }];
  }
  return role !== "model" && text !== undefined ? [{ kind: "question", text }] : [];
}

/** Chat's and Anthropic's. */
function messageSteps({ role, content, tool_calls = [], tool_call_id }: Json): Step[] {
  if (role === "tool") return [{ kind: "result", id: tool_call_id, text: JSON.stringify(content) }];
  const blocks = typeof content === "string" ? [{ type: "text", text: content }] : (content ?? []);
  if (role !== "assistant")
    return blocks.map(({ type, tool_use_id, content, text }: Json) =>
      type === "tool_result"
        ? { kind: "result", id: tool_use_id, text: JSON.stringify(content) }
        : { kind: "question", text: text ?? "" },
    );
  return [
    ...blocks.flatMap(({ type, id, name, input }: Json) =>
      type === "tool_use" ? [{ kind: "call", id, name, args: JSON.stringify(input) }] : [],
    ),
    ...tool_calls.map(({ id, function: own, custom }: Json) => ({
      kind: "call",
      id,
      name: (own ?? custom).name,
      args: own?.arguments ?? custom.input,
    })),
  ];
}

/** Those of Responses. */
function itemSteps({ type, role, content, call_id: id, name, arguments: args, input, output }: Json): Step[] {
  if (type === "function_call" || type === "custom_tool_call") return [{ kind: "call", id, name, args: args ?? input }];
  if (type === "function_call_output" || type === "custom_tool_call_output")
    return [{ kind: "result", id, text: JSON.stringify(output) }];
  return role === undefined || role === "assistant" ? [] : [{ kind: "question", text: JSON.stringify(content) }];
}

/** For each question so many rounds of calls, then a text. */
const ROUNDS = 2;
const PLACES = ["Paris", "Oslo", "Rome"];

/**
 * The next step of a model that calls tools: two rounds of three parallel calls for each question (two of the first tool,
 * one of the second), every one about a place of its own. A result must name the place of its call. The ids of the model
 * `loop-repeat` are the same in every round, as those of some hosts are; `loop-dots` has ids with dots and colons, and
 * `loop-long` longer ones than other providers take.
 */
export function nextStep(raw: string): Scene {
  const body: Json = JSON.parse(raw);
  const steps = stepsOf(body);
  const calls = steps.filter((step) => step.kind === "call");
  const wrong = findWrongResult(steps);
  if (wrong !== undefined) return { text: `Wrong: ${wrong}` };
  const since = steps.slice(steps.findLastIndex(({ kind }) => kind === "question") + 1);
  if (since.filter(({ kind }) => kind === "call").length >= ROUNDS * PLACES.length)
    return { text: `All ${calls.length} results are at their calls.` };
  const round = calls.length / PLACES.length;
  const tools = toolsOf(body);
  return {
    ...(round % ROUNDS === 0 && { thinking: "Let me think." }),
    text: "Let me look.",
    calls: PLACES.map((place, i): Call => {
      const { name, isText, isCustom } = tools[i < 2 ? 0 : tools.length - 1]!;
      const id = idOf(String(body.model), i);
      const about = `${place} ${round}`;
      return { id, name, args: isText ? { input: about } : { city: about }, ...(isCustom && { isCustom }) };
    }),
  };
}

/** What is wrong with the first result that is not at its call, or is none. */
function findWrongResult(steps: readonly Step[]): string | undefined {
  let open: Extract<Step, { kind: "call" }>[] = [];
  for (const step of steps) {
    if (step.kind === "call") open.push(step);
    if (step.kind !== "result") continue;
    const call = open.find(({ id, name }) => (step.id === undefined ? name === step.name : id === step.id));
    open = open.filter((one) => one !== call);
    const place = call === undefined ? "a call" : /(Paris|Oslo|Rome) \d+/.exec(call.args)?.[0];
    if (place === undefined || !step.text.includes(place)) return `${step.text} is not the result of ${call?.args}`;
  }
  return undefined;
}

const made = { calls: 0 };
function idOf(model: string, i: number): string {
  if (model.startsWith("loop-repeat")) return `call_${i}`;
  const count = ++made.calls;
  if (model.startsWith("loop-long")) return `call_${"x".repeat(80)}_${count}`;
  return model.startsWith("loop-dots") ? `functions.look:${count}` : `call_loop_${count}`;
}

type Offered = { name: string; isText: boolean; isCustom: boolean; namespace?: string };

/** The tools of the request, in its order. `isText`: it takes one text, `input`; `isCustom`: as a custom tool. */
export function toolsOf({ tools = [] }: Json): Offered[] {
  return tools.flatMap((tool: Json): Offered[] => {
    if (tool.type === "namespace") return toolsOf(tool).map((one) => ({ ...one, namespace: tool.name }));
    const isCustom = tool.type === "custom" && tool.input_schema === undefined;
    const declared = tool.functionDeclarations ?? [tool.function ?? tool.custom ?? tool];
    return declared.map((one: Json) => ({
      name: one.name,
      isText: isCustom || JSON.stringify(one).includes('"input":{'),
      isCustom,
    }));
  });
}
