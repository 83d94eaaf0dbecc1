import { describe, expect, it } from "vitest";
import { request } from "../support/worker/client.ts";

type Json = ReturnType<typeof JSON.parse>;

/** A provider of each dialect, whose first answer ends in its thinking: a limit has cut it off. */
const PROVIDERS = ["fake", "fakeresp", "fakeanth", "fakegem"];

/** What each surface asks with, and how its transcript goes on behind an answer. */
const SURFACES: Record<string, { ask: (text: string) => object; transcript: (answer: Json) => object }> = {
  "/v1/messages": {
    ask: (text) => ({ max_tokens: 2048, messages: [{ role: "user", content: text }] }),
    transcript: ({ content }) => ({
      max_tokens: 2048,
      messages: [
        { role: "user", content: "First." },
        { role: "assistant", content },
        { role: "user", content: "Go on." },
      ],
    }),
  },
  "/v1/chat/completions": {
    ask: (text) => ({ messages: [{ role: "user", content: text }] }),
    transcript: ({ choices: [{ message }] }) => ({
      messages: [{ role: "user", content: "First." }, message, { role: "user", content: "Go on." }],
    }),
  },
  "/v1/responses": {
    ask: (text) => ({ input: text, store: false, include: ["reasoning.encrypted_content"] }),
    transcript: ({ output }) => ({
      store: false,
      include: ["reasoning.encrypted_content"],
      input: [{ role: "user", content: "First." }, ...output, { role: "user", content: "Go on." }],
    }),
  },
};

async function call(path: string, body: object, context: "stateful" | "stateless"): Promise<Json> {
  const headers = { "anthropic-version": "2023-06-01", "x-rhone-context-mode": context };
  const response = await request(path, { method: "POST", body: JSON.stringify(body), headers });
  const text = await response.text();
  expect(response.status, text).toBe(200);
  return JSON.parse(text);
}

const cases = Object.keys(SURFACES).flatMap((path) => PROVIDERS.map((provider) => [path, provider] as const));
const OWN: Record<string, string> = {
  "/v1/messages": "fakeanth",
  "/v1/chat/completions": "fake",
  "/v1/responses": "fakeresp",
};

describe("an answer that ends in its thinking", () => {
  it.each(cases)("does not stop its session: %s on %s, then on each other", async (path, provider) => {
    const { ask } = SURFACES[path]!;
    for (const next of PROVIDERS) {
      const { rhone } = await call(path, { ...ask("First."), model: `${provider}/ponder` }, "stateful");
      const more = { ...ask("Go on."), model: `${next}/ponder`, rhone: { session_id: rhone.session_id } };
      const said = JSON.stringify(await call(path, more, "stateful"));
      expect(said).toMatch(/First\..*Go on\./);
    }
  });

  it.each(cases.filter(([path, provider]) => OWN[path] !== provider))(
    "is no hindrance in a transcript: %s on %s",
    async (path, provider) => {
      const { ask, transcript } = SURFACES[path]!;
      const model = `${provider}/ponder`;
      const answer = await call(path, { ...ask("First."), model }, "stateless");
      const said = JSON.stringify(await call(path, { ...transcript(answer), model }, "stateless"));
      expect(said).toMatch(/First\..*Go on\./);
    },
  );
});
