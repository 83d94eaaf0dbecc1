import { describe, expect, it } from "vitest";
import { decodeSse } from "../../../src/wire/sse.ts";
import { SIGNATURE } from "../../fake/anthropic.ts";
import { REQUEST, writePlan } from "../../fake/plan.ts";
import { EMAIL, setProfile, type Json } from "../../support/shield/gateway.ts";
import { request, user } from "../../support/worker/client.ts";

describe("a signed thought", () => {
  const messagesOf = async (body: object): Promise<{ text: string; content: Json[] }> => {
    const response = await request("/v1/messages", {
      method: "POST",
      body: JSON.stringify({ max_tokens: 2000, ...body }),
      headers: { "anthropic-version": "2023-06-01" },
    });
    const text = await response.text();
    expect([response.status, text.slice(0, 300)]).toEqual([200, expect.anything()]);
    return { text, content: contentIn(text) };
  };

  it.each([
    ["stateless", false],
    ["stateless", true],
    ["stateful", false],
    ["stateful", true],
  ])(
    "goes back as it was signed, though its client does not see the value in it: %s, streamed %s",
    async (context_mode, stream) => {
      await setProfile("thoughts", { mode: "enforce", stages: ["output"], detectors: { email: { action: "redact" } } });
      const question = user(writePlan([{ thinking: `Someone is ${EMAIL}, I think.`, text: "Done." }]));
      const rhone = { safety: { profile: "thoughts" }, context_mode };
      const { text, content } = await messagesOf({ model: "fakeanth/plan", messages: [question], stream, rhone });
      expect(text).not.toContain(EMAIL);
      expect(content[0]).toMatchObject({
        type: "thinking",
        thinking: expect.stringMatching(/^Someone is PII_EMAIL_\w{8}, I think\.$/),
      });
      expect(content[0]!.signature).toMatch(/^~rhone-sealed\../);
      const messages = [question, { role: "assistant", content }, user(writePlan([{ thinking: "", text: REQUEST }]))];
      const next = await messagesOf({ model: "fakeanth/plan", messages, rhone: { context_mode: "stateless" } });
      const asked = JSON.parse((next.content[0] as { text: string }).text) as { messages: { content: Json[] }[] };
      expect(asked.messages[1]!.content[0]).toEqual({
        type: "thinking",
        thinking: `Someone is ${EMAIL}, I think.`,
        signature: SIGNATURE,
      });
    },
  );

  /** The content of an answer of Messages, whole or streamed. */
  function contentIn(text: string): Json[] {
    if (text.startsWith("{")) return (JSON.parse(text) as { content: Json[] }).content;
    const content: Json[] = [];
    for (const { data } of decodeSse(new TextEncoder().encode(text))) {
      const event = JSON.parse(data!) as {
        type: string;
        index: number;
        content_block: Json;
        delta: Record<string, string>;
      };
      if (event.type === "content_block_start") content[event.index] = event.content_block;
      if (event.type !== "content_block_delta") continue;
      const block = content[event.index]!;
      for (const [key, value] of Object.entries(event.delta))
        if (key !== "type") block[key] = (block[key] as string) + value;
    }
    return content;
  }
});
