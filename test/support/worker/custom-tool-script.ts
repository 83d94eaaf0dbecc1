import { afterEach, expect, vi } from "vitest";
import { decodeSse } from "../../../src/wire/sse.ts";
import { request } from "./client.ts";

export type Body = Record<string, unknown>;
export const PATCH = '*** Begin Patch\n+ "é"\n*** End Patch';
export const LONG = `mcp__${"x".repeat(90)}`;
export const TOOLS = [
  { type: "custom", name: "apply_patch" },
  {
    type: "namespace",
    name: "mcp__files",
    description: "",
    tools: [{ type: "function", name: "read", parameters: {} }],
  },
  { type: "function", name: LONG, parameters: { type: "object" } },
];

/** Bodies that providers received. */
export const received: Body[] = [];
afterEach(() => {
  vi.restoreAllMocks();
  received.length = 0;
});

export type SentTool = {
  name?: string;
  function?: { name: string };
  custom?: { name: string };
  functionDeclarations?: { name: string }[];
};
/** Names of the tools in a provider's request. */
export const namesOf = ({ tools }: Body): string[] =>
  ((tools ?? []) as SentTool[]).flatMap(
    ({ name, function: own, custom, functionDeclarations: declared }) =>
      declared?.map((one) => one.name) ?? own?.name ?? custom?.name ?? name ?? [],
  );

export const sse = (events: object[], end = ""): string =>
  events
    .map((event) => `event: ${(event as { type?: string }).type ?? "message"}\ndata: ${JSON.stringify(event)}\n\n`)
    .join("") + end;

/** Answers that call all tools of the request, as each dialect has them; a request with results gets a text. */
export const PROVIDERS: Record<string, (names: string[], stream: boolean) => string | object> = {
  fakeanth: (names, stream) => {
    const inputs = names.map((_, i) => JSON.stringify(i === 0 ? { input: PATCH } : { path: "a" }));
    if (!stream)
      return {
        id: "msg_1",
        type: "message",
        role: "assistant",
        model: "m",
        stop_reason: "tool_use",
        usage: { input_tokens: 1, output_tokens: 1 },
        content: names.map((name, i) => ({
          type: "tool_use",
          id: `toolu_${i}`,
          name,
          input: JSON.parse(inputs[i]!) as object,
        })),
      };
    return sse([
      {
        type: "message_start",
        message: { id: "msg_1", model: "m", role: "assistant", content: [], usage: { input_tokens: 1 } },
      },
      ...names.flatMap((name, index) => [
        {
          type: "content_block_start",
          index,
          content_block: { type: "tool_use", id: `toolu_${index}`, name, input: {} },
        },
        ...inputs[index]!.split("").map((partial_json) => ({
          type: "content_block_delta",
          index,
          delta: { type: "input_json_delta", partial_json },
        })),
        { type: "content_block_stop", index },
      ]),
      { type: "message_delta", delta: { stop_reason: "tool_use" }, usage: { output_tokens: 1 } },
      { type: "message_stop" },
    ]);
  },
  fakegem: (names, stream) => {
    const chunk = {
      responseId: "r1",
      modelVersion: "m",
      usageMetadata: { promptTokenCount: 1, candidatesTokenCount: 1 },
      candidates: [
        {
          finishReason: "STOP",
          content: {
            role: "model",
            parts: names.map((name, i) => ({
              functionCall: { name, args: i === 0 ? { input: PATCH } : { path: "a" } },
              ...(i === 0 && { thoughtSignature: "c2ln" }),
            })),
          },
        },
      ],
    };
    return stream ? `data: ${JSON.stringify(chunk)}\n\n` : chunk;
  },
};
/** The answer of a host that has functions only: one call of each tool. */
export const callFunctions = (pathname: string, names: string[], stream: boolean): string | object => {
  const args = JSON.stringify({ input: PATCH });
  if (pathname.endsWith("/responses")) {
    const output = names.map((name, i) => ({
      type: "function_call",
      id: `fc_${i}`,
      call_id: `call_${i}`,
      status: "completed",
      name,
      arguments: args,
    }));
    const response = { ...TEXT.fakeresp, output };
    if (!stream) return response;
    return sse([
      { type: "response.created", response: { ...response, status: "in_progress", output: [] } },
      ...output.flatMap((item, output_index) => [
        { type: "response.output_item.added", output_index, item: { ...item, arguments: "" } },
        ...args.split("").map((delta) => ({
          type: "response.function_call_arguments.delta",
          item_id: item.id,
          output_index,
          delta,
        })),
        { type: "response.output_item.done", output_index, item },
      ]),
      { type: "response.completed", response },
    ]);
  }
  const calls = names.map((name, i) => ({ id: `call_${i}`, type: "function", function: { name, arguments: args } }));
  const head = { id: "c1", model: "m", object: stream ? "chat.completion.chunk" : "chat.completion" };
  if (!stream)
    return {
      ...head,
      choices: [
        { index: 0, finish_reason: "tool_calls", message: { role: "assistant", content: null, tool_calls: calls } },
      ],
    };
  const chunk = (delta: object, finish_reason: string | null = null): object => ({
    ...head,
    choices: [{ index: 0, delta, finish_reason }],
  });
  const deltas = calls.flatMap((call, index) => [
    { index, ...call, function: { name: call.function.name, arguments: "" } },
    ...args.split("").map((piece) => ({ index, function: { arguments: piece } })),
  ]);
  return sse([...deltas.map((delta) => chunk({ tool_calls: [delta] })), chunk({}, "tool_calls")], "data: [DONE]\n\n");
};
export const TEXT: Record<string, object> = {
  fakeanth: {
    id: "msg_2",
    type: "message",
    role: "assistant",
    model: "m",
    stop_reason: "end_turn",
    usage: {},
    content: [{ type: "text", text: "done" }],
  },
  fakegem: {
    responseId: "r2",
    candidates: [{ finishReason: "STOP", content: { role: "model", parts: [{ text: "done" }] } }],
  },
  fakeresp: {
    id: "resp_2",
    object: "response",
    status: "completed",
    model: "m",
    output: [
      {
        type: "message",
        id: "msg_2",
        role: "assistant",
        status: "completed",
        content: [{ type: "output_text", text: "done", annotations: [] }],
      },
    ],
  },
  fake: {
    id: "c2",
    model: "m",
    choices: [{ index: 0, finish_reason: "stop", message: { role: "assistant", content: "done" } }],
  },
};

