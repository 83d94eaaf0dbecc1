/** What the provider answers. Its model's name says it, so that it reaches the provider through any gateway. */
export type Scene =
  | { kind: "whole"; bytes: number }
  /** `events`: of content; a few more open and close the stream. `everyMs` 0: as fast as they can be written. */
  | { kind: "stream"; events: number; everyMs: number };

export type Wire = "openai-chat" | "anthropic";

export const modelOf = (scene: Scene): string =>
  scene.kind === "whole" ? `bench-w${scene.bytes}` : `bench-s${scene.events}x${scene.everyMs}`;

/** The inverse, from a request's bytes: a name is found faster than a body is parsed. */
export function sceneOf(body: Buffer): Scene | undefined {
  const at = body.lastIndexOf("bench-");
  if (at < 0) return undefined;
  const [, kind, count, everyMs] =
    /^bench-([ws])(\d+)(?:x(\d+))?/.exec(body.toString("latin1", at, Math.min(at + 40, body.length))) ?? [];
  if (kind === "w") return { kind: "whole", bytes: Number(count) };
  return kind === "s" ? { kind: "stream", events: Number(count), everyMs: Number(everyMs ?? 0) } : undefined;
}

const made = new Map<string, Buffer[]>();

function once(key: string, make: () => Buffer[]): Buffer[] {
  const known = made.get(key) ?? make();
  made.set(key, known);
  return known;
}

/** A whole answer of about `bytes` bytes. */
export const wholeAnswer = (wire: Wire, { bytes }: Scene & { kind: "whole" }): Buffer =>
  once(`${wire} w${bytes}`, () => {
    const empty = JSON.stringify(whole(wire, "")).length;
    return [Buffer.from(JSON.stringify(whole(wire, prose(Math.max(16, bytes - empty)))))];
  })[0]!;

/** The stream's events, each with its blank line. */
export const streamedAnswer = (wire: Wire, { events }: Scene & { kind: "stream" }): Buffer[] =>
  once(`${wire} s${events}`, () => (wire === "anthropic" ? anthropicStream(events) : chatStream(events)).map(bytesOf));

/** A whole answer for a caller that wants a stream, as `rhone.ws.v1` always does: all of its words in one event. */
export const wholeStreamed = (wire: Wire, { bytes }: Scene & { kind: "whole" }): Buffer[] =>
  once(`${wire} w${bytes} streamed`, () => {
    const text = prose(Math.max(16, bytes - JSON.stringify(whole(wire, "")).length));
    return (wire === "anthropic" ? anthropicStream(1, text) : chatStream(1, text)).map(bytesOf);
  });

const bytesOf = (text: string): Buffer => Buffer.from(text);

const WORDS = "the river carries what it is given and every call finds its way down to the sea ".split(" ");

/** Words without quotes or escapes, of exactly this length. */
function prose(length: number): string {
  const line = WORDS.join(" ");
  return line.repeat(Math.ceil(length / line.length)).slice(0, length);
}

const CHAT = { id: "chatcmpl-bench0123456789", created: 1_750_000_000, model: "bench", system_fingerprint: "fp_bench" };

function whole(wire: Wire, text: string): object {
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

const word = (i: number): string => `${WORDS[i % WORDS.length]} `;

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
    ...Array.from({ length: events }, (_, i) => chunk({ content: text ?? word(i) }, null)),
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
  const message = { ...whole("anthropic", ""), content: [], stop_reason: null };
  return [
    event({ type: "message_start", message }),
    event({ type: "content_block_start", index: 0, content_block: { type: "text", text: "" } }),
    ...Array.from({ length: events }, (_, i) =>
      event({ type: "content_block_delta", index: 0, delta: { type: "text_delta", text: text ?? word(i) } }),
    ),
    event({ type: "content_block_stop", index: 0 }),
    event({
      type: "message_delta",
      delta: { stop_reason: "end_turn", stop_sequence: null },
      usage: { output_tokens: events },
    }),
    event({ type: "message_stop" }),
  ];
}

const event = (body: { type: string; [member: string]: unknown }): string =>
  `event: ${body.type}\ndata: ${JSON.stringify(body)}\n\n`;
