import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { GatewayError } from "../../src/canonical/error.ts";
import type { StreamEvent } from "../../src/canonical/types.ts";
import type { WireDialect } from "../../src/dialects/dialect.ts";
import { DIALECTS } from "../../src/dialects/index.ts";
import { encodeUtf8 } from "../../src/wire/bytes.ts";
import { isObject, type Json } from "../../src/wire/json.ts";
import { decodeSse } from "../../src/wire/sse.ts";
import { recordings } from "../support/recordings.ts";

/** Recordings with something wrong in them: decoders and encoders may refuse, and nothing else. */
const RUNS = { numRuns: Number(process.env.RHONE_FUZZ_RUNS ?? 300) };

/** One value somewhere in it replaced, dropped or doubled. */
const damaged = (value: Json): fc.Arbitrary<Json> =>
  fc
    .tuple(
      fc.nat(),
      fc.oneof(fc.jsonValue() as fc.Arbitrary<Json>, fc.constantFrom<Json>(null, "", [], {}, -1, "\uD800", [[[]]])),
    )
    .map(([place, other]) => {
      const all = places(value);
      return replaced(value, all[place % all.length]!, other);
    });

/** A text cut, with bytes flipped or lines doubled. */
const garbled = (text: string): fc.Arbitrary<string> =>
  fc
    .tuple(
      fc.nat(text.length),
      fc.nat(text.length),
      fc.constantFrom("", "\n\n", "{", '"', "data: {}\n\n", "\r", "\u0000", "data: null\n\n"),
    )
    .map(([from, to, what]) => text.slice(0, Math.min(from, to)) + what + text.slice(Math.max(from, to)));

describe.each(Object.values(DIALECTS).map((dialect) => [dialect.id, dialect] as const))("%s", (_, dialect) => {
  const all = recordings(dialect.id).slice(0, 40);
  const requests = all.flatMap(({ request }) => (request === undefined ? [] : [request]));
  const bodies = all.flatMap(({ body }) => (body === undefined ? [] : [body]));
  const streams = all.flatMap(({ sse }) => (sse === undefined ? [] : [sse]));

  it("any damaged request is accepted or refused, and encoded for any wire", () => {
    const request = fc.constantFrom(...requests).chain(damaged);
    fc.assert(
      fc.property(request, (body) => {
        if (!isObject(body)) return;
        const decoded = orRefusal(() => dialect.decodeRequest(body, { model: "m", stream: false }));
        if (decoded === undefined) return;
        for (const other of Object.values(DIALECTS)) {
          const encoded = orRefusal(() => other.encodeRequest(decoded, { dialect: other.id, model: "m" }));
          expect(encoded?.value ?? {}).toBeTypeOf("object");
        }
      }),
      RUNS,
    );
  });

  it("any damaged answer is accepted or refused, and encoded for any wire", () => {
    fc.assert(
      fc.property(fc.constantFrom(...bodies).chain(damaged), (body) => {
        const decoded = orRefusal(() => dialect.decodeResponse(body));
        if (decoded === undefined) return;
        for (const other of Object.values(DIALECTS)) {
          expect(orRefusal(() => other.encodeResponse(decoded, { created: 1 })) ?? {}).toBeTypeOf("object");
        }
      }),
      RUNS,
    );
  });

  it("any damaged stream has one terminal event, also when it is encoded for any other wire", () => {
    fc.assert(
      fc.property(fc.constantFrom(...streams).chain(garbled), (sse) => {
        const events = heard(dialect, sse);
        const terminal = events.filter(({ type }) => type === "end" || type === "error");
        expect(terminal).toHaveLength(1);
        expect(events.at(-1)).toBe(terminal[0]);
        for (const other of Object.values(DIALECTS)) {
          const encoder = other.encodeStream({ created: 1 });
          const again = heard(other, events.map((event) => encoder.push(event)).join(""));
          expect(again.at(-1)!.type).toBe(terminal[0]!.type);
        }
      }),
      RUNS,
    );
  });

  it("any text is decoded as an error", () => {
    fc.assert(
      fc.property(
        fc.oneof(
          fc.string(),
          fc.json(),
          fc.constantFrom(...bodies).map((body) => JSON.stringify(body)),
        ),
        (body) => {
          expect(dialect.decodeError(500, body)).toBeInstanceOf(GatewayError);
        },
      ),
      RUNS,
    );
  });
});

function heard(dialect: WireDialect, sse: string): StreamEvent[] {
  const decoder = dialect.decodeStream();
  return [...decodeSse(encodeUtf8(sse)).flatMap((event) => decoder.push(event)), ...decoder.end()];
}

/** undefined when it is refused in the way refusals are made. */
function orRefusal<T>(work: () => T): T | undefined {
  try {
    return work();
  } catch (thrown) {
    expect(thrown).toBeInstanceOf(GatewayError);
    return undefined;
  }
}

type Path = readonly (string | number)[];

function places(value: Json, at: Path = []): Path[] {
  if (Array.isArray(value)) return [at, ...value.flatMap((item, i) => places(item, [...at, i]))];
  if (!isObject(value)) return [at];
  return [at, ...Object.entries(value).flatMap(([key, item]) => places(item, [...at, key]))];
}

function replaced(value: Json, [step, ...rest]: Path, other: Json): Json {
  if (step === undefined) return other;
  if (Array.isArray(value)) return value.map((item, i) => (i === step ? replaced(item, rest, other) : item));
  return isObject(value) ? { ...value, [step]: replaced(value[step]!, rest, other) } : other;
}
