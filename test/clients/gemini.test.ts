import {
  ApiError,
  type Content,
  type FunctionCall,
  type GenerateContentParameters,
  GenerateContentResponse,
  GoogleGenAI,
  type Part,
} from "@google/genai";
import { describe, expect, it } from "vitest";
import { baseUrl, key } from "./gateway.ts";
import {
  shown,
  failureOf,
  FORMAT,
  IMAGE,
  PNG,
  PROVIDERS,
  type ProviderId,
  readAll,
  SEALED,
  WEATHER,
} from "./matrix.ts";

const connect = (apiKey: string, more: { baseUrl?: string; headers?: Record<string, string> } = {}): GoogleGenAI =>
  new GoogleGenAI({ apiKey, httpOptions: { baseUrl, retryOptions: { attempts: 1 }, ...more } });
const { models, chats } = connect(key);

const user = (...parts: Part[]): Content => ({ role: "user", parts });
const inSession = (id: string) => ({ httpOptions: { headers: { "x-rhone-session-id": id } } });

type Ask = (body: GenerateContentParameters) => Promise<GenerateContentResponse>;

/** The chunks of a stream as the one answer they are. */
async function joined(stream: Promise<AsyncGenerator<GenerateContentResponse>>): Promise<GenerateContentResponse> {
  const chunks = await readAll(await stream);
  const candidates = chunks.flatMap((chunk) => chunk.candidates ?? []);
  const parts = candidates
    .flatMap(({ content }) => content?.parts ?? [])
    .filter(({ text, thoughtSignature }) => text !== "" || thoughtSignature);
  return Object.assign(new GenerateContentResponse(), chunks.at(-1), {
    candidates: [{ ...candidates.at(-1), content: { role: "model", parts } }],
  });
}

const MODES: [mode: string, ask: Ask][] = [
  ["whole", (body) => models.generateContent(body)],
  ["streamed", (body) => joined(models.generateContentStream(body))],
];

const rounds = PROVIDERS.flatMap((provider) => MODES.map(([mode, ask]) => ({ provider, mode, ask })));
const sessionOf = (answer: GenerateContentResponse): string => answer.sdkHttpResponse!.headers!["x-rhone-session-id"]!;
const spoken = (answer: GenerateContentResponse): string =>
  partsOf(answer)
    .map(({ text, thought }) => (thought ? "" : text))
    .join("");
const thoughts = (answer: GenerateContentResponse): string =>
  partsOf(answer)
    .map(({ text, thought }) => (thought ? text : ""))
    .join("");
const partsOf = (answer: GenerateContentResponse): Part[] => answer.candidates![0]!.content!.parts!;

