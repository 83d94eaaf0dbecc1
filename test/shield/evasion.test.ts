import { describe, expect, it } from "vitest";
import { AnswerShield } from "../../src/gateway/shield/answer-shield.ts";
import { CallShield } from "../../src/gateway/shield/call-shield.ts";
import { compileProfile, type Profile, profileSchema } from "../../src/shield/profile.ts";
import { Replacer } from "../../src/shield/replace.ts";
import { ALL_KINDS } from "../../src/shield/rules.ts";
import { encodeUtf8 } from "../../src/wire/bytes.ts";
import { decodeSse } from "../../src/wire/sse.ts";

const EMAIL = "alice@corp-mail.com";
const CARD = "4556 7375 8689 9855";
const TEXT = `mail ${EMAIL} card ${CARD}`;
const RAW = /alice@corp-mail\.com|4556 7375 8689 9855|4556737586899855/;

async function shieldOf(more: Partial<Profile> | Record<string, unknown> = {}): Promise<CallShield> {
  const detectors = Object.fromEntries([...ALL_KINDS].map((kind) => [kind, { action: "redact" }]));
  const profile = profileSchema.parse({ mode: "enforce", detectors, ...more });
  return new CallShield({ id: "p", version: 1, compiled: await compileProfile(profile) }, new Replacer("s", "org"));
}

const screened = async (body: unknown, more = {}): Promise<string> =>
  (await shieldOf(more)).screenRequest(typeof body === "string" ? body : JSON.stringify(body));

const message = (more: object = {}): object => ({ role: "user", content: TEXT, ...more });
const block = (more: object): object => ({ model: "m", messages: [{ role: "assistant", content: [more] }] });

describe("a request cannot name itself out of the shield", () => {
  it.each<[string, unknown]>([
    ["a seal beside the messages", { encrypted_content: "x", model: "m", messages: [message()] }],
    ["a sealed type of the whole", { type: "redacted_thinking", messages: [message()] }],
    ["a signed thought of the whole", { type: "thinking", signature: "x", messages: [message()] }],
    ["a seal on a message", { messages: [message({ thoughtSignature: "x" })] }],
    [
      "a signed thought of the user's",
      { messages: [message({ content: [{ type: "thinking", text: TEXT, signature: "x" }] })] },
    ],
    ["a seal in a tool's input", block({ type: "tool_use", input: { encrypted_content: "x", note: TEXT } })],
    [
      "a thought in a tool's input",
      block({ type: "tool_use", input: { type: "thinking", thinking: TEXT, signature: "x" } }),
    ],
    ["text as a seal", { messages: [message({ content: "", signature: TEXT })] }],
    ["text as data with a format", block({ type: "tool_use", input: { format: "csv", data: TEXT } })],
    ["text as data of a picture", { messages: [message({ content: [{ data: TEXT, mime_type: "image/png" }] })] }],
    ["text after a data URL's start", { messages: [message({ content: `data:;base64, ${TEXT}` })] }],
    ["text as a file", { messages: [message({ content: [{ file_data: TEXT }] })] }],
    ["text as an id", { messages: [message({ content: "", id: TEXT })] }],
    ["text in a list of states", { messages: [message({ content: "", status: [TEXT] })] }],
    ["a number as an id", { messages: [message({ content: "", id: "4556737586899855" })] }],
    ["labels of another wire", { tags: [TEXT], messages: [] }],
    ["two streams", `{"stream":"${TEXT}","stream":true,"messages":[]}`],
    ["metadata of the gateway's own", { rhone: { metadata: { who: TEXT } }, messages: [] }],
    ["log probabilities in a tool's input", block({ type: "tool_use", input: { logprobs: { x: TEXT } } })],
    [
      "log probabilities in arguments",
      { messages: [{ tool_calls: [{ function: { arguments: JSON.stringify({ logprobs: [TEXT] }) } }] }] },
    ],
    [
      "escaped words",
      `{"messages":[{"ro\\u006ce":"us\\u0065r","\\u0074ype":"thinking","signature":"x","text":"${TEXT}"}]}`,
    ],
    ["a key", block({ type: "tool_use", input: { [EMAIL]: 4556737586899855 } })],
  ])("%s", async (_, body) => {
    expect(await screened(body)).not.toMatch(RAW);
  });

  it("the whole is no tool's result, and an escaped role is one", async () => {
    const stages = ["input", "output"];
    expect(await screened({ role: "tool", type: "a_output", messages: [message()] }, { stages })).not.toMatch(RAW);
    const result = `{"messages":[{"role":"to\\u006fl","content":"${TEXT}"}]}`;
    expect(await screened(result, { stages: ["tool_result"] })).not.toMatch(RAW);
  });

  it("a value that is allowed hides none that is not", async () => {
    const secret = { secret: { action: "redact" }, email: { action: "allow" } };
    expect(
      await screened(
        { messages: [message({ content: "password=hunter2abcXYZ9@example.com" })] },
        { detectors: secret },
      ),
    ).not.toContain("hunter2abcXYZ9");
    const patterns = [{ name: "any", pattern: "mail .{1,40}", action: "allow" }];
    expect(await screened({ messages: [message()] }, { patterns })).not.toMatch(RAW);
  });
});

