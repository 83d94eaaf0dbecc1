/**
 * A provider of every wire, the native one included, whose answers arrive in odd forms: `odd-{case}`, and behind a dot
 * anything that makes it a model of its own. Any other name answers well. All answers say "Said fault." and count 12 tokens
 * in, 4 of them cached, and 5 out.
 */
export type Wire = "chat" | "responses" | "messages" | "gemini" | "native";

/** What a wire says. `counted`: an event that has usage and no content. `again`: an event with further content. */
type Script = {
  frames: string[];
  whole: object;
  error: (more?: object) => string;
  /** The member of an error event with usage. */
  usage: object;
  counted: string;
  again: string;
  /** Objects with a value of a wrong type in a known member. */
  wrong: object[];
};

/** `type`: the content type; null: none. `chunks`: the body in pieces. */
type Odd = { chunks: (string | Uint8Array)[]; type?: string | null };

const WORDS = ["Said f", "ault."] as const;
const TEXT = WORDS.join("");
const ID = "fake_odd";
const MALFORMED = "data: {nonsense\n\n";

/** An event that has its type in its data. */
type Typed = { type: string; [member: string]: unknown };

const frame = (data: object, event?: string): string =>
  `${event === undefined ? "" : `event: ${event}\n`}data: ${JSON.stringify(data)}\n\n`;
const typed = (data: Typed): string => frame(data, data.type);

/** The frames up to and with the first content. */
const begun = ({ frames }: Script): string[] => frames.slice(0, frames.findIndex((one) => one.includes(WORDS[0])) + 1);
const whole = (script: Script): string => JSON.stringify(script.whole);

/** The answers that are complete, whatever their form. */
export const COMPLETE: Record<string, (script: Script) => Odd> = {
  none: ({ frames }) => ({ chunks: frames }),
  "malformed-between": ({ frames }) => ({ chunks: frames.flatMap((one) => [MALFORMED, one]) }),
  "malformed-behind": ({ frames }) => ({ chunks: [...frames, MALFORMED] }),
  "two-in-a-line": ({ frames }) => ({ chunks: frames.flatMap((one) => ['data: {"a":1}{"b":2}\n\n', one]) }),
  "not-objects": ({ frames }) => ({ chunks: frames.flatMap((one) => ["data: 7\n\n", 'data: "x"\n\n', one]) }),
  "wrong-types": ({ frames, wrong }) => ({
    chunks: frames.flatMap((one, i) => (i === 0 ? [one] : [...wrong.map((data) => frame(data)), one])),
  }),
  bom: ({ frames }) => ({ chunks: [`\uFEFF${frames[0]}`, ...frames.slice(1)] }),
  crlf: ({ frames }) => ({ chunks: frames.map((one) => one.replaceAll("\n", "\r\n")) }),
  comments: ({ frames }) => ({ chunks: frames.flatMap((one) => [": hello\n\n", ":\n", one]) }),
  "no-data": ({ frames }) => ({
    chunks: frames.flatMap((one) => ["event: note\n\n", "id: 7\n\n", "retry: 10\n\n", "data:\n\n", "\n\n", one]),
  }),
  // Two bytes at a time: characters of more than one byte are cut.
  bytes: ({ frames }) => {
    const bytes = new TextEncoder().encode([": é🙂\n\n", ...frames].join(""));
    return { chunks: Array.from({ length: Math.ceil(bytes.length / 2) }, (_, i) => bytes.slice(2 * i, 2 * i + 2)) };
  },
  "end-twice": ({ frames }) => ({ chunks: [...frames, frames.at(-1)!] }),
  "error-behind": ({ frames, error }) => ({ chunks: [...frames, error()] }),
  "content-behind": ({ frames, again }) => ({ chunks: [...frames, again] }),
  "type-case": ({ frames }) => ({ chunks: frames, type: "Text/Event-Stream;Charset=UTF-8" }),
  "type-html": ({ frames }) => ({ chunks: frames, type: "text/html; charset=utf-8" }),
  "type-json": ({ frames }) => ({ chunks: frames, type: "application/json" }),
  "type-missing": ({ frames }) => ({ chunks: frames, type: null }),
  whole: (script) => ({ chunks: [whole(script)], type: "application/json" }),
  "whole-case": (script) => ({ chunks: [whole(script)], type: "Application/JSON; Charset=UTF-8" }),
  "whole-bom": (script) => ({ chunks: [`\uFEFF${whole(script)}`], type: "application/json" }),
  "whole-html": (script) => ({ chunks: [`\n ${whole(script)}`], type: "text/html" }),
  "whole-missing": (script) => ({ chunks: [whole(script)], type: null }),
  "whole-stream": (script) => ({ chunks: [whole(script)] }),
};

