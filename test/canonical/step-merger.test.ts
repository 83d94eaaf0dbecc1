import { describe, expect, it } from "vitest";
import { fold, unfold } from "../../src/canonical/accumulator.ts";
import { GatewayError } from "../../src/canonical/error.ts";
import { StepMerger } from "../../src/canonical/step-merger.ts";
import { hashAfter, ROOT } from "../../src/canonical/turn-hash.ts";
import type {
  Block,
  FinishReason,
  Message,
  ModelResponse,
  Opaque,
  StreamEvent,
  ToolCall,
} from "../../src/canonical/types.ts";
import type { ReplyContext, WireDialect } from "../../src/dialects/dialect.ts";
import { DIALECTS } from "../../src/dialects/index.ts";
import { encodeUtf8 } from "../../src/wire/bytes.ts";
import { isObject, tryParseJson } from "../../src/wire/json.ts";
import { decodeSse } from "../../src/wire/sse.ts";
import { recordings } from "../support/recordings.ts";

const GAP = "\n\n";
const text = (words: string): Block => ({ kind: "text", text: words });
const call = (id: string, name: string): Block => ({ kind: "tool_call", id, name, arguments: `{"for":"${id}"}` });
const MCP_CALL: Opaque = {
  kind: "opaque",
  label: "mcp_call",
  native: {
    dialect: "openai-responses",
    item: { id: "mcp_1", type: "mcp_call", server_label: "s", name: "look", arguments: "{}", output: "seen" },
  },
};

function createAnswer(id: string, blocks: Block[], reason: FinishReason, output: number): ModelResponse {
  const messages: Message[] = [{ role: "assistant", blocks }];
  return { id, model: "m", messages, finish: { reason }, usage: { fresh: 1, output } };
}

/** A step as a provider gave it: its events as they came. */
type Step = { name: string; events: StreamEvent[] };

const eventsOf = (dialect: WireDialect, wire: string): StreamEvent[] => {
  const decoder = dialect.decodeStream();
  return [...decodeSse(encodeUtf8(wire)).flatMap((event) => decoder.push(event)), ...decoder.end()];
};

/** Every recorded answer that ended well. */
const RECORDED: readonly Step[] = Object.values(DIALECTS).flatMap((dialect) =>
  recordings(dialect.id).flatMap(({ id, status, body, sse }): Step[] => {
    if (status !== 200 || (body === undefined && sse === undefined)) return [];
    const events = sse === undefined ? unfold(dialect.decodeResponse(body!)) : eventsOf(dialect, sse);
    return events.at(-1)?.type === "end" ? [{ name: `${dialect.id}/${id}`, events }] : [];
  }),
);

const FIRST = unfold(createAnswer("first", [text("I look."), call("c1", "look"), call("c2", "look")], "tool_calls", 5));
const LAST = unfold(createAnswer("last", [text("Done.")], "stop", 7));

type Options = ConstructorParameters<typeof StepMerger>[0];
const hidesAll: Options = { isHidden: () => true, gap: GAP };
const hidesNone: Options = { isHidden: () => false, gap: GAP };

/** The merged events of these steps. `between`: what is inserted after each but the last. */
function merge(steps: readonly (readonly StreamEvent[])[], options: Options, between?: Opaque): StreamEvent[] {
  const merger = new StepMerger(options);
  const events = steps.flatMap((step, i) => [
    ...step.flatMap((event) => merger.push(event)),
    ...(between !== undefined && i < steps.length - 1 ? merger.insert(between) : []),
  ]);
  return [...events, merger.end()];
}

/**
 * A recorded answer as the only step, the first, the last and between others. Its calls are hidden or, as only those of a
 * last step can be, shown.
 */
const mergesOf = ({ events }: Step): StreamEvent[][] => [
  ...[[events], [events, LAST], [FIRST, events], [FIRST, events, LAST]].flatMap((steps) =>
    [GAP, ""].map((gap) => merge(steps, { ...hidesAll, gap })),
  ),
  merge([events], hidesNone),
  merge([FIRST, events], { ...hidesAll, isHidden: ({ name }) => name === "look" }),
];

/** Fails if a law does not hold for a recorded answer; the failure names it. */
function checkEach(holds: (step: Step) => void): void {
  const broken = RECORDED.flatMap((step) => {
    try {
      holds(step);
      return [];
    } catch (cause) {
      return [`${step.name}: ${String(cause)}`];
    }
  });
  expect(broken.slice(0, 3).join("\n"), `${broken.length} of ${RECORDED.length} break the law`).toBe("");
}

