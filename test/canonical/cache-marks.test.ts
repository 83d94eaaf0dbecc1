import { expect, it } from "vitest";
import { anthropic } from "../../src/dialects/anthropic/index.ts";
import type { WireDialect } from "../../src/dialects/dialect.ts";
import { gemini } from "../../src/dialects/gemini/index.ts";
import { native } from "../../src/dialects/native/index.ts";
import { openaiChat } from "../../src/dialects/openai-chat/index.ts";
import { openaiResponses } from "../../src/dialects/openai-responses/index.ts";
import type { Json } from "../../src/wire/json.ts";

/** The same two texts, the first marked, as each wire that has marks says them. */
const MARK = { prompt_cache_breakpoint: { mode: "explicit" } };
const SAID: [wire: WireDialect, items: Json[]][] = [
  [
    anthropic,
    [
      {
        role: "user",
        content: [
          { type: "text", text: "long", cache_control: { type: "ephemeral" } },
          { type: "text", text: "short" },
        ],
      },
    ],
  ],
  [
    openaiChat,
    [
      {
        role: "user",
        content: [
          { type: "text", text: "long", ...MARK },
          { type: "text", text: "short" },
        ],
      },
    ],
  ],
  [
    openaiResponses,
    [
      {
        type: "message",
        role: "user",
        content: [
          { type: "input_text", text: "long", ...MARK },
          { type: "input_text", text: "short" },
        ],
      },
    ],
  ],
  [
    native,
    [
      { type: "input", text: "long", cache: "5m" },
      { type: "input", text: "short" },
    ],
  ],
];

const toward = (wire: WireDialect, items: Json[], from: WireDialect, model: string): string =>
  JSON.stringify(wire.encodeMessages(from.decodeMessages(items), { dialect: wire.id, model }));

it.each(SAID.flatMap(([from, items]) => SAID.map(([to]) => [from.id, to.id, from, to, items] as const)))(
  "a cache mark of %s is at the same place when it is encoded for %s",
  (_, __, from, to, items) => {
    const text = toward(to, items, from, "gpt-5.6");
    const marks = /cache_control|prompt_cache_breakpoint|"cache":"5m"/g;
    expect(text.match(marks)).toHaveLength(1);
    const at = text.search(marks);
    expect(text.indexOf("long")).toBeLessThan(at);
    expect(at).toBeLessThan(text.indexOf("short"));
  },
);

it.each(SAID)("a cache mark is no loss where a model or a wire has none: $id", (from, items) => {
  for (const [to, model] of [
    [openaiChat, "gpt-5.1"],
    [openaiResponses, "gpt-4o"],
    [gemini, "gemini-3-pro"],
  ] as const) {
    if (to === from) continue;
    expect(toward(to, items, from, model)).not.toMatch(/cache/);
    expect(toward(to, items, from, model)).toContain('"losses":[]');
  }
});