/** The answers that fail after their first content, and count all the same. */
export const FAILED: Record<string, (script: Script) => Odd> = {
  "error-counted": (script) => ({ chunks: [...begun(script), script.error(), script.counted] }),
  "error-counting": (script) => ({ chunks: [...begun(script), script.error(script.usage)] }),
  "error-twice": (script) => ({ chunks: [...begun(script), script.error(), script.error(), script.counted] }),
  "error-ended": (script) => ({
    chunks: [...begun(script), script.error(), script.again, script.counted, script.frames.at(-1)!],
  }),
};

/** The answers that fail before their first content, and count all the same. */
export const REFUSED: Record<string, (script: Script) => Odd> = {
  "first-counted": (script) => ({ chunks: [...begun(script).slice(0, -1), script.error(), script.counted] }),
  "first-counting": (script) => ({ chunks: [script.error(script.usage)] }),
};

/** Bodies of a success that are an error instead of an answer. */
export const ERROR_BODIES: Record<string, (script: Script) => Odd> = {
  "error-whole": (script) => ({ chunks: [errorBodyOf(script)], type: "application/json" }),
  "error-whole-stream": (script) => ({ chunks: [errorBodyOf(script)] }),
  "error-whole-missing": (script) => ({ chunks: [errorBodyOf(script)], type: null }),
};

/** The error of an event of the wire as a body of its own. */
function errorBodyOf({ error }: Script): string {
  const event = JSON.parse(/data: (.*)/.exec(error())![1]!) as { type?: string; error: object };
  return JSON.stringify({ ...(event.type === "error" && { type: "error" }), error: event.error });
}

/** The models of the answers that fail: one for each test, as a target that failed too often is avoided. */
export const FAILING_MODELS: readonly string[] = Object.keys({ ...FAILED, ...REFUSED, ...ERROR_BODIES }).flatMap(
  (name) =>
    ["chat", "responses", "messages", "gemini", "native"].flatMap((surface) =>
      ["stateful", "stateless"].map((mode) => `odd-${name}.${surface}-${mode}`),
    ),
);
/** The models of the answers that are complete. */
export const COMPLETE_MODELS: readonly string[] = Object.keys(COMPLETE).map((name) => `odd-${name}`);

const CASES = { ...COMPLETE, ...FAILED, ...REFUSED, ...ERROR_BODIES };

/** Answers a request; the path says which wire. */
export async function answerOdd(request: Request): Promise<Response> {
  const { pathname } = new URL(request.url);
  const body = (await request.json()) as { model?: string; stream?: boolean };
  const [, inPath, method] = /\/models\/([^:]+):(\w+)$/.exec(pathname) ?? [];
  const model = inPath ?? body.model ?? "";
  const script = SCRIPTS[wireOf(pathname)](model);
  const name = /^odd-([^.]+)/.exec(model)?.[1] ?? "none";
  const isStream = body.stream === true || method === "streamGenerateContent";
  const isPlain = name === "none" && !isStream;
  const { chunks, type = "text/event-stream" } = CASES[isPlain ? "whole" : name]!(script);
  const encoder = new TextEncoder();
  const rest = chunks.map((chunk) => (typeof chunk === "string" ? encoder.encode(chunk) : chunk));
  const stream = new ReadableStream<Uint8Array>({
    pull(controller) {
      const next = rest.shift();
      if (next === undefined) controller.close();
      else controller.enqueue(next);
    },
  });
  return new Response(stream, { headers: type === null ? {} : { "content-type": type } });
}

