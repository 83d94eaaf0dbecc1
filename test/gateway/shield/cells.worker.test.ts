import { beforeAll, describe, expect, it, vi } from "vitest";
import { writePlan } from "../../fake/plan.ts";
import { request } from "../../support/worker/client.ts";
import { saidIn } from "../../support/worker/said.ts";

const EMAIL = "jane.roe@corp-mail.com";
const CALL = { id: "call_1", name: "look", args: `{"who":"someone"}` };

type Asked = { texts: [question: string, result?: string]; rhone: object; stream: boolean; model: string };
type Surface = { path: (asked: Asked) => string; body: (asked: Asked) => object };

const tool = { name: CALL.name, description: "d", parameters: { type: "object" } };

/** A question, or one with a call and its result. */
const SURFACES: Record<string, Surface> = {
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

const STAGES = ["input", "tool_result", "output"] as const;
const MODES = ["off", "observe", "enforce"] as const;
const TRANSPORTS = ["whole", "streamed", "WebSocket"] as const;

/** What each stage's request says, with a value where the stage looks. */
const TEXTS: Record<(typeof STAGES)[number], { texts: Asked["texts"]; model: string }> = {
  input: { texts: [`I am ${EMAIL}.`], model: "fakeresp/mirror" },
  tool_result: { texts: ["Who is it?", `It is ${EMAIL}.`], model: "fakeresp/mirror" },
  output: { texts: [writePlan([`It is ${EMAIL}, I think.`])], model: "fakeresp/plan" },
};

/** The answer's bytes, and the call's id. */
async function ask(
  surface: string,
  transport: (typeof TRANSPORTS)[number],
  asked: Omit<Asked, "stream">,
): Promise<{ text: string; call: string }> {
  const { path, body } = SURFACES[surface]!;
  const whole = { ...asked, stream: transport !== "whole" };
  if (transport === "WebSocket") return await askSocket(surface, body(whole));
  const response = await request(path(whole), {
    method: "POST",
    body: JSON.stringify(body(whole)),
    headers: { "anthropic-version": "2023-06-01" },
  });
  const text = await response.text();
  expect([response.status, text.slice(0, 300)]).toEqual([200, expect.anything()]);
  return { text, call: response.headers.get("x-rhone-call-id")! };
}

async function askSocket(surface: string, body: object): Promise<{ text: string; call: string }> {
  const headers = { upgrade: "websocket", "sec-websocket-protocol": "rhone.ws.v1" };
  const { webSocket } = await request("/v1/ws", { headers });
  const heard: string[] = [];
  webSocket!.addEventListener("message", ({ data }) => void heard.push(data as string));
  webSocket!.accept();
  webSocket!.send(JSON.stringify({ type: "session.bind" }));
  webSocket!.send(JSON.stringify({ type: "call.create", id: "c", surface, request: body }));
  const last = await vi.waitFor(() => {
    const frames = heard.map((frame) => JSON.parse(frame) as { type: string; id?: string; call_id: string });
    const found = frames.find(({ type, id }) => id === "c" && /^(?:call\.(?:completed|failed)|error)$/.test(type));
    if (found === undefined) throw new Error(heard.join("\n"));
    return found;
  }, 10_000);
  webSocket!.close();
  expect([last.type, heard.join("\n")]).toEqual(["call.completed", expect.anything()]);
  return { text: heard.join("\n"), call: last.call_id };
}

const TAG = /PII_EMAIL_[A-Z2-7]{8}/;

beforeAll(async () => {
  for (const stage of STAGES)
    for (const mode of MODES) {
      const profile = { mode, stages: [stage], restore: "none", detectors: { email: { action: "redact" } } };
      const name = `cell-${stage.replace("_", "-")}-${mode}`;
      const headers = { "content-type": "application/json" };
      const { ok } = await request(`/v1/safety/profiles/${name}`, {
        method: "PUT",
        body: JSON.stringify(profile),
        headers,
      });
      if (!ok) throw new Error(`no profile ${name}`);
    }
});

describe.each(Object.keys(SURFACES))("%s", (surface) => {
  it.each(STAGES.flatMap((stage) => TRANSPORTS.map((transport) => [stage, transport] as const)))(
    "a value at stage %s passes, is counted, or is replaced, as the mode says: %s",
    async (stage, transport) => {
      for (const mode of MODES) {
        const safety = { profile: `cell-${stage.replace("_", "-")}-${mode}` };
        const { text, call } = await ask(surface, transport, { ...TEXTS[stage], rhone: { safety } });
        const passes = mode !== "enforce";
        const said = saidIn(text);
        expect([mode, said.includes(EMAIL), TAG.test(said)]).toEqual([mode, passes, !passes]);
        const decisions = await (await request(`/v1/calls/${call}/safety-decisions`)).json<{ data: object[] }>();
        const expected =
          mode === "off" ? [] : [expect.objectContaining({ stage, mode, disposition: "redact", values: { email: 1 } })];
        expect([mode, decisions.data]).toEqual([mode, expected]);
      }
    },
  );
});
