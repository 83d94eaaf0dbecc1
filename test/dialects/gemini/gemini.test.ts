import { readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import type { StreamEvent } from "../../../src/canonical/types.ts";
import { gemini } from "../../../src/dialects/gemini/index.ts";
import { encodeUtf8 } from "../../../src/wire/bytes.ts";
import type { Json } from "../../../src/wire/json.ts";
import { decodeSse } from "../../../src/wire/sse.ts";

const home = { dialect: "gemini", model: "gemini-3-flash", issuer: "home" } as const;

const decode = (text: string): StreamEvent[] => {
  const decoder = gemini.decodeStream("home");
  return [...decodeSse(encodeUtf8(text)).flatMap((event) => decoder.push(event)), ...decoder.end()];
};
const stream = (...parts: Json[]): string =>
  `data: ${JSON.stringify({ candidates: [{ content: { role: "model", parts }, finishReason: "STOP" }] })}\r\n\r\n`;
const closed = (events: readonly StreamEvent[]): unknown[] =>
  events.flatMap((event) => (event.type === "close" ? [event.block.native?.item] : []));

describe("Gemini's wire", () => {
  it("a part with a signature is never joined to one without", () => {
    const signed = { text: "C", thoughtSignature: "c2ln" };
    const events = decode(stream({ text: "A" }, { text: "B" }, signed, { text: "D" }));
    expect(closed(events)).toEqual([{ text: "AB" }, signed, { text: "D" }]);
    const end = events.at(-1)!;
    expect(end.type === "end" && end.items?.[0]?.item).toEqual({
      role: "model",
      parts: [{ text: "AB" }, signed, { text: "D" }],
    });
  });

  it("a call that Vertex sends in pieces is decoded as one call", () => {
    const sse = readFileSync(
      join(import.meta.dirname, "../../fixtures/gemini/call-arguments-in-pieces/response.sse"),
      "utf8",
    );
    const calls = decode(sse).flatMap((event) =>
      event.type === "close" && event.block.kind === "tool_call" ? [event.block] : [],
    );
    expect(calls.map(({ name, arguments: args }) => [name, args])).toEqual([
      ["read_theme", "{}"],
      ["read_screen", '{"id":"A"}'],
      ["read_screen", '{"id":"B"}'],
      ["read_screen", '{"id":"C"}'],
    ]);
  });

  it("no path of a Gemini call's arguments reaches a prototype", () => {
    const partialArgs = [{ jsonPath: "$.__proto__.polluted", stringValue: "yes" }];
    decode(stream({ functionCall: { name: "f", partialArgs } }));
    expect(({} as { polluted?: string }).polluted).toBeUndefined();
  });

  it("an error that arrives as plain JSON under text/event-stream is decoded", () => {
    const events = decode(
      '{\n  "error": {\n    "code": 429,\n    "message": "slow down",\n    "status": "RESOURCE_EXHAUSTED"\n  }\n}\n',
    );
    expect(events).toMatchObject([
      { type: "error", error: { code: "rate.limited", status: 429, message: "slow down" } },
    ]);
  });

  it("Gemini's calls without ids are paired with their results by name and order", () => {
    const messages = gemini.decodeMessages([
      { role: "model", parts: [{ functionCall: { name: "f" } }, { functionCall: { name: "g" } }] },
      { role: "user", parts: ["g", "f"].map((name) => ({ functionResponse: { name, response: { result: name } } })) },
      { role: "model", parts: [{ functionCall: { name: "f" } }] },
      { role: "user", parts: [{ functionResponse: { name: "f", id: "the client's", response: {} } }] },
    ]);
    const ids = messages.map(({ blocks }) => blocks.map((block) => ("id" in block ? block.id : undefined)));
    expect(ids[1]).toEqual([ids[0]![1], ids[0]![0]]);
    expect(ids[3]).toEqual(ids[2]);
    expect(new Set(ids.flat())).toHaveProperty("size", 3);
  });

  it("a signature of Gemini is sent to its issuer only", () => {
    const part = { functionCall: { name: "f", args: {} }, thoughtSignature: "c2ln" };
    const messages = gemini.decodeMessages([{ role: "model", parts: [part] }], "home");
    expect(gemini.encodeMessages(messages, home).value).toEqual([{ role: "model", parts: [part] }]);
    expect(JSON.stringify(gemini.encodeMessages(messages, { ...home, issuer: "another" }).value)).not.toContain("c2ln");
  });

  it("both spellings of Gemini's members are read in one body, and each is encoded as it was", () => {
    const body = {
      system_instruction: { parts: [{ text: "Be brief" }] },
      contents: [{ role: "user", parts: [{ text: "Hi" }] }],
      generationConfig: { top_p: 0.5, thinkingConfig: { thinking_level: "HIGH" } },
    };
    const request = gemini.decodeRequest(body, { model: "gemini-3-flash", stream: true });
    expect(request).toMatchObject({ sampling: { topP: 0.5 }, reasoning: { effort: "high" }, stream: true });
    expect(request.messages.map(({ role }) => role)).toEqual(["system", "user"]);
    expect(gemini.encodeRequest(request, home)).toEqual({ value: body, losses: [] });
  });
});

it("a Gemini client's results without ids stay so, although their calls have ids", () => {
  const call = (id: string): Json => ({ functionCall: { id, name: "look", args: { id } } });
  const result = (text: string): Json => ({ functionResponse: { name: "look", response: { output: text } } });
  const contents = [
    { role: "model", parts: [call("a"), call("b")] },
    { role: "user", parts: [result("one"), result("two")] },
  ];
  expect(gemini.encodeMessages(gemini.decodeMessages(contents, "home"), home).value).toEqual(contents);
});
