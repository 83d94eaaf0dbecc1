import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { pairResults } from "../../src/canonical/tool-results.ts";
import { hashTurn, ROOT } from "../../src/canonical/turn-hash.ts";
import type { Message, ToolResult } from "../../src/canonical/types.ts";
import { DIALECTS } from "../../src/dialects/index.ts";
import { toInputStep } from "../../src/gateway/call/turn-input.ts";
import { continueRequest } from "../../src/gateway/continued-request.ts";
import { encodeBody, spliceBody } from "../../src/gateway/request-body.ts";
import { decodeItems } from "../../src/session/history/decode.ts";
import { listPendingCalls, type Turn, type WireItems } from "../../src/session/turns.ts";
import { SURFACES } from "../../src/surfaces/index.ts";
import { parseRequest, readMembers } from "../../src/surfaces/request.ts";
import type { JsonObject } from "../../src/wire/json.ts";
import { type Answer, type Call, FORMS, ID_STYLES, idsAt, pairsOf, type Wire, WIRES } from "../support/tool-wires.ts";

const turns = fc.array(
  fc.record({
    provider: fc.constantFrom(...WIRES),
    surface: fc.constantFrom(...WIRES),
    style: fc.constantFrom(...ID_STYLES),
    hasIds: fc.boolean(),
    count: fc.integer({ min: 1, max: 3 }),
    order: fc.boolean(),
    isSplit: fc.boolean(),
    text: fc.option(fc.nat({ max: 3 }), { nil: undefined }),
  }),
  { minLength: 1, maxLength: 4 },
);

describe("calls and results of several providers and surfaces", () => {
  it("calls and results of several providers and surfaces are the same pairs on every wire", () => {
    fc.assert(
      fc.property(turns, (drawn) => {
        const messages: Message[] = [];
        const expected: number[] = [];
        drawn.forEach(({ provider, surface, style, hasIds, count, order, isSplit, text }, turn) => {
          const calls = Array.from({ length: count }, (_, i): Call => ({
            id: provider === "gemini" && !hasIds ? undefined : style(turn, i),
            n: turn * 4 + i,
          }));
          const items = JSON.stringify(FORMS[provider].calls(calls)).slice(1, -1);
          const stored = calls.map(({ id, n }) => ({ id: id ?? `call_assigned_${n}`, name: "look" }));
          const reply = decodeItems({ dialect: provider, items, issuer: provider, calls: stored });
          const ids = idsAt(surface, reply);
          const results = calls.map(({ n }, i): Answer => ({ id: ids[i], n }));
          const sent = order && !ids.includes(undefined) ? results.toReversed() : results;
          if (text !== undefined) sent.splice(text, 0, { text: "wait" });
          const groups = isSplit ? sent.map((one) => [one]) : [sent];
          messages.push(
            ...reply,
            ...groups.flatMap((group) => DIALECTS[surface].decodeMessages(FORMS[surface].answers(group))),
          );
          expected.push(...calls.map(({ n }) => n));
        });
        for (const wire of WIRES) {
          const { value } = DIALECTS[wire].encodeMessages(pairResults(messages), {
            dialect: wire,
            model: "m",
            issuer: wire,
          });
          const pairs = pairsOf(FORMS[wire].read(value as JsonObject[])).toSorted(([a], [b]) => a - b);
          expect([wire, pairs, JSON.stringify(value)]).toEqual([
            wire,
            expected.map((n) => [n, n]),
            JSON.stringify(value),
          ]);
        }
      }),
      { numRuns: 500 },
    );
  });
});

const SURFACE: Record<Wire, keyof typeof SURFACES> = {
  "openai-chat": "chat",
  "openai-responses": "responses",
  anthropic: "messages",
  gemini: "gemini",
};
/** A host that accepts few ids. */
const STRICT = { toolId: /^[A-Za-z0-9]{9,32}$/ };

/** One step of a session: the client's results of the calls before, then an answer with calls. */
const steps = fc.array(
  fc.record({
    provider: fc.constantFrom(...WIRES),
    surface: fc.constantFrom(...WIRES),
    style: fc.constantFrom(...ID_STYLES),
    hasIds: fc.boolean(),
    /** Whether the client of Gemini's surface has the ids of the session. */
    knowsIds: fc.boolean(),
    count: fc.integer({ min: 1, max: 3 }),
    /** Which of the calls get a result, by bits, and whether in reverse order. */
    answered: fc.nat({ max: 7 }),
    /** Which of the calls have a stored result, by bits. */
    stored: fc.nat({ max: 7 }),
    isReversed: fc.boolean(),
    /** The first result is given again at the end. */
    isRepeated: fc.boolean(),
    isSplit: fc.boolean(),
  }),
  { minLength: 1, maxLength: 4 },
);

