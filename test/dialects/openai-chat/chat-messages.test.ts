import { expect, it } from "vitest";
import { anthropic } from "../../../src/dialects/anthropic/index.ts";
import { openaiChat } from "../../../src/dialects/openai-chat/index.ts";
import { openaiResponses } from "../../../src/dialects/openai-responses/index.ts";

const HOME = { dialect: openaiChat.id, model: "m" } as const;
const source = { type: "base64", media_type: "image/png", data: "aGk=" };
const call = (id: string): object => ({ type: "tool_use", id, name: "look", input: {} });

it("images of tool results follow all of the results at Chat", () => {
  const messages = anthropic.decodeMessages([
    { role: "assistant", content: [call("a"), call("b")] as never },
    {
      role: "user",
      content: [
        { type: "tool_result", tool_use_id: "a", content: [{ type: "image", source }] },
        { type: "tool_result", tool_use_id: "b", content: "nothing there" },
        { type: "text", text: "Well?" },
      ],
    },
  ]);
  const { value, losses } = openaiChat.encodeMessages(messages, HOME);
  expect(value.slice(1)).toEqual([
    { role: "tool", tool_call_id: "a", content: "" },
    { role: "tool", tool_call_id: "b", content: "nothing there" },
    { role: "user", content: [{ type: "image_url", image_url: { url: "data:image/png;base64,aGk=" } }] },
    { role: "user", content: "Well?" },
  ]);
  expect(losses.map(({ at, what }) => [at, what])).toEqual([["tool_result", "approximated"]]);
});

it("images of tool results follow all of the results at Chat, also if each result is an item of its own", () => {
  const shown = [{ type: "input_image", image_url: "https://a.example/b.png" }];
  const messages = openaiResponses.decodeMessages([
    { type: "function_call_output", call_id: "a", output: shown },
    { type: "function_call_output", call_id: "b", output: "done" },
  ]);
  const roles = openaiChat.encodeMessages(messages, HOME).value.map((item) => (item as { role: string }).role);
  expect(roles).toEqual(["tool", "tool", "user"]);
});

it("assistant messages that become one Chat message have the reasoning of each of them", () => {
  const said = (text: string): object => ({ role: "assistant", content: text, reasoning_content: `thought ${text}` });
  const messages = openaiChat
    .decodeMessages([said("one"), said("two")] as never)
    .map(({ native: _, ...message }) => message);
  expect(openaiChat.encodeMessages(messages, HOME).value).toEqual([
    { role: "assistant", content: "onetwo", reasoning_content: "thought onethought two" },
  ]);
});

it("the texts of another wire's assistant message are one text at Responses", () => {
  const messages = anthropic.decodeMessages([
    {
      role: "assistant",
      content: [
        { type: "text", text: "Hello " },
        { type: "text", text: "there" },
      ],
    },
  ]);
  const { value } = openaiResponses.encodeMessages(messages, { dialect: openaiResponses.id, model: "m" });
  expect(value).toEqual([{ type: "message", role: "assistant", content: "Hello there" }]);
});
