import { describe, expect, it } from "vitest";
import type { Message } from "../../../src/canonical/types.ts";
import { DIALECTS } from "../../../src/dialects/index.ts";
import { decodeMessages, encodeMessages } from "../../../src/dialects/openai-responses/messages.ts";
import { encodeBody, spliceBody } from "../../../src/gateway/request-body.ts";
import type { WireItems } from "../../../src/session/turns.ts";
import { SURFACES } from "../../../src/surfaces/index.ts";
import { parseRequest, readMembers } from "../../../src/surfaces/request.ts";
import { joinItems, type Json } from "../../../src/wire/json.ts";

const question = { role: "user", content: "Hello" };
const answer = { id: "msg_1", type: "message", role: "assistant", content: [{ type: "output_text", text: "Hi." }] };
const target = { dialect: "openai-responses", model: "m", issuer: "openai" } as const;

describe.each([[{ type: "item_reference", id: "msg_1" }], [{ id: "msg_1" }], [{ type: null, id: "rs_1" }]])(
  "the reference %j",
  (reference) => {
    const messages = decodeMessages([question, reference, answer], "openai");

    it("an item reference is never sent to the provider of its wire, and is a loss", () => {
      const { value, losses } = encodeMessages(messages, target);
      expect(value).toEqual([question, answer]);
      expect(losses).toMatchObject([{ at: "item_reference", what: "dropped" }]);
    });

    it("an item reference inside a message of another wire is not sent either", () => {
      const blocks = messages.flatMap((message) => (message.role === "assistant" ? message.blocks : []));
      const foreign: Message = { role: "assistant", blocks };
      expect(JSON.stringify(encodeMessages([foreign], target).value)).not.toContain("item_reference");
    });

    it.each(["anthropic", "gemini", "openai-chat", "openai-responses"] as const)(
      "an item reference is no message of %s",
      (id) => {
        const dialect = DIALECTS[id];
        const { value } = dialect.encodeMessages(messages, { ...target, dialect: dialect.id });
        expect(JSON.stringify(value)).not.toMatch(/item_reference|rs_1/);
      },
    );
  },
);

it("a message that has only an id besides its content is no reference", () => {
  const items = [
    { id: "msg_1", content: "Hello" },
    { id: "msg_2", role: "user", content: "" },
  ];
  expect(encodeMessages(decodeMessages(items), target)).toEqual({ value: items, losses: [] });
});

/** Turns that an older version stored may have references; it sent them on, or left them out, without a look-up. */
describe.each([
  [{ type: "item_reference", id: "msg_1" }],
  [{ id: "msg_1", type: "item_reference" }],
  [{ id: "msg_1" }],
  [{ type: null, id: "msg_1" }],
  [{ id: "msg_1", type: null }],
])("the reference %j in a stored turn", (reference) => {
  const items = [question, reference, { role: "user", content: '{"id": "inside"} "item_reference"' }];
  const history: WireItems[] = [
    { dialect: "openai-responses", items: items.map((item) => JSON.stringify(item, null, 1)).join(",") },
    { dialect: "openai-responses", items: joinItems([answer]), issuer: "openai" },
  ];
  const text = JSON.stringify({ model: "m", input: [{ role: "user", content: "Next" }] });
  const parsed = parseRequest(readMembers(text, new Headers(), SURFACES.responses), SURFACES.responses);
  const context = { parent: undefined, history, known: 0 };

  it("an item reference in a stored turn is left out as a loss for its own wire, and the other items stay", () => {
    const { body, losses } = spliceBody(parsed, context, target);
    const { input } = JSON.parse(body) as { input: Json[] };
    expect(input).toEqual([question, items[2], answer, { role: "user", content: "Next" }]);
    expect(losses).toMatchObject([{ at: "item_reference", what: "dropped" }]);
  });

  it.each(["anthropic", "gemini", "openai-chat"] as const)(
    "an item reference in a stored turn is left out for %s",
    (id) => {
      const { body } = encodeBody(parsed, context, { ...target, dialect: id });
      expect(body).not.toContain("msg_1");
      expect(body).toContain("Hi.");
    },
  );
});

it("a stored turn without references keeps its bytes", () => {
  const items = '{ "role":"user",  "content":"the \\"item_reference\\" of {\\"id\\": \\"x\\"}" }';
  const text = JSON.stringify({ model: "m", input: "Next" });
  const parsed = parseRequest(readMembers(text, new Headers(), SURFACES.responses), SURFACES.responses);
  const history: WireItems[] = [{ dialect: "openai-responses", items }];
  expect(spliceBody(parsed, { parent: undefined, history, known: 0 }, target).body).toContain(items);
});
