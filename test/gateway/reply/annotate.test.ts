import fc from "fast-check";
import { describe, expect, it } from "vitest";
import type { Dialect } from "../../../src/canonical/types.ts";
import { DIALECTS } from "../../../src/dialects/index.ts";
import {
  addRequiredMembers,
  annotateBody,
  annotateEvent,
  isAnnotatedEnd,
} from "../../../src/gateway/reply/annotate.ts";
import { decodeUtf8, encodeUtf8 } from "../../../src/wire/bytes.ts";
import { decodeSse, type SseEvent } from "../../../src/wire/sse.ts";

const RHONE = { session_id: "sess_1", losses: [] };
const MEMBER = `"rhone":${JSON.stringify(RHONE)}`;
const dialects = Object.keys(DIALECTS) as Dialect[];

/** A JSON object as text, in one of the layouts that providers send. */
const objectTexts = fc
  .tuple(fc.dictionary(fc.string(), fc.jsonValue(), { noNullPrototype: true }), fc.constantFrom(0, 1, 2))
  .map(([value, indent]) => JSON.stringify(value, null, indent));

/** The text without the member that was added, and the comma before it. */
const withoutMember = (text: string): string => text.replace(`,${MEMBER}`, "").replace(MEMBER, "");

const eventOf = (text: string): SseEvent => decodeSse(encodeUtf8(text))[0]!;

describe("annotateBody", () => {
  it("annotateBody adds one member to any object and changes no other byte", () => {
    fc.assert(
      fc.property(objectTexts, (text) => {
        const annotated = annotateBody(text, RHONE);
        expect(JSON.parse(annotated)).toEqual({ ...(JSON.parse(text) as object), rhone: RHONE });
        expect(withoutMember(annotated)).toBe(text);
      }),
    );
  });

  it("annotateBody leaves what a parser would change: long numbers, duplicates, escapes, white space", () => {
    const text = String.raw`{"n":12345678901234567890,"a":1.0,"a":"\u00e9" }`;
    expect(annotateBody(text, RHONE)).toBe(text.replace(" }", `,${MEMBER} }`));
  });

  it("annotateBody adds the member to the first and the last chunk of a list, and to the only one once", () => {
    fc.assert(
      fc.property(fc.array(objectTexts, { minLength: 1, maxLength: 5 }), (chunks) => {
        const annotated = JSON.parse(annotateBody(`[${chunks.join("\n,")}]`, RHONE)) as object[];
        const expected = chunks.map((chunk, i) => ({
          ...(JSON.parse(chunk) as object),
          ...((i === 0 || i === chunks.length - 1) && { rhone: RHONE }),
        }));
        expect(annotated).toEqual(expected);
      }),
    );
  });

  it("annotateBody leaves a list without chunks as it is", () => {
    expect(annotateBody(" []", RHONE)).toBe(" []");
    expect(annotateBody("[1, null]", RHONE)).toBe("[1, null]");
  });
});

describe("annotateEvent", () => {
  const containers: Record<Dialect, string | undefined> = {
    "openai-chat": undefined,
    "openai-responses": "response",
    anthropic: "message",
    gemini: undefined,
    native: undefined,
  };

  it.each(dialects)(
    "annotateEvent for %s adds the member to the object that clients read, and changes no other byte",
    (dialect) => {
      fc.assert(
        fc.property(objectTexts, fc.boolean(), (inner, isWrapped) => {
          const container = containers[dialect];
          // One line, as the data of an event.
          const compact = JSON.stringify(JSON.parse(inner));
          const data = isWrapped ? `{"type":"x","${container ?? "choice"}":${compact},"n":1}` : `{"n":1}`;
          const event = eventOf(`event: x\ndata: ${data}\n\n`);
          const text = decodeUtf8(annotateEvent(dialect, event, RHONE));
          expect(withoutMember(text)).toBe(decodeUtf8(event.raw));
          const annotated = JSON.parse(eventOf(text).data!) as Record<string, { rhone?: object }>;
          const owner = isWrapped && container !== undefined ? annotated[container]! : annotated;
          expect(owner.rhone).toEqual(RHONE);
        }),
      );
    },
  );

  it.each([": a comment\n\n", "data: [DONE]\n\n", "data: text\n\n", "event: ping\n\n"])(
    "annotateEvent leaves %j as it is",
    (text) => {
      for (const dialect of dialects) {
        const event = eventOf(text);
        expect(annotateEvent(dialect, event, RHONE)).toBe(event.raw);
        expect(isAnnotatedEnd(dialect, event)).toBe(false);
      }
    },
  );
});

describe("isAnnotatedEnd", () => {
  const ends = (dialect: Dialect, name: string): boolean =>
    isAnnotatedEnd(dialect, eventOf(`event: ${name}\ndata: {"a":1}\n\n`));

  it("Anthropic's annotated end is the event that has the reason of the end", () => {
    expect(["message_start", "message_delta", "message_stop"].map((name) => ends("anthropic", name))).toEqual([
      false,
      true,
      false,
    ]);
  });

  it("the annotated end of Responses is its final event, of any kind", () => {
    const names = ["completed", "incomplete", "failed", "created", "output_text.done", "completed.x"];
    expect(names.map((name) => ends("openai-responses", `response.${name}`))).toEqual([
      true,
      true,
      true,
      false,
      false,
      false,
    ]);
  });

  it("the annotated end is any object where the stream ends with its last chunk", () => {
    expect((["openai-chat", "gemini", "native"] as const).map((dialect) => ends(dialect, "x"))).toEqual([
      true,
      true,
      true,
    ]);
  });
});

describe("addRequiredMembers", () => {
  const reply = { created: 1, id: "resp_1" };
  const responses = DIALECTS["openai-responses"];

  it.each([
    `data: {"type":"response.output_text.delta","delta":"\\"response\\""}\n\n`,
    `data: {"type":"x","response":null}\n\n`,
    `data: "response"\n\n`,
    `data: {"broken","response"\n\n`,
    `: "response"\n\n`,
  ])("addRequiredMembers returns the event itself if it has no response: %j", (text) => {
    const event = eventOf(text);
    expect(addRequiredMembers(responses, event, reply)).toBe(event);
  });

  it("addRequiredMembers completes the response and leaves what surrounds it; data and bytes agree", () => {
    const data = `{"type":"response.created","response":{"id":"r","object":"response","output":[]},"big":12345678901234567890}`;
    const event = addRequiredMembers(responses, eventOf(`event: response.created\ndata: ${data}\n\n`), reply);
    const completed = responses.complete!(`{"id":"r","object":"response","output":[]}`, reply);
    expect(event.data).toBe(`{"type":"response.created","response":${completed},"big":12345678901234567890}`);
    expect(decodeUtf8(event.raw)).toBe(`event: response.created\ndata: ${event.data}\n\n`);
    expect(JSON.parse(completed)).toMatchObject({ id: "r", output: [], created_at: 1 });
  });

  it("addRequiredMembers returns the event itself on a surface whose answers lack nothing", () => {
    const event = eventOf(`data: {"response":{}}\n\n`);
    for (const id of dialects.filter((id) => id !== "openai-responses"))
      expect(addRequiredMembers(DIALECTS[id], event, reply)).toBe(event);
  });
});
