import { frame, halves, HEADERS, isRefused, json, REFUSALS, type Scene, sceneOf, stream } from "./scene.ts";

type Block = Record<string, unknown> & { type: string };
type Body = { model: string; stream?: boolean; messages: { role: string; content: string | Block[] }[] };

/** A scripted provider of Anthropic's Messages. */
export function answerMessages(raw: string, request: Request): Response {
  const body = JSON.parse(raw) as Body;
  const [script] = body.model.split("-") as [string];
  const headers = { ...HEADERS, "request-id": "req_fake_anthropic" };
  if (isRefused(script)) {
    const { status, message } = REFUSALS[script];
    return json(error(ERROR_TYPES[script], message), status, {
      ...headers,
      ...(script === "limited" && { "retry-after": "7" }),
    });
  }
  if (script === "headers") return json(message(body.model, [text(seenHeaders(request))]), 200, headers);
  const last = body.messages.at(-1)!.content;
  const results = (typeof last === "string" ? [] : last).filter(({ type }) => type === "tool_result").map(resultText);
  const isFirst = !body.messages.some(({ role }) => role === "assistant");
  const content = contentOf(sceneOf({ script, raw, isFirst, results }));
  const whole = message(body.model, content, stopReason(content, script));
  if (!body.stream) return script === "cut" ? json({ type: "message" }) : json(whole, 200, headers);
  const frames = [...events(whole)];
  if (script === "cut") return stream(frames.slice(0, -3));
  if (script === "failing")
    return stream([...frames.slice(0, -3), frame(error("overloaded_error", "Overloaded"), "error")]);
  return stream(frames, 0, headers);
}

/** The signature that the scripted model gives its thinking, and wants back unchanged. */
export const SIGNATURE = "EqYCanthropic+fake/signature==";

function contentOf({ thinking, text: said, calls = [] }: Scene): Block[] {
  return [
    ...(thinking === undefined ? [] : [{ type: "thinking", thinking, signature: SIGNATURE }]),
    ...(said === undefined ? [] : [text(said)]),
    ...calls.map(({ id, name, args }) => ({ type: "tool_use", id, name, input: args })),
  ];
}

/** The model that declines says nothing at all, and stops for that reason. */
const stopReason = (content: Block[], script: string): string => {
  if (script === "decline") return "refusal";
  return content.some(({ type }) => type === "tool_use") ? "tool_use" : "end_turn";
};

const text = (said: string): Block => ({ type: "text", text: said });

const message = (model: string, content: Block[], stop_reason = "end_turn") => ({
  // Of its own, as every provider's: clients join messages of one id.
  id: `msg_fake_${crypto.randomUUID()}`,
  type: "message",
  role: "assistant",
  model,
  content,
  stop_reason,
  stop_sequence: null,
  usage: { input_tokens: 8, cache_creation_input_tokens: 0, cache_read_input_tokens: 4, output_tokens: 5 },
});

function* events(whole: ReturnType<typeof message>): Generator<string> {
  const { content, stop_reason, stop_sequence, usage } = whole;
  const begun = { ...whole, content: [], stop_reason: null, usage: { ...usage, output_tokens: 1 } };
  yield named({ type: "message_start", message: begun });
  yield named({ type: "ping" });
  for (const [index, block] of content.entries()) {
    yield named({ type: "content_block_start", index, content_block: { ...block, ...EMPTY[block.type] } });
    for (const delta of deltas(block)) yield named({ type: "content_block_delta", index, delta });
    yield named({ type: "content_block_stop", index });
  }
  yield named({ type: "message_delta", delta: { stop_reason, stop_sequence }, usage: { output_tokens: 5 } });
  yield named({ type: "message_stop" });
}

const EMPTY: Record<string, object> = {
  thinking: { thinking: "", signature: "" },
  text: { text: "" },
  tool_use: { input: {} },
};

function deltas(block: Block): object[] {
  if (block.type === "thinking")
    return [
      ...halves(block.thinking as string).map((thinking) => ({ type: "thinking_delta", thinking })),
      { type: "signature_delta", signature: block.signature },
    ];
  if (block.type === "text") return halves(block.text as string).map((text) => ({ type: "text_delta", text }));
  return halves(JSON.stringify(block.input)).map((partial_json) => ({ type: "input_json_delta", partial_json }));
}

const named = (data: { type: string } & Record<string, unknown>): string => frame(data, data.type);

const ERROR_TYPES = { refuse: "invalid_request_error", limited: "rate_limit_error", broken: "api_error" };
const error = (type: string, said: string) => ({
  type: "error",
  error: { type, message: said },
  request_id: "req_fake_anthropic",
});

const resultText = ({ content }: Block): string =>
  typeof content === "string" ? content : (content as Block[]).map((part) => part.text as string).join("");

/** As JSON, with the query beside them. */
const seenHeaders = (request: Request): string =>
  JSON.stringify({ ...Object.fromEntries(request.headers), ":query": new URL(request.url).search });
