import { expect, it } from "vitest";
import { redact, redactArguments } from "../../../src/session/history/redact.ts";

it("redacts what the shield finds, or the texts that are given, and nothing else", () => {
  const text =
    "Mail bob@example.com, card 4111 1111 1111 1111, call (415) 555-0132. Version 1.2.3, order 4111111111111112.";
  expect(redact(text, undefined)).toBe(
    "Mail [redacted], card [redacted], call [redacted]. Version 1.2.3, order 4111111111111112.",
  );
  expect(redact(text, ["Version"])).toBe(text.replace("Version", "[redacted]"));
});

it("arguments stay JSON", () => {
  const args = '{"to": "bob@example.com", "card": 4111111111111111, "n": [12345, true]}';
  expect(redactArguments(args, undefined)).toBe('{"to": "[redacted]", "card": 0, "n": [12345, true]}');
  expect(redactArguments('{"to": "bob@example.c', undefined)).toBe('{"to": "bob@example.c');
  expect(redactArguments('{"to": "bob@example.com', undefined)).toBe('{"to": "[redacted]');
});
