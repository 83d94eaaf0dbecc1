import { unprocessable } from "../canonical/error.ts";
import { encodeUtf8 } from "../wire/bytes.ts";
import { isObject, type Json, type JsonObject, stringifyMember, tryParseJson } from "../wire/json.ts";
import { type SseEvent, SseSplitter, withData } from "../wire/sse.ts";

/** Translation between OpenAI's legacy completions and Chat, for models that only chat. Pure. */

/**
 * Members that Chat does not have, answers in another form (`logprobs`), or that most providers of chats lack (`n`), with
 * the value that has no effect. Any other value is refused, not dropped.
 */
const UNSUPPORTED: Record<string, Json> = { n: 1, best_of: 1, echo: false, suffix: "", logprobs: null };

/**
 * A completions request as a Chat request: the prompt becomes a user's message, other members stay. Throws
 * `request.unprocessable` for several prompts, tokens, or a member that Chat cannot express.
 */
export function encodePrompt({ prompt: prompts, ...body }: JsonObject): JsonObject {
  const [prompt, ...more] = Array.isArray(prompts) ? prompts : [prompts];
  if (typeof prompt !== "string" || more.length > 0)
    throw unprocessable("prompt", "expected one text: the model supports chat only");
  for (const [member, nothing] of Object.entries(UNSUPPORTED)) {
    const value = body[member] ?? null;
    if (value !== null && value !== nothing)
      throw unprocessable(member, "the model supports chat only, for which it is not translated");
  }
  const { n: _n, best_of: _b, echo: _e, suffix: _s, logprobs: _l, ...same } = body;
  return { ...same, messages: [{ role: "user", content: prompt }] };
}

/** A Chat answer, or one chunk of its stream (with `delta` for `message`), as a text completion. */
export function decodeChat(answer: JsonObject): JsonObject {
  const { choices, ...rest } = answer;
  const list = Array.isArray(choices) ? choices.filter(isObject) : [];
  return {
    ...rest,
    id: stringifyMember(rest.id).replace(/^chatcmpl-/, "cmpl-"),
    object: "text_completion",
    choices: list.map(({ index, message, delta, finish_reason }): JsonObject => {
      const content = isObject(message) ? message : isObject(delta) ? delta : {};
      return {
        text: stringifyMember(content.content) || stringifyMember(content.refusal),
        index: index ?? 0,
        logprobs: null,
        finish_reason: finish_reason ?? null,
      };
    }),
  };
}

/** Translates a stream event by event. Comments, errors and `[DONE]` are the same in both formats. */
export function decodeChatStream(): TransformStream<Uint8Array, Uint8Array> {
  const splitter = new SseSplitter();
  return new TransformStream({
    transform: (chunk, controller) => {
      for (const bytes of decodeEvents(splitter.push(chunk))) controller.enqueue(bytes);
    },
    flush: (controller) => {
      for (const bytes of decodeEvents(splitter.flush())) controller.enqueue(bytes);
    },
  });
}

const decodeEvents = (events: SseEvent[]): Uint8Array[] => events.map(decodeEvent).filter(({ length }) => length > 0);

function decodeEvent(event: SseEvent): Uint8Array {
  const chunk = event.data === undefined ? undefined : tryParseJson(event.data);
  if (!isObject(chunk) || !Array.isArray(chunk.choices)) return event.raw;
  const completion = decodeChat(chunk);
  // Chat's first chunk contains only the role, which completions do not have.
  if (isEmpty(completion) && !("usage" in chunk) && chunk.choices.length > 0) return encodeUtf8("");
  return withData(event, () => JSON.stringify(completion));
}

const isEmpty = ({ choices }: JsonObject): boolean =>
  (choices as JsonObject[]).every(({ text, finish_reason }) => text === "" && finish_reason === null);
