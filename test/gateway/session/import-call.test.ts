import fc from "fast-check";
import { describe, expect, it } from "vitest";
import type { Dialect } from "../../../src/canonical/types.ts";
import { DIALECTS } from "../../../src/dialects/index.ts";
import type { CommittedAnswer } from "../../../src/gateway/call/call.ts";
import { readJournaledCall, toJournaledCall, toStatelessCall } from "../../../src/gateway/session/import-call.ts";
import type { CallRecord } from "../../../src/store/records.ts";
import { type SurfaceId, SURFACES } from "../../../src/surfaces/index.ts";
import { openRequest, type ParsedRequest, readMembers } from "../../../src/surfaces/request.ts";
import { recordings } from "../../support/recordings.ts";

const SURFACE_IDS: readonly SurfaceId[] = ["chat", "responses", "messages", "gemini", "native"];
const NO_CONTEXT = { parent: undefined, history: [], known: 0 };
const RESPONSE = { id: "", model: "m", messages: [], finish: { reason: "stop" }, usage: {} } as const;
const OUTPUT = { dialect: "openai-chat", items: '{"role":"assistant","content":"a"}', issuer: "p" } as const;

const recordOf = ({ model }: ParsedRequest): CallRecord =>
  ({ id: "call_0", org: "org", modelAsked: model }) as unknown as CallRecord;

const answerTo = (request: ParsedRequest): CommittedAnswer => ({
  request,
  context: NO_CONTEXT,
  output: OUTPUT,
  response: { ...RESPONSE, messages: [] },
  reply: { created: 0 },
});

/** Through the journal, as JSON and text. */
function journaled(request: ParsedRequest): unknown {
  const { call, request: text } = toJournaledCall({ record: recordOf(request), answer: answerTo(request) });
  return readJournaledCall({ text: JSON.stringify(call), ...(text !== undefined && { request: text }) });
}

const recordedAtOnce = (request: ParsedRequest): unknown =>
  JSON.parse(JSON.stringify(toStatelessCall({ record: recordOf(request), answer: answerTo(request) })));

function open(id: SurfaceId, body: object): ParsedRequest {
  const surface = SURFACES[id];
  const text = JSON.stringify({ ...body, rhone: { context_mode: "stateless", tags: ["a"] } });
  return openRequest(readMembers(text, new Headers(), surface), surface, id === "gemini" ? { model: "m" } : {});
}

describe.each(SURFACE_IDS)("a stateless call on %s", (id) => {
  const dialect: Dialect = SURFACES[id].dialect.id;

  it("journaled and then read is the same as recorded at once", () => {
    const requests = recordings(dialect).flatMap(({ request }) => (request === undefined ? [] : [request]));
    expect(requests.length > 0 || dialect === "native").toBe(true);
    for (const body of requests) {
      const request = open(id, { model: "m", ...body });
      expect(journaled(request)).toEqual(recordedAtOnce(request));
    }
  });

  it("is the same as recorded at once, whatever its texts are", () => {
    fc.assert(
      fc.property(fc.array(fc.string({ unit: "grapheme" }), { minLength: 1, maxLength: 4 }), (texts) => {
        const blocks = texts.map((text) => [{ kind: "text" as const, text: `x${text}` }]);
        const messages = blocks.map((all, i) => ({
          role: i % 2 ? ("assistant" as const) : ("user" as const),
          blocks: all,
        }));
        const asked = { model: "m", stream: false, messages };
        const { value } = DIALECTS[dialect].encodeRequest(asked, { dialect, model: "m", issuer: "p" });
        const request = open(id, value);
        expect(journaled(request)).toEqual(recordedAtOnce(request));
      }),
      { numRuns: 40 },
    );
  });
});

it("a request of which only its provider could make sense leaves the call, without content", () => {
  const request = open("chat", { model: "m", messages: 7 });
  expect(journaled(request)).toEqual({ record: recordOf(request) });
});