describe("the turns of a session, over several providers and surfaces", () => {
  it("every request of a session over several providers and surfaces has one result for each call", () => {
    fc.assert(
      fc.property(steps, fc.boolean(), (drawn, isStrict) => {
        const history: WireItems[] = [];
        const expected: [number, number][] = [];
        drawn.forEach(
          ({ provider, surface, style, hasIds, knowsIds, count, answered, stored, isReversed, ...given }, turn) => {
            const { isRepeated, isSplit } = given;
            const calls = Array.from({ length: count }, (_, i): Call => ({
              id: provider === "gemini" && !hasIds ? undefined : style(turn, i),
              n: turn * 4 + i,
            }));
            const output = {
              dialect: provider,
              items: JSON.stringify(FORMS[provider].calls(calls)).slice(1, -1),
              issuer: provider,
              calls: calls.map(({ id, n }) => ({ id: id ?? `call_assigned_${n}`, name: "look" })),
            };
            history.push(output);
            const reply = decodeItems(output);
            const ids = idsAt(surface, reply).map((id, i) => (knowsIds ? (id ?? output.calls[i]!.id) : id));
            // Without ids the results are those of the first calls.
            const hasAll = !ids.includes(undefined);
            const own = calls.map(({ n }, i): Answer => ({ id: ids[i], n })).filter((_, i) => (answered >> i) & 1);
            const results = hasAll ? own : calls.slice(0, own.length).map(({ n }): Answer => ({ id: undefined, n }));
            const sent = isReversed && hasAll ? results.toReversed() : results;
            const repeated = isRepeated && hasAll ? [...sent, ...sent.slice(0, 1)] : sent;
            const groups = isSplit ? repeated.map((one) => [one]) : [repeated];
            const has = new Set(sent.flatMap((one) => ("n" in one ? [one.n] : [])));
            // A stored result has another number than the client's: that of its call, and a half.
            const storedNumberOf = (n: number, i: number): number => ((stored >> i) & 1 ? n + 0.5 : Number.NaN);
            const pairs = calls.map(({ n }, i): [number, number] => [n, has.has(n) ? n : storedNumberOf(n, i)]);
            expected.push(...pairs);

            const { layout } = DIALECTS[surface];
            const items = [...groups.filter((group) => group.length > 0), [{ text: "Go on." }]].flatMap((group) =>
              FORMS[surface].answers(group),
            );
            const text = JSON.stringify({
              model: "m",
              [layout.items]: items,
              ...(surface === "anthropic" && { max_tokens: 9 }),
            });
            const row = SURFACES[SURFACE[surface]];
            const parsed = parseRequest(readMembers(text, new Headers(), row), row, { model: "m" });
            const parent: Turn = {
              ...hashTurn(ROOT, [], reply),
              id: `turn_${turn}`,
              parent: undefined,
              kind: "call",
              depth: turn,
              open: listPendingCalls(reply),
              input: { dialect: surface, items: "" },
              output,
              createdAt: 0,
            };
            const storedResults = calls.flatMap(({ n }, i): ToolResult[] => {
              const number = storedNumberOf(n, i);
              if (Number.isNaN(number)) return [];
              const { id, name } = output.calls[i]!;
              return [{ kind: "tool_result", id, name, content: [{ kind: "text", text: `${number}` }] }];
            });
            const found = { parent, history: [...history], known: 0, results: storedResults };
            const { request: paired, context } = continueRequest(parsed, found);
            for (const wire of WIRES) {
              const target = { dialect: wire, model: "m", issuer: wire, ...(isStrict && { quirks: STRICT }) };
              const { body } =
                wire === surface ? spliceBody(paired, context, target) : encodeBody(paired, context, target);
              const value = (JSON.parse(body) as JsonObject)[DIALECTS[wire].layout.items] as JsonObject[];
              const sentPairs = pairsOf(FORMS[wire].read(value)).toSorted(([a], [b]) => a - b);
              expect([wire, sentPairs, body]).toEqual([wire, expected, body]);
              if (wire === "gemini") expectWholeTurns(value, body);
            }
            const step = toInputStep(paired, context);
            expect(step.requested).toEqual(parsed.messages);
            // Only a call without any result is a loss.
            expect(context.losses ?? []).toHaveLength(pairs.filter(([, result]) => Number.isNaN(result)).length);
            history.push(step.input);
          },
        );
      }),
      { numRuns: 500 },
    );
  });
});

/** Gemini wants as many results as calls in the content behind them. */
function expectWholeTurns(contents: readonly JsonObject[], body: string): void {
  const counts = contents.map(({ parts }) =>
    ["functionCall", "functionResponse"].map((member) => (parts as JsonObject[]).filter((one) => one[member]).length),
  );
  counts.forEach(([, results], i) => expect([results, body]).toEqual([counts[i - 1]?.[0] ?? 0, body]));
}