const REPLY: ReplyContext = { created: 1, id: "resp_x", includeUsage: true };
const callsIn = ({ messages }: ModelResponse): string[] =>
  messages.flatMap(({ blocks }) => blocks.flatMap((block) => (block.kind === "tool_call" ? [block.name] : [])));

function encodeStream(dialect: WireDialect, events: readonly StreamEvent[]): string {
  const encoder = dialect.encodeStream(REPLY);
  return events.map((event) => encoder.push(event)).join("");
}

const encodeWhole = (dialect: WireDialect, events: readonly StreamEvent[]) =>
  dialect.encodeResponse(fold(events), REPLY);

describe(`merged steps, over ${RECORDED.length} recorded answers`, { timeout: 60_000 }, () => {
  it("one step that calls no hidden tool is unchanged", () => {
    checkEach(({ events }) => {
      expect(fold(merge([events], hidesNone))).toEqual(fold(events));
    });
  });

  it("the stream is one: it has a start, an end, and its blocks follow one another", () => {
    checkEach((step) => {
      for (const events of mergesOf(step)) {
        expect(events.filter(({ type }) => type === "start")).toHaveLength(1);
        expect(events.filter(({ type }) => type === "end")).toHaveLength(1);
        expect([events[0]!.type, events.at(-1)!.type]).toEqual(["start", "end"]);
        let open: number | undefined;
        let count = 0;
        for (const event of events) {
          if (event.type === "open") {
            expect([open, event.index]).toEqual([undefined, count]);
            count++;
            open = event.index;
          }
          if (event.type === "delta" || event.type === "close") expect(event.index).toBe(open);
          if (event.type === "close") open = undefined;
        }
      }
    });
  });

  it("an answer means the same, however the events of its steps are cut", () => {
    checkEach(({ events }) => {
      const whole = unfold(fold(events));
      for (const options of [hidesNone, hidesAll]) {
        expect(fold(merge([whole, LAST], options))).toEqual(fold(merge([events, LAST], options)));
        expect(fold(merge([FIRST, whole], options))).toEqual(fold(merge([FIRST, events], options)));
      }
    });
  });

  it("no byte of a hidden call is encoded", () => {
    checkEach(({ events }) => {
      const { id: answerId, messages } = fold(events);
      const blocks = messages.flatMap((message) => message.blocks);
      const calls = blocks.flatMap((block) => (block.kind === "tool_call" ? [block] : []));
      const visible = blocks.flatMap((block) => {
        if (block.kind === "text" || block.kind === "thinking") return [block.text];
        return block.kind === "tool_call" ? [] : [JSON.stringify(block)];
      });
      for (const dialect of Object.values(DIALECTS)) {
        const encode = (merged: StreamEvent[]): string =>
          encodeStream(dialect, merged) + JSON.stringify(encodeWhole(dialect, merged));
        // A short word, or one that the model says or the wire has, proves nothing.
        const others = [...visible, answerId, encode(LAST)].join("\n");
        const hidden = calls
          .flatMap(({ id, name, arguments: args }) => [id, name, args])
          .filter((word) => word.length > 5 && !others.includes(word));
        for (const wire of [merge([events], hidesAll), merge([events, LAST], hidesAll)].map(encode))
          expect(hidden.filter((word) => wire.includes(JSON.stringify(word).slice(1, -1)))).toEqual([]);
      }
    });
  });

  it("a client of any wire, streamed or whole, sends back what the session has", () => {
    checkEach((step) => {
      if (!isSentInDeltas(step)) return;
      // What not every wire can represent at its place.
      if (fold(step.events).messages.some(({ blocks }) => blocks.some(isWireSpecific))) return;
      for (const events of mergesOf(step)) {
        const hash = hashAfter(ROOT, fold(events).messages);
        for (const dialect of Object.values(DIALECTS)) {
          const streamed = fold(eventsOf(dialect, encodeStream(dialect, events)));
          const whole = dialect.decodeResponse(encodeWhole(dialect, events));
          expect([dialect.id, hashAfter(ROOT, streamed.messages)]).toEqual([dialect.id, hash]);
          expect([dialect.id, hashAfter(ROOT, whole.messages)]).toEqual([dialect.id, hash]);
        }
      }
    });
  });
});

