type Message = { role: string; content: string | null; [member: string]: unknown };

/** How many tools a coding agent has, and how many characters describe one. */
const TOOLS = 30;
const DESCRIPTION = 600;

/**
 * A Chat request as coding agents send it, of this size: thirty tools (30 KiB), then files that were read and edited, as
 * calls and results in turn, whose code is full of quotes and line ends. Always the same for the same size.
 */
export function buildAgentRequest(bytes: number): { messages: Message[]; tools: object[] } {
  const tools = Array.from({ length: TOOLS }, (_, i) => buildTool(i));
  const messages: Message[] = [
    { role: "system", content: "You edit code.\n" + 'Use "tools" with care.\n'.repeat(200) },
    { role: "user", content: "Please fix the bug in the parser." },
  ];
  for (let size = JSON.stringify({ messages, tools }).length, i = 0; size < bytes; i++) {
    const step = buildStep(i);
    messages.push(...step);
    size += JSON.stringify(step).length;
  }
  return { messages, tools };
}

const buildTool = (i: number): object => ({
  type: "function",
  function: {
    name: `tool_${i}`,
    description: `Does thing ${i}.\n${'- be careful with "this"\n'.repeat(DESCRIPTION / 25)}`,
    parameters: {
      type: "object",
      properties: Object.fromEntries(
        Array.from({ length: 5 }, (_, k) => [`param_${k}`, { type: "string", description: `parameter number ${k}` }]),
      ),
      required: ["param_0"],
      additionalProperties: false,
    },
  },
});

/** A call and its result: a file is read or, every other time, edited. */
function buildStep(i: number): [Message, Message] {
  const id = `call_${String(i).padStart(24, "0")}`;
  const input = { param_0: `/repo/src/file${i}.ts`, param_1: i % 2 === 1 ? buildCode(i, 600) : "x" };
  const call = { id, type: "function", function: { name: `tool_${i % TOOLS}`, arguments: JSON.stringify(input) } };
  return [
    { role: "assistant", content: i % 3 === 0 ? "Let me look at this file." : null, tool_calls: [call] },
    { role: "tool", tool_call_id: id, content: buildCode(i, 1500 + (i % 4) * 1500) },
  ];
}

function buildCode(i: number, length: number): string {
  let code = "";
  for (let k = 0; code.length < length; k++)
    code += `  ${k}\tconst value${i}_${k} = compute("arg-${k}", { deep: [${k}, ${k * 7}], path: "src/file${i}.ts" });\n`;
  return code.slice(0, length);
}