describe.each(rounds)("$mode answers of $provider", ({ provider, ask }) => {
  it("an answer is of the SDK's own type", async () => {
    const answer = await ask({ model: `${provider}/say`, contents: "hello" });
    expect(answer).toBeInstanceOf(GenerateContentResponse);
    expect(spoken(answer)).toBe("Said say.");
    expect(answer).toMatchObject({
      candidates: [{ content: { role: "model" }, finishReason: "STOP", index: 0 }],
      usageMetadata: { promptTokenCount: 12, cachedContentTokenCount: 4, candidatesTokenCount: 5, totalTokenCount: 17 },
    });
  });

  const functionDeclarations = [
    { name: WEATHER.name, description: WEATHER.description, parametersJsonSchema: WEATHER.schema },
  ];
  const config = { tools: [{ functionDeclarations }] };

  it("an answer calls several functions, and their results are accepted in a transcript or in the session", async () => {
    const hello = user({ text: "hello" });
    const answer = await ask({ model: `${provider}/tools`, contents: [hello], config });
    const calls = answer.functionCalls!;
    expect(calls.map(({ name, args }) => [name, args])).toEqual([
      ["get_weather", { city: "Paris" }],
      ["get_weather", { city: "Rome" }],
    ]);
    const results = user(resultOf(calls[0]!, "sunny in Paris"), resultOf(calls[1]!, "rainy in Rome"));
    const transcript = [hello, answer.candidates![0]!.content!, results];
    const headers = { "x-rhone-context-mode": "stateless" };
    const model = `${provider}/tools`;
    const stateless = await ask({ model, contents: transcript, config: { ...config, httpOptions: { headers } } });
    const stateful = await ask({ model, contents: [results], config: { ...config, ...inSession(sessionOf(answer)) } });
    expect([spoken(stateless), spoken(stateful)]).toEqual([
      "It is sunny in Paris and rainy in Rome.",
      "It is sunny in Paris and rainy in Rome.",
    ]);
  });

  it("an answer has its thoughts, and the session gives them to the model again", async () => {
    const config = { thinkingConfig: { includeThoughts: true, thinkingBudget: 2000 } };
    const answer = await ask({ model: `${provider}/think`, contents: "hello", config });
    expect([thoughts(answer), spoken(answer)]).toEqual(["Let me think.", "Said think."]);
    const next = await ask({
      model: `${provider}/think`,
      contents: "and?",
      config: { ...config, ...inSession(sessionOf(answer)) },
    });
    expect(shown(spoken(next))).toContainEqual(SEALED[provider]);
  });

  it("a full transcript is accepted with its thoughts as the client got them", async () => {
    const answer = await ask({ model: `${provider}/think`, contents: "hello" });
    const contents = [user({ text: "hello" }), answer.candidates![0]!.content!, user({ text: "and?" })];
    const next = await ask({ model: `${provider}/think`, contents, config: inSession(sessionOf(answer)) });
    expect(shown(spoken(next))).toContainEqual(SEALED[provider]);
  });

  it("images and the system instruction reach the provider", async () => {
    const contents = [user({ inlineData: { mimeType: "image/png", data: PNG } }, { text: "What is this?" })];
    const answer = await ask({ model: `${provider}/mirror`, contents, config: { systemInstruction: "Be brief." } });
    expect(shown(spoken(answer))).toContainEqual(IMAGE[provider]);
    expect(spoken(answer)).toContain("Be brief.");
  });

  it("an answer has the form of a schema", async () => {
    const properties = { city: { type: "string" }, degrees: { type: "number" } };
    const responseJsonSchema = { type: "object", properties, required: ["city", "degrees"] };
    const config = { responseMimeType: "application/json", responseJsonSchema };
    const answer = await ask({ model: `${provider}/json`, contents: "hello", config });
    expect(JSON.parse(answer.text!)).toEqual({ city: "Paris", degrees: 21 });
    expect(shown(spoken(await ask({ model: `${provider}/mirror`, contents: "hello", config })))).toContainEqual(
      FORMAT[provider],
    );
  });

  it("an answer that is declined has the finish reason SAFETY", async () => {
    const answer = await ask({ model: `${provider}/decline`, contents: "hello" });
    expect([answer.candidates![0]!.finishReason, answer.text]).toEqual(DECLINED[provider]);
  });

  it.each([
    ["refuse", 400, "max_tokens is too large"],
    ["limited", 429, "Slow down"],
    ["broken", 500, "Internal trouble"],
  ])("a failure is the SDK's ApiError: %s", async (script, status, message) => {
    const error = await failureOf(ask({ model: `${provider}/${script}`, contents: "hello" }));
    expect(error).toBeInstanceOf(ApiError);
    expect(error).toMatchObject({ status, message: expect.stringContaining(message) as string });
  });
});

const resultOf = ({ id, name }: FunctionCall, output: string): Part => ({
  functionResponse: { ...(id !== undefined && { id }), name: name!, response: { output } },
});

/** Two wires have the model's words for it. */
const DECLINED: Record<ProviderId, [reason: string, text: string | undefined]> = {
  fakechat: ["SAFETY", "I cannot help with that."],
  fakeresp: ["SAFETY", "I cannot help with that."],
  fakeanth: ["SAFETY", undefined],
  fakegem: ["SAFETY", undefined],
};

