import { request } from "../worker/client.ts";

const CALL = { id: "call_1", name: "send_mail", args: `{"who":"someone"}` };

/** A question, perhaps with the result of a call that the model has made for it. */
export type Asked = { texts: [question: string, result?: string]; rhone: object; stream: boolean; model: string };
type Surface = { path: (asked: Asked) => string; body: (asked: Asked) => object };

/** The tool of each request. */
export const tool = {
  name: CALL.name,
  description: "d",
  parameters: { type: "object", properties: { to: { type: "string" } } },
};

/** Requests of each surface, with a tool. */
export const SURFACES: Record<string, Surface> = {
  chat: {
    path: () => "/v1/chat/completions",
    body: ({ texts: [question, result], rhone, stream, model }) => ({
      model,
      stream,
      rhone,
      tools: [{ type: "function", function: tool }],
      messages: [
        { role: "user", content: question },
        ...(result === undefined
          ? []
          : [
              {
                role: "assistant",
                content: null,
                tool_calls: [{ id: CALL.id, type: "function", function: { name: CALL.name, arguments: CALL.args } }],
              },
              { role: "tool", tool_call_id: CALL.id, content: result },
            ]),
      ],
    }),
  },
  responses: {
    path: () => "/v1/responses",
    body: ({ texts: [question, result], rhone, stream, model }) => ({
      model,
      stream,
      rhone,
      tools: [{ type: "function", ...tool }],
      input: [
        { role: "user", content: question },
        ...(result === undefined
          ? []
          : [
              { type: "function_call", call_id: CALL.id, name: CALL.name, arguments: CALL.args },
              { type: "function_call_output", call_id: CALL.id, output: result },
            ]),
      ],
    }),
  },
  messages: {
    path: () => "/v1/messages",
    body: ({ texts: [question, result], rhone, stream, model }) => ({
      model,
      stream,
      rhone,
      max_tokens: 1000,
      tools: [{ name: CALL.name, input_schema: tool.parameters }],
      messages: [
        { role: "user", content: question },
        ...(result === undefined
          ? []
          : [
              {
                role: "assistant",
                content: [{ type: "tool_use", id: CALL.id, name: CALL.name, input: JSON.parse(CALL.args) as object }],
              },
              { role: "user", content: [{ type: "tool_result", tool_use_id: CALL.id, content: result }] },
            ]),
      ],
    }),
  },
  gemini: {
    path: ({ model, stream }) =>
      `/v1beta/models/${encodeURIComponent(model)}:${stream ? "streamGenerateContent?alt=sse" : "generateContent"}`,
    body: ({ texts: [question, result], rhone, model }) => ({
      model,
      rhone,
      tools: [{ functionDeclarations: [tool] }],
      contents: [
        { role: "user", parts: [{ text: question }] },
        ...(result === undefined
          ? []
          : [
              { role: "model", parts: [{ functionCall: { name: CALL.name, args: JSON.parse(CALL.args) as object } }] },
              { role: "user", parts: [{ functionResponse: { name: CALL.name, response: { result } } }] },
            ]),
      ],
    }),
  },
  native: {
    path: () => "/v1/calls",
    body: ({ texts: [question, result], rhone, stream, model }) => ({
      model,
      stream,
      tools: [tool],
      ...rhone,
      input: [
        { type: "input", text: question },
        ...(result === undefined
          ? []
          : [
              { type: "tool_call", id: CALL.id, name: CALL.name, arguments: CALL.args },
              { type: "tool_result", id: CALL.id, content: result },
            ]),
      ],
    }),
  },
};

/** The response to a request over HTTP, and its text. */
export async function askOver(surface: string, asked: Asked): Promise<{ response: Response; text: string }> {
  const { path, body } = SURFACES[surface]!;
  const response = await request(path(asked), {
    method: "POST",
    body: JSON.stringify(body(asked)),
    headers: { "anthropic-version": "2023-06-01" },
  });
  return { response, text: await response.text() };
}
