import { frame, json, stream } from "./scene.ts";

/**
 * A provider of the Chat dialect or of Gemini whose answer ends with the finish reason in the model's name:
 * `ending-{reason}.{content}`. `content`: none (`empty`), a text before the reason (`text`), a text in one chunk with the
 * reason (`joined`), a text and no terminal event (`undone`). The usage of the answer is 5 and 7 tokens.
 */
export function answerEnding(dialect: string, model: string, isStream: boolean): Response {
  const [, reason = "", content = ""] = /^ending-([^.]+)\.(\w+)/.exec(model) ?? [];
  const text = content === "empty" ? "" : "Half a";
  const ending = dialect === "gemini" ? gemini(reason) : chat(reason);
  if (!isStream) return json(ending.whole(text));
  const frames = content === "joined" ? ending.chunks("", text) : ending.chunks(text, "");
  return stream(content === "undone" ? frames.slice(0, frames.length - ending.terminators) : frames);
}

/** The frames of a stream: those before the reason with `before`, the one of the reason with `last`. */
type Ending = {
  whole: (text: string) => object;
  chunks: (before: string, last: string) => string[];
  terminators: number;
};

function chat(reason: string): Ending {
  const head = { id: "chatcmpl-ending", object: "chat.completion", created: 1_750_000_000, model: "ending-1" };
  const usage = { prompt_tokens: 5, completion_tokens: 7, total_tokens: 12 };
  const chunk = (delta: object, finish_reason: string | null): string =>
    frame({ ...head, object: "chat.completion.chunk", choices: [{ index: 0, delta, finish_reason }] });
  return {
    whole: (content) => ({
      ...head,
      choices: [{ index: 0, message: { role: "assistant", content }, finish_reason: reason }],
      usage,
    }),
    chunks: (before, last) => [
      chunk({ role: "assistant", content: "" }, null),
      ...(before === "" ? [] : [chunk({ content: before }, null)]),
      chunk({ content: last }, reason),
      frame({ ...head, object: "chat.completion.chunk", choices: [], usage }),
      "data: [DONE]\n\n",
    ],
    terminators: 1,
  };
}

function gemini(finishReason: string): Ending {
  const usageMetadata = { promptTokenCount: 5, candidatesTokenCount: 7, totalTokenCount: 12 };
  const chunk = (text: string, more: object): object => ({
    candidates: [{ ...(text !== "" && { content: { role: "model", parts: [{ text }] } }), ...more, index: 0 }],
    usageMetadata,
    modelVersion: "ending-1",
    responseId: "gemini_ending",
  });
  const end = { finishReason, finishMessage: "Tried to call look(" };
  return {
    whole: (text) => chunk(text, end),
    chunks: (before, last) => [...(before === "" ? [] : [frame(chunk(before, {}))]), frame(chunk(last, end))],
    terminators: 0,
  };
}