describe.each(PROVIDERS)("a stream of %s", (provider) => {
  it.each(["stateful", "stateless"])("a stream that is cut or fails throws: %s", async (mode) => {
    const config = { httpOptions: { headers: { "x-rhone-context-mode": mode } } };
    for (const script of ["cut", "failing"]) {
      const reasons: unknown[] = [];
      const heard = (async () => {
        const said = { model: `${provider}/${script}`, contents: "hello", config };
        for await (const chunk of await models.generateContentStream(said))
          reasons.push(...(chunk.candidates ?? []).flatMap(({ finishReason }) => finishReason ?? []));
      })();
      const error = await failureOf(heard);
      expect(error).toBeInstanceOf(ApiError);
      expect((error as ApiError).message).toMatch(script === "cut" ? /ended|interrupted/ : /Overloaded/);
      expect(reasons).toEqual([]);
    }
  });

  it("the SDK's chat reads a stream, and resends its history", async () => {
    const chat = chats.create({ model: `${provider}/mirror` });
    await readAll(await chat.sendMessageStream({ message: "My name is Alice." }));
    const answer = await chat.sendMessage({ message: "What's my name?" });
    expect(answer.text).toContain("My name is Alice.");
    const roles = chat.getHistory().map(({ role }) => role);
    expect(roles.filter((role, i) => role !== roles[i - 1])).toEqual(["user", "model", "user", "model"]);
  });
});

const misspelt = { httpOptions: { extraBody: { rhone: { sesion_id: "sess_x" } } } };

describe.each(MODES)("the demo, %s", (_, ask) => {
  it("an answer that the limit cut has the finish reason MAX_TOKENS", async () => {
    const answer = await ask({ model: "demo", contents: "one two three", config: { maxOutputTokens: 3 } });
    expect([spoken(answer), answer.candidates![0]!.finishReason]).toEqual(["You said: one", "MAX_TOKENS"]);
  });

  it("the demo answers from the messages of the session", async () => {
    const first = await ask({ model: "demo", contents: "My name is Alice." });
    const second = await ask({ model: "demo", contents: "What's my name?", config: inSession(sessionOf(first)) });
    expect(second.text).toBe("Your name is Alice.");
  });

  it.each([
    ["no such model", 404, () => ask({ model: "no-such-model", contents: "hi" })],
    ["no such session", 404, () => ask({ model: "demo", contents: "hi", config: inSession("sess_typo") })],
    ["a misspelt member of ours", 400, () => ask({ model: "demo", contents: "hi", config: misspelt })],
  ])("a call is refused with the SDK's ApiError: %s", async (_, status, call) => {
    const error = await failureOf(call());
    expect(error).toBeInstanceOf(ApiError);
    expect(error).toMatchObject({ status });
  });
});

it("a wrong key is refused", async () => {
  const { models } = connect("rhone_sk_wrong");
  expect(await failureOf(models.generateContent({ model: "demo", contents: "hi" }))).toMatchObject({ status: 401 });
});

it.each([
  ["with a key alone", {}],
  ["with a project", { project: "acme", location: "europe-west1" }],
])("the SDK in its Vertex mode finds its paths %s", async (_, place) => {
  const headers = { authorization: `Bearer ${key}` };
  const vertex = new GoogleGenAI({ vertexai: true, apiKey: key, ...place, httpOptions: { baseUrl, headers } });
  expect((await vertex.models.generateContent({ model: "demo", contents: "hi" })).text).toBe("You said: hi");
  const chunks = await readAll(await vertex.models.generateContentStream({ model: "fakeanth/say", contents: "hi" }));
  expect(chunks.map(({ text }) => text ?? "").join("")).toBe("Said say.");
});

it("the SDK's compatibility path leads to the same routes", async () => {
  const { models } = connect(key, { baseUrl: `${baseUrl}/v1/compat/gemini` });
  expect((await models.generateContent({ model: "demo", contents: "hi" })).text).toBe("You said: hi");
});