/** Whether the deltas of each text are the whole of it, as they are unless a recording was shortened. */
function isSentInDeltas({ events }: Step): boolean {
  const textAt = (index: number): string =>
    events.map((event) => (event.type === "delta" && event.index === index ? event.text : "")).join("");
  return events.every(
    (event) => event.type !== "close" || event.block.kind !== "text" || textAt(event.index) === event.block.text,
  );
}

/** Media in an answer, a refusal or a call before a text, and arguments that are no object, as the length limit leaves them. */
const isWireSpecific = (block: Block, i: number, blocks: readonly Block[]): boolean =>
  block.kind === "media" ||
  (block.kind === "text" && block.refusal === true) ||
  (block.kind === "tool_call" && (isCut(block) || blocks.slice(i).some(({ kind }) => kind === "text")));

const isCut = ({ arguments: args }: ToolCall): boolean => args.trim() !== "" && !isObject(tryParseJson(args));

describe.each(Object.values(DIALECTS).map((dialect) => [dialect.id, dialect] as const))(
  "steps with calls of a server, for a client of %s",
  (id, dialect) => {
    const isResponses = id === "openai-responses";
    const options = { isHidden: ({ name }: { name: string }) => name === "look", gap: isResponses ? "" : GAP };
    const between = isResponses ? MCP_CALL : undefined;
    const read = (events: StreamEvent[]): ModelResponse[] => [
      fold(eventsOf(dialect, encodeStream(dialect, events))),
      dialect.decodeResponse(encodeWhole(dialect, events)),
    ];

    it("shows the text of all steps, the last finish and the sum of the usage", () => {
      for (const answer of read(merge([FIRST, LAST], options, between))) {
        const blocks = answer.messages.flatMap((message) => message.blocks);
        const texts = blocks.flatMap((block) => (block.kind === "text" ? [block.text] : []));
        expect(texts.join("")).toBe(isResponses ? "I look.Done." : "I look.\n\nDone.");
        expect(callsIn(answer)).toEqual([]);
        expect(answer.finish.reason).toBe("stop");
        expect(answer.usage).toMatchObject({ fresh: 2, output: 12 });
        expect(blocks.some(({ kind }) => kind === "opaque")).toBe(isResponses);
      }
    });

    it("shows only the client's calls of a mixed batch", () => {
      const mixed = createAnswer("last", [text("Now you."), call("c3", "own"), call("c4", "look")], "tool_calls", 7);
      for (const answer of read(merge([FIRST, unfold(mixed)], options, between))) {
        expect(callsIn(answer)).toEqual(["own"]);
        expect(answer.finish.reason).toBe("tool_calls");
      }
    });
  },
);

describe("the gap between the texts of two steps", () => {
  const url = "https://rhone.example";
  const cited = (words: string): Block => ({
    kind: "text",
    text: words,
    citations: [{ url, start: 0, end: 4 }, { url }],
    native: { dialect: "anthropic", item: { type: "text", text: words } },
  });

  it("moves citations by its length, also those that come late, and drops the provider's item", () => {
    const last = createAnswer("last", [text(""), cited("Done."), cited("Really.")], "stop", 1);
    const events = unfold(last).map((event) =>
      event.type === "end" ? { ...event, late: [{ index: 1, citations: [{ url, start: 1, end: 2 }] }] } : event,
    );
    const blocks = fold(merge([FIRST, events], hidesAll)).messages.flatMap((message) => message.blocks);
    expect(blocks).toEqual([
      text("I look."),
      text(""),
      {
        kind: "text",
        text: "\n\nDone.",
        citations: [{ url, start: 2, end: 6 }, { url }, { url, start: 3, end: 4 }],
      },
      cited("Really."),
    ]);
  });

  it("is left out before the first text of all", () => {
    const silent = unfold(createAnswer("first", [call("c1", "look")], "tool_calls", 5));
    expect(fold(merge([silent, LAST], hidesAll)).messages).toEqual([{ role: "assistant", blocks: [text("Done.")] }]);
  });

  it("is sent in the stream once, before the first character", () => {
    const sent = merge([FIRST, LAST], hidesAll).flatMap((event) => (event.type === "delta" ? [event.text] : []));
    expect(sent).toEqual(["I look.", "\n\nDone."]);
  });
});

it("an error of a step is the last event of the merged stream", () => {
  const merger = new StepMerger(hidesAll);
  for (const event of FIRST) merger.push(event);
  const error: StreamEvent = { type: "error", error: new GatewayError("stream.interrupted", "cut") };
  expect(merger.push(error)).toEqual([error]);
});
