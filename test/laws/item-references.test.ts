import { describe, expect, it } from "vitest";
import type { Message } from "../../src/canonical/types.ts";
import { DIALECTS } from "../../src/dialects/index.ts";
import { decodeMessages, encodeMessages } from "../../src/dialects/openai-responses/messages.ts";

const question = { role: "user", content: "Hello" };
const answer = { id: "msg_1", type: "message", role: "assistant", content: [{ type: "output_text", text: "Hi." }] };
const target = { dialect: "openai-responses", model: "m", issuer: "openai" } as const;

describe.each([[{ type: "item_reference", id: "msg_1" }], [{ id: "msg_1" }], [{ type: null, id: "rs_1" }]])(
  "the reference %j",
  (reference) => {
    const messages = decodeMessages([question, reference, answer], "openai");

    it("is never sent to the provider of its wire, and is a loss", () => {
      const { value, losses } = encodeMessages(messages, target);
      expect(value).toEqual([question, answer]);
      expect(losses).toMatchObject([{ at: "item_reference", what: "dropped" }]);
    });

    it("inside a message of another wire neither", () => {
      const blocks = messages.flatMap((message) => (message.role === "assistant" ? message.blocks : []));
      const foreign: Message = { role: "assistant", blocks };
      expect(JSON.stringify(encodeMessages([foreign], target).value)).not.toContain("item_reference");
    });

    it.each(["anthropic", "gemini", "openai-chat", "openai-responses"] as const)("is no message of %s", (id) => {
      const dialect = DIALECTS[id];
      const { value } = dialect.encodeMessages(messages, { ...target, dialect: dialect.id });
      expect(JSON.stringify(value)).not.toMatch(/item_reference|rs_1/);
    });
  },
);

it("a message that has only an id besides its content is no reference", () => {
  const items = [
    { id: "msg_1", content: "Hello" },
    { id: "msg_2", role: "user", content: "" },
  ];
  expect(encodeMessages(decodeMessages(items), target)).toEqual({ value: items, losses: [] });
});