const sse = (...events: unknown[]): string =>
  events.map((event) => `data: ${typeof event === "string" ? event : JSON.stringify(event)}\n\n`).join("");
const chunk = (delta: object, finish_reason: string | null = null): object => ({
  choices: [{ index: 0, delta, finish_reason }],
});

/** The data of a stream's events as a client gets them. */
async function streamed(text: string, { isJson = false, more = {} } = {}): Promise<string> {
  const { answer } = await shieldOf(more);
  const editors = [answer.editor(isJson)!, answer.clientEditor({ isJson })!];
  return editors
    .reduce(
      (events, editor) => [...events.flatMap((event) => editor.push(event)), ...editor.end()],
      decodeSse(encodeUtf8(text)),
    )
    .map(({ data }) => data)
    .join("\n");
}

describe("an answer", () => {
  it.each<[string, string, boolean?]>([
    [
      "a list with a text in pieces",
      sse(
        { candidates: [{ content: { parts: [{ text: "4556 7375 " }] } }] },
        { candidates: [{ content: { parts: [{ text: "8689 9855" }] } }] },
      ),
    ],
    [
      "a text that starts with its block",
      sse(
        { type: "content_block_start", index: 0, content_block: { type: "text", text: "alice@corp" } },
        { type: "content_block_delta", index: 0, delta: { type: "text_delta", text: "-mail.com" } },
      ),
    ],
    [
      "a thought in parts of the content",
      sse(
        chunk({ content: [{ type: "thinking", thinking: [{ type: "text", text: "alice@corp" }] }] }),
        chunk({ content: [{ type: "thinking", thinking: [{ type: "text", text: "-mail.com" }] }] }),
      ),
    ],
    ["data with a space before it", `data:  ${JSON.stringify(chunk({ content: TEXT }))}\n\n`],
    ["data on two lines", `data:\ndata: ${JSON.stringify(chunk({ content: TEXT }))}\n\n`],
    [
      "JSON with text around it",
      sse(chunk({ content: "See [1] card 4556 7375 " }), chunk({ content: "8689 9855 ok" })),
      true,
    ],
    [
      "arguments of two objects",
      sse(
        chunk({ tool_calls: [{ index: 0, function: { arguments: '{}{"a":"4556 7375 ' } }] }),
        chunk({ tool_calls: [{ index: 0, function: { arguments: '8689 9855"}' } }] }),
      ),
    ],
    [
      "two members of a delta",
      sse(chunk({ content: "", text: "alice@corp" }), chunk({ content: "", text: "-mail.com" })),
    ],
    [
      "calls in turns",
      sse(
        ...["{", "{", '"a":"alice@corp', '"a":"4556 7375 ', '-mail.com"}', '8689 9855"}'].map((text, i) =>
          chunk({ tool_calls: [{ index: i % 2, function: { arguments: text } }] }),
        ),
      ),
    ],
  ])("has no value in its pieces: %s", async (_, text, isJson = false) => {
    const joined = (await streamed(text, { isJson }))
      .split("\n")
      .flatMap((data) =>
        [...data.matchAll(/"(?:text|content|arguments)":("(?:[^"\\]|\\.)*")/g)].map(
          ([, literal]) => JSON.parse(literal!) as string,
        ),
      );
    const [even, odd] = [0, 1].map((half) => joined.filter((__, i) => i % 2 === half).join(""));
    for (const whole of [joined.join(""), even, odd]) expect(whole).not.toMatch(RAW);
  });

  it("of Gemini's list has no value over two of its chunks", async () => {
    const { answer } = await shieldOf();
    const list = JSON.stringify([
      { candidates: [{ content: { parts: [{ text: "card 4556 7375 " }] } }] },
      { candidates: [{ content: { parts: [{ text: "8689 9855." }] } }] },
    ]);
    const texts = (
      JSON.parse(answer.screen(list)) as { candidates: { content: { parts: { text: string }[] } }[] }[]
    ).map(({ candidates }) => candidates[0]!.content.parts[0]!.text);
    expect(texts.join("")).toMatch(/^card PII_CARD_\w{8}\.$/);
  });

  it("goes on when it says something else, and ends with its end or an error", async () => {
    const editor = (await shieldOf()).answer.editor(false)!;
    const push = (event: unknown): number =>
      decodeSse(encodeUtf8(sse(event))).flatMap((one) => editor.push(one)).length;
    expect(push(chunk({ reasoning_content: "Let me think" }))).toBe(0);
    expect(push(chunk({ content: "It is so. " }))).toBe(2);
    expect(push(chunk({ content: "Calling" }))).toBe(0);
    expect(push("[DONE]")).toBe(2);
    expect(push(chunk({ content: "Calling" }))).toBe(0);
    expect(push({ error: { message: "overloaded" } })).toBe(2);
  });

  it("keeps an allowed value of any length", async () => {
    const secret = `sk-ant-api03-${"aB3".repeat(1_300)}`;
    const pieces = [`My key is ${secret.slice(0, 2_500)}`, secret.slice(2_500), " indeed."].map((content) =>
      chunk({ content }),
    );
    const out = await streamed(sse(...pieces), { more: { detectors: { secret: { action: "allow" } } } });
    expect(out.length).toBeGreaterThan(secret.length);
    expect([...out.matchAll(/"content":"([^"]*)"/g)].map(([, text]) => text).join("")).toBe(
      `My key is ${secret} indeed.`,
    );
  });

  it("that is no JSON stays as it is, and a wrong escape ends nothing", async () => {
    expect(await streamed('data: {"choices":[{"delta":{"content":"\\q"}}]}\n\n')).toBe(
      '{"choices":[{"delta":{"content":"\\q"}}]}',
    );
  });

  // Quadratic work on these would last minutes: the test's own limit is the bound.
  it("takes no longer than its length deserves", async () => {
    const unfinished = chunk({ tool_calls: [{ index: 0, function: { arguments: '{"a":"b' } }] });
    await streamed(sse(...Array.from({ length: 64_000 }, () => unfinished)));
    const deep = JSON.stringify({ messages: [message({ content: `${"[".repeat(20_000)}"a"${"]".repeat(20_000)}` })] });
    expect(await screened(deep)).not.toMatch(RAW);
  });
});

it("the shield of an answer counts what it could not read", async () => {
  const shield = await shieldOf();
  expect(shield.answer).toBeInstanceOf(AnswerShield);
  shield.answer.addUnscanned();
  expect(shield.record?.decisions).toMatchObject([{ stage: "output", unscanned: { body: 1 } }]);
  const other = await shieldOf();
  other.screenRequest('{"prompt":[[15339,1917]]}');
  expect(other.record?.decisions).toMatchObject([{ stage: "input", unscanned: { tokens: 1 } }]);
});
