/** An answer of the provider. The name of the model describes it, so that it passes through any gateway. */
export type Answer =
  | { kind: "whole"; bytes: number }
  /** `events`: those with content, besides a few that open and close the stream. `everyMs` 0: written as fast as possible. */
  | { kind: "stream"; events: number; everyMs: number };

export type Wire = "openai-chat" | "anthropic";

export const modelOf = (answer: Answer): string =>
  answer.kind === "whole" ? `bench-w${answer.bytes}` : `bench-s${answer.events}x${answer.everyMs}`;

/** The inverse of `modelOf`, from a request's bytes: finding the name is faster than parsing the body. */
export function parseAnswer(body: Buffer): Answer | undefined {
  const at = body.lastIndexOf("bench-");
  if (at < 0) return undefined;
  const [, kind, count, everyMs] =
    /^bench-([ws])(\d+)(?:x(\d+))?/.exec(body.toString("latin1", at, Math.min(at + 40, body.length))) ?? [];
  if (kind === "w") return { kind: "whole", bytes: Number(count) };
  return kind === "s" ? { kind: "stream", events: Number(count), everyMs: Number(everyMs ?? 0) } : undefined;
}

const built = new Map<string, Buffer[]>();

function buildOnce(key: string, make: () => Buffer[]): Buffer[] {
  const existing = built.get(key) ?? make();
  built.set(key, existing);
  return existing;
}

/** A whole answer of about `bytes` bytes. */
export const buildWhole = (wire: Wire, { bytes }: Answer & { kind: "whole" }): Buffer =>
  buildOnce(`${wire} w${bytes}`, () => {
    const empty = JSON.stringify(toWhole(wire, "")).length;
    return [Buffer.from(JSON.stringify(toWhole(wire, repeatWords(Math.max(16, bytes - empty)))))];
  })[0]!;

/** The stream's events, each with its blank line. */
export const buildStream = (wire: Wire, { events }: Answer & { kind: "stream" }): Buffer[] =>
  buildOnce(`${wire} s${events}`, () =>
    (wire === "anthropic" ? anthropicStream(events) : chatStream(events)).map(toBytes),
  );

/** A whole answer to a request for a stream, which `rhone.ws.v1` always sends: the whole text is in one event. */
export const buildStreamedWhole = (wire: Wire, { bytes }: Answer & { kind: "whole" }): Buffer[] =>
  buildOnce(`${wire} w${bytes} streamed`, () => {
    const text = repeatWords(Math.max(16, bytes - JSON.stringify(toWhole(wire, "")).length));
    return (wire === "anthropic" ? anthropicStream(1, text) : chatStream(1, text)).map(toBytes);
  });

const toBytes = (text: string): Buffer => Buffer.from(text);

const WORDS = "the river carries what it is given and every call finds its way down to the sea ".split(" ");

/** Words without quotes or escapes, of exactly this length. */
function repeatWords(length: number): string {
  const line = WORDS.join(" ");
  return line.repeat(Math.ceil(length / line.length)).slice(0, length);
}

const CHAT = { id: "chatcmpl-bench0123456789", created: 1_750_000_000, model: "bench", system_fingerprint: "fp_bench" };

function toWhole(wire: Wire, text: string): object {
  if (wire === "anthropic") {
    return {
      id: "msg_bench0123456789",
      type: "message",
      role: "assistant",
      model: "bench",
      content: [{ type: "text", text }],
      stop_reason: "end_turn",
      stop_sequence: null,
      usage: { input_tokens: 12, output_tokens: 34 },
    };
  }
  return {
    ...CHAT,
    object: "chat.completion",
    choices: [
      {
        index: 0,
        message: { role: "assistant", content: text, refusal: null },
        logprobs: null,
        finish_reason: "stop",
      },
    ],
    usage: { prompt_tokens: 12, completion_tokens: 34, total_tokens: 46 },
  };
}

const wordAt = (i: number): string => `${WORDS[i % WORDS.length]} `;

function chatStream(events: number, text?: string): string[] {
  const chunk = (delta: object, finish_reason: string | null, more: object = {}): string =>
    `data: ${JSON.stringify({
      ...CHAT,
      object: "chat.completion.chunk",
      choices: [{ index: 0, delta, logprobs: null, finish_reason }],
      ...more,
    })}\n\n`;
  return [
    chunk({ role: "assistant", content: "", refusal: null }, null),
    ...Array.from({ length: events }, (_, i) => chunk({ content: text ?? wordAt(i) }, null)),
    chunk({}, "stop"),
    `data: ${JSON.stringify({
      ...CHAT,
      object: "chat.completion.chunk",
      choices: [],
      usage: { prompt_tokens: 12, completion_tokens: events, total_tokens: events + 12 },
    })}\n\n`,
    "data: [DONE]\n\n",
  ];
}

function anthropicStream(events: number, text?: string): string[] {
  const message = { ...toWhole("anthropic", ""), content: [], stop_reason: null };
  return [
    toEvent({ type: "message_start", message }),
    toEvent({ type: "content_block_start", index: 0, content_block: { type: "text", text: "" } }),
    ...Array.from({ length: events }, (_, i) =>
      toEvent({ type: "content_block_delta", index: 0, delta: { type: "text_delta", text: text ?? wordAt(i) } }),
    ),
    toEvent({ type: "content_block_stop", index: 0 }),
    toEvent({
      type: "message_delta",
      delta: { stop_reason: "end_turn", stop_sequence: null },
      usage: { output_tokens: events },
    }),
    toEvent({ type: "message_stop" }),
  ];
}

const toEvent = (body: { type: string; [member: string]: unknown }): string =>
  `event: ${body.type}\ndata: ${JSON.stringify(body)}\n\n`;