function wireOf(pathname: string): Wire {
  if (pathname.endsWith("/responses")) return "responses";
  if (pathname.endsWith("/messages")) return "messages";
  if (pathname.endsWith("/calls")) return "native";
  return pathname.includes("/models/") ? "gemini" : "chat";
}

const FAULT = "Overloaded";

const SCRIPTS: Record<Wire, (model: string) => Script> = {
  chat: (model) => {
    const head = { id: `chatcmpl_${ID}`, object: "chat.completion.chunk", created: 1_750_000_000, model };
    const usage = {
      prompt_tokens: 12,
      completion_tokens: 5,
      total_tokens: 17,
      prompt_tokens_details: { cached_tokens: 4 },
    };
    const chunk = (delta: object, finish_reason: string | null = null): string =>
      frame({ ...head, choices: [{ index: 0, delta, finish_reason }] });
    const counted = frame({ ...head, choices: [], usage });
    return {
      frames: [
        chunk({ role: "assistant", content: "" }),
        ...WORDS.map((content) => chunk({ content })),
        chunk({}, "stop"),
        counted,
        "data: [DONE]\n\n",
      ],
      whole: {
        ...head,
        object: "chat.completion",
        choices: [{ index: 0, message: { role: "assistant", content: TEXT }, finish_reason: "stop" }],
        usage,
      },
      error: (more = {}) => frame({ error: { message: FAULT, type: "overloaded_error", code: "overloaded" }, ...more }),
      usage: { usage },
      counted,
      again: chunk({ content: "Again." }),
      wrong: [
        { ...head, choices: "x" },
        { ...head, choices: ["x"] },
        { ...head, choices: [{ index: 0, delta: "x" }] },
        { ...head, choices: [{ index: 0, delta: null, finish_reason: 7 }] },
        { ...head, choices: [{ index: 0, delta: { content: 7, tool_calls: "x" } }], usage: [] },
        { id: 7, model: {}, usage: "x" },
      ],
    };
  },
  responses: (model) => {
    const usage = {
      input_tokens: 12,
      input_tokens_details: { cached_tokens: 4 },
      output_tokens: 5,
      output_tokens_details: { reasoning_tokens: 0 },
      total_tokens: 17,
    };
    const part = { type: "output_text", text: TEXT, annotations: [], logprobs: [] };
    const item = { id: `msg_${ID}`, type: "message", role: "assistant", status: "completed", content: [part] };
    const at = { item_id: item.id, output_index: 0, content_index: 0 };
    const head = { id: `resp_${ID}`, object: "response", created_at: 1_750_000_000, model };
    const state = (type: string, status: string, more: object): Typed => ({
      type,
      response: { ...head, status, output: [], ...more },
    });
    const delta = (text: string): Typed => ({
      type: "response.output_text.delta",
      ...at,
      delta: text,
    });
    const events = [
      state("response.created", "in_progress", {}),
      { type: "response.output_item.added", output_index: 0, item: { ...item, status: "in_progress", content: [] } },
      { type: "response.content_part.added", ...at, part: { ...part, text: "" } },
      ...WORDS.map(delta),
      { type: "response.output_text.done", ...at, text: TEXT },
      { type: "response.content_part.done", ...at, part },
      { type: "response.output_item.done", output_index: 0, item },
      state("response.completed", "completed", { output: [item], usage }),
    ].map((event, sequence_number) => typed({ ...event, sequence_number }));
    const error = { code: "server_error", message: FAULT };
    return {
      frames: events,
      whole: { ...head, status: "completed", output: [item], usage },
      error: (more) =>
        more === undefined
          ? typed({ type: "error", ...error, param: null, error })
          : typed(state("response.failed", "failed", { error, ...more })),
      usage: { usage },
      counted: typed(state("response.failed", "failed", { error, usage })),
      again: typed(delta("Again.")),
      wrong: [
        { type: "response.in_progress", response: "x" },
        { type: "response.output_text.delta", ...at, delta: 7 },
        { type: "response.output_text.delta", output_index: 0, content_index: "x", delta: null },
        { type: "response.in_progress", response: { usage: [] } },
        { type: 7, output_index: 0 },
      ],
    };
  },
  messages: (model) => {
    const usage = { input_tokens: 8, cache_read_input_tokens: 4, cache_creation_input_tokens: 0, output_tokens: 5 };
    const message = {
      id: `msg_${ID}`,
      type: "message",
      role: "assistant",
      model,
      content: [],
      stop_reason: null,
      stop_sequence: null,
      usage: { ...usage, output_tokens: 1 },
    };
    const delta = (text: string): string =>
      typed({ type: "content_block_delta", index: 0, delta: { type: "text_delta", text } });
    return {
      frames: [
        typed({ type: "message_start", message }),
        typed({ type: "content_block_start", index: 0, content_block: { type: "text", text: "" } }),
        ...WORDS.map(delta),
        typed({ type: "content_block_stop", index: 0 }),
        typed({
          type: "message_delta",
          delta: { stop_reason: "end_turn", stop_sequence: null },
          usage: { output_tokens: 5 },
        }),
        typed({ type: "message_stop" }),
      ],
      whole: { ...message, content: [{ type: "text", text: TEXT }], stop_reason: "end_turn", usage },
      error: (more = {}) => typed({ type: "error", error: { type: "overloaded_error", message: FAULT }, ...more }),
      usage: { usage },
      counted: typed({ type: "message_delta", delta: {}, usage }),
      again: delta("Again."),
      wrong: [
        { type: "content_block_delta", index: 0, delta: "x" },
        { type: "content_block_delta", index: 0, delta: { type: "text_delta", text: 7 } },
        { type: "message_delta", delta: null, usage: [] },
        { type: "message_delta", delta: "x", usage: "x" },
        { type: "content_block_delta", index: "x", delta: null },
      ],
    };
  },
  gemini: (model) => {
    const head = { modelVersion: model, responseId: `gemini_${ID}` };
    const usageMetadata = {
      promptTokenCount: 12,
      cachedContentTokenCount: 4,
      candidatesTokenCount: 5,
      totalTokenCount: 17,
    };
    const content = (text: string): object => ({ role: "model", parts: [{ text }] });
    const chunk = (text: string): string => frame({ candidates: [{ content: content(text), index: 0 }], ...head });
    const end = { finishReason: "STOP", index: 0 };
    return {
      frames: [...WORDS.map(chunk), frame({ candidates: [{ content: content(""), ...end }], usageMetadata, ...head })],
      whole: { candidates: [{ content: content(TEXT), ...end }], usageMetadata, ...head },
      error: (more = {}) => frame({ error: { code: 503, message: FAULT, status: "UNAVAILABLE" }, ...more }),
      usage: { usageMetadata },
      counted: frame({ usageMetadata, ...head }),
      again: chunk("Again."),
      wrong: [
        { candidates: "x", ...head },
        { candidates: ["x"], ...head },
        { candidates: [{ content: "x", index: 0 }], ...head },
        { candidates: [{ content: { parts: "x" } }], ...head },
        { candidates: [{ content: { parts: [7, null, { text: 7 }] }, index: 0 }], ...head },
        { usageMetadata: [], ...head },
      ],
    };
  },
  native: (model) => {
    const call = {
      id: `call_${ID}`,
      object: "call",
      status: "running",
      model,
      created_at: "2025-11-21T14:00:00.000Z",
    };
    const usage = { fresh: 8, cache_read: 4, output: 5 };
    const output = [{ type: "response", text: TEXT }];
    const done = { call: { ...call, status: "completed", finish_reason: "stop" }, output, usage };
    const delta = (text: string): string => typed({ type: "response.delta", index: 0, text });
    const error = { code: "provider.execution_failed", message: FAULT };
    const failed = (more: object): string =>
      typed({ type: "call.failed", call: { ...call, status: "failed" }, error, ...more });
    return {
      frames: [typed({ type: "call.started", call }), ...WORDS.map(delta), typed({ type: "call.completed", ...done })],
      whole: done,
      error: (more = {}) => failed(more),
      usage: { usage },
      counted: failed({ usage }),
      again: delta("Again."),
      wrong: [
        { type: "response.delta", index: 0, text: 7 },
        { type: "response.delta", index: "x", text: null },
        { type: "call.note", call: "x", usage: [] },
        { type: "tool_call.done", index: 0, block: "x" },
      ],
    };
  },
};
