import Anthropic from "@anthropic-ai/sdk";
import { GoogleGenAI } from "@google/genai";
import OpenAI from "openai";
import { describe, expect, it } from "vitest";
import { create, textOf } from "./calls.ts";
import { baseUrl, key } from "./gateway.ts";
import { shown, PROVIDERS, SEALED } from "./matrix.ts";

/** A text said through an SDK, in a session once there is one → the answer's text and the session. */
type Say = (model: string, text: string, session?: string) => Promise<{ text: string; session: string }>;

const openai = new OpenAI({ baseURL: `${baseUrl}/v1`, apiKey: key, maxRetries: 0 });
const anthropic = new Anthropic({ baseURL: baseUrl, apiKey: key, maxRetries: 0 });
const google = new GoogleGenAI({ apiKey: key, httpOptions: { baseUrl } });

const SESSION = "x-rhone-session-id";
const headersOf = (session: string | undefined): Record<string, string> =>
  session === undefined ? {} : { [SESSION]: session };

const chat: Say = async (model, content, session) => {
  const asked = openai.chat.completions.create(
    { model, messages: [{ role: "user", content }] },
    { headers: headersOf(session) },
  );
  const { data, response } = await asked.withResponse();
  return { text: data.choices[0]!.message.content!, session: response.headers.get(SESSION)! };
};

const messages: Say = async (model, content, session) => {
  const body = { model, max_tokens: 1000, messages: [{ role: "user" as const, content }] };
  const stream = anthropic.messages.stream(body, { headers: headersOf(session) });
  const { response } = await stream.withResponse();
  return { text: await stream.finalText(), session: response.headers.get(SESSION)! };
};

const gemini: Say = async (model, contents, session) => {
  const config = { httpOptions: { headers: headersOf(session) } };
  const answer = await google.models.generateContent({ model, contents, config });
  return { text: answer.text!, session: answer.sdkHttpResponse!.headers![SESSION]! };
};

const responses: Say = async (model, input, session) => {
  const { data, response } = await openai.responses
    .create({ model, input }, { headers: headersOf(session) })
    .withResponse();
  return { text: data.output_text, session: response.headers.get(SESSION)! };
};

const native: Say = async (model, input, session) => {
  const answer = await create({ model, input, ...(session !== undefined && { session_id: session }) });
  return { text: textOf(answer), session: answer.call.session_id };
};

const SDKS = [
  { sdk: "OpenAI Chat", say: chat },
  { sdk: "Anthropic", say: messages },
  { sdk: "Gemini", say: gemini },
  { sdk: "OpenAI Responses", say: responses },
  { sdk: "the native API", say: native },
];

it("a session that is used through all SDKs has all of its messages", async () => {
  const { session } = await chat("demo", "My name is Alice.");
  expect((await messages("demo", "What's my name?", session)).text).toBe("Your name is Alice.");
  expect((await gemini("demo", "My dog is Rex.", session)).text).toBe("I will remember that your dog is Rex.");
  expect((await responses("demo", "What's my dog?", session)).text).toBe("Your dog is Rex.");
  const last = await chat("demo", "What's my name?", session);
  expect(last).toEqual({ text: "Your name is Alice.", session });
});

describe.each(SDKS)("a session started with $sdk", ({ say }) => {
  it("a session goes on through every other SDK on every other provider", async () => {
    const { session } = await say("demo", "My name is Alice.");
    for (const [i, next] of SDKS.entries()) {
      const provider = PROVIDERS[i % PROVIDERS.length]!;
      expect((await next.say(`${provider}/say`, `Word ${i}.`, session)).text).toBe("Said say.");
      const { text } = await next.say(`${provider}/mirror`, "and?", session);
      for (const said of ["My name is Alice.", "I will remember that your name is Alice.", `Word ${i}.`, "Said say."])
        expect(text).toContain(said);
    }
    expect((await say("demo", "What's my name?", session)).text).toBe("Your name is Alice.");
  });

  it.each(PROVIDERS)("a session stores what %s has sealed through the others' turns", async (provider) => {
    const { session } = await say(`${provider}/think`, "hello");
    for (const { say } of SDKS) await say("demo", "My dog is Rex.", session);
    const { text } = await say(`${provider}/think`, "and?", session);
    expect(shown(text)).toContainEqual(SEALED[provider]);
    expect(text).toContain("I will remember that your dog is Rex.");
  });
});
