import { describe, expect, it } from "vitest";
import type { Block, Message } from "../../src/canonical/types.ts";
import { withoutUnfinishedThinking } from "../../src/canonical/unfinished-thinking.ts";

const thinking: Block = { kind: "thinking", text: "Hm." };
const text = (words: string): Block => ({ kind: "text", text: words });
const call: Block = { kind: "tool_call", id: "call_1", name: "look", arguments: "{}" };
const user: Message = { role: "user", blocks: [text("Hi")] };
const assistant = (...blocks: Block[]): Message => ({ role: "assistant", blocks });
const finish = (...messages: Message[]): readonly Message[] => withoutUnfinishedThinking(messages);

describe("an answer that ends in its thinking", () => {
  it("loses that thinking, and is left out if it is nothing else", () => {
    expect(finish(user, assistant(thinking), user)).toEqual([user, user]);
    expect(finish(user, assistant(thinking, text("")))).toEqual([user]);
    expect(finish(user, assistant(text("A"), thinking), user)).toEqual([user, assistant(text("A")), user]);
    expect(finish(user, assistant(thinking, call), assistant(thinking), user)).toEqual([
      user,
      assistant(thinking, call),
      user,
    ]);
    expect(finish(assistant(thinking), assistant(thinking), user)).toEqual([user]);
  });

  it("is the only one that changes", () => {
    for (const messages of [
      [],
      [user],
      [user, assistant(thinking, text("A")), user],
      [user, assistant(thinking), assistant(call), user],
      [user, assistant(text("")), user],
      [user, assistant(), user],
    ])
      expect(withoutUnfinishedThinking(messages)).toBe(messages);
  });
});