/** `refusals`: how many requests are refused first. */
export function script(refusals = 0): void {
  vi.spyOn(globalThis, "fetch").mockImplementation(async (input, init) => {
    const sent = new Request(input, init);
    const body = (await sent.json()) as Body;
    received.push(body);
    if (received.length <= refusals) return Response.json({ error: { message: "broken" } }, { status: 500 });
    const { pathname } = new URL(sent.url);
    const provider = pathname.endsWith("/messages")
      ? "fakeanth"
      : pathname.includes("enerateContent")
        ? "fakegem"
        : pathname.endsWith("/responses")
          ? "fakeresp"
          : "fake";
    const isAnswered = /"(tool_result|functionResponse|tool_call_id|function_call_output)"/.test(JSON.stringify(body));
    const stream = body.stream === true || pathname.includes("stream");
    const names = namesOf(body);
    const answer = isAnswered
      ? TEXT[provider]!
      : (PROVIDERS[provider]?.(names, stream) ?? callFunctions(pathname, names, stream));
    return typeof answer === "string"
      ? new Response(answer, { headers: { "content-type": "text/event-stream" } })
      : Response.json(answer);
  });
}

export const get = async (path: string): Promise<Body> => (await (await request(path)).json()) as Body;

export const post = async (body: object): Promise<Body & { output: Body[]; rhone: { session_id: string } }> => {
  const response = await request("/v1/responses", { method: "POST", body: JSON.stringify(body) });
  const text = await response.text();
  expect(response.status, text).toBe(200);
  const whole = response.headers.get("content-type")?.includes("event-stream")
    ? (decodeSse(new TextEncoder().encode(text)).flatMap(({ data }) => {
        const event = JSON.parse(data ?? "{}") as { type?: string; response?: object };
        return event.type === "response.completed" ? { ...event.response, ...(event as { rhone?: object }) } : [];
      })[0] as object)
    : (JSON.parse(text) as object);
  return whole as never;
};
