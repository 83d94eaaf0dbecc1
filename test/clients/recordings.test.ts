import { existsSync, readdirSync } from "node:fs";
import { join } from "node:path";
import Anthropic from "@anthropic-ai/sdk";
import { GoogleGenAI } from "@google/genai";
import OpenAI from "openai";
import { describe, expect, it } from "vitest";
import { PROJECT } from "../../scripts/settings.ts";
import { baseUrl, key } from "./gateway.ts";
import { readAll } from "./matrix.ts";

/** What a client hears of an answer, in any SDK's words: the text (or the refusal), and the tools called. */
type Heard = { text: string; calls: unknown[] };
type Hear = (model: string, isStream: boolean) => Promise<Heard>;

const openai = new OpenAI({ baseURL: `${baseUrl}/v1`, apiKey: key, maxRetries: 0, logLevel: "off" });
const anthropic = new Anthropic({ baseURL: baseUrl, apiKey: key, maxRetries: 0, logLevel: "off" });
const google = new GoogleGenAI({ apiKey: key, httpOptions: { baseUrl, retryOptions: { attempts: 1 } } });

/** What was cut has no meaning as JSON; two of the wires have it as text, the others in an object. */
function argumentsOf(text: string): unknown {
  try {
    return text === "" ? {} : (JSON.parse(text) as unknown);
  } catch {
    return { arguments: text };
  }
}

const chat: Hear = async (model, isStream) => {
  const said = { model, messages: [{ role: "user" as const, content: "hello" }] };
  const { choices } = isStream
    ? await openai.chat.completions.stream(said).finalChatCompletion()
    : await openai.chat.completions.create(said);
  const { content, refusal, tool_calls = [] } = choices[0]!.message;
  const calls = tool_calls.map((call) =>
    call.type === "function"
      ? [call.function.name, argumentsOf(call.function.arguments)]
      : [call.custom.name, { input: call.custom.input }],
  );
  return { text: (content ?? "") + (refusal ?? ""), calls };
};

const messages: Hear = async (model, isStream) => {
  const said = { model, max_tokens: 1000, messages: [{ role: "user" as const, content: "hello" }] };
  const { content } = isStream
    ? await anthropic.messages.stream(said).finalMessage()
    : await anthropic.messages.create(said);
  const text = content.map((block) => (block.type === "text" ? block.text : "")).join("");
  return { text, calls: content.flatMap((block) => (block.type === "tool_use" ? [[block.name, block.input]] : [])) };
};

const responses: Hear = async (model, isStream) => {
  const said = { model, input: "hello" };
  const { output, error } = isStream
    ? await openai.responses.stream(said).finalResponse()
    : await openai.responses.create(said);
  if (error !== null) throw new Error(error.message);
  const parts = output.flatMap((item) => (item.type === "message" ? item.content : []));
  const text = parts.map((part) => (part.type === "refusal" ? part.refusal : part.text)).join("");
  const calls = output.flatMap((item) =>
    item.type === "function_call"
      ? [[item.name, argumentsOf(item.arguments)]]
      : item.type === "custom_tool_call"
        ? [[item.name, { input: item.input }]]
        : [],
  );
  return { text, calls };
};

const gemini: Hear = async (model, isStream) => {
  const said = { model, contents: "hello" };
  const chunks = isStream
    ? await readAll(await google.models.generateContentStream(said))
    : [await google.models.generateContent(said)];
  const parts = chunks.flatMap(({ candidates }) => candidates?.[0]?.content?.parts ?? []);
  const text = parts.map((part) => (part.thought === true ? "" : (part.text ?? ""))).join("");
  const calls = parts.flatMap(({ functionCall }) =>
    functionCall === undefined ? [] : [[functionCall.name, functionCall.args ?? {}]],
  );
  return { text, calls };
};

const SDKS = [
  { dialect: "openai-chat", hear: chat },
  { dialect: "openai-responses", hear: responses },
  { dialect: "anthropic", hear: messages },
  { dialect: "gemini", hear: gemini },
];
const ROWS = { "openai-chat": "fakechat", "openai-responses": "fakeresp", anthropic: "fakeanth", gemini: "fakegem" };

const FIXTURES = join(PROJECT, "test/fixtures");
const recordings = (Object.keys(ROWS) as (keyof typeof ROWS)[]).flatMap((dialect) =>
  readdirSync(join(FIXTURES, dialect)).flatMap((name) =>
    (["response.json", "response.sse"] as const)
      .filter((file) => existsSync(join(FIXTURES, dialect, name, file)))
      .map((file) => ({ dialect, name, isStream: file === "response.sse" })),
  ),
);

describe.each(recordings)("$dialect $name", ({ dialect, name, isStream }) => {
  /** The provider's own clients get its very bytes, with all that is odd about them. */
  const others = SDKS.filter((sdk) => sdk.dialect !== dialect);

  it("a recorded answer is read alike through the SDKs of all other wires", async () => {
    const model = `${ROWS[dialect]}/fixture-${name}`;
    const [first, ...more] = await Promise.all(others.map(({ hear }) => hear(model, isStream).catch(() => "an error")));
    expect(more).toEqual(more.map(() => first));
  });
});

it("what a wire cannot represent is reported as a loss, and not added to the model's text", async () => {
  const model = "fakegem/fixture-code-execution-in-a-stream";
  for (const headers of [{}, { "x-rhone-context-mode": "stateless" }]) {
    const stream = openai.responses.stream({ model, input: "hello" }, { headers });
    const final = (await stream.finalResponse()) as { output_text: string; rhone?: { losses: object[] } };
    expect(final.output_text).toBe("The computation of 7 factorial is 5040.");
    expect(final.rhone!.losses).toMatchObject([
      { at: "output.executableCode", what: "dropped" },
      { at: "output.codeExecutionResult", what: "dropped" },
    ]);
  }
});
