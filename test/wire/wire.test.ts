import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { concatBytes, decodeUtf8, encodeUtf8 } from "../../src/wire/bytes.ts";
import { areSecretsEqual, sha256 } from "../../src/wire/hash.ts";
import { decodeObjectId, newId, createdAtOf, objectIdIn, encodeObjectId, withPrefix } from "../../src/wire/id.ts";
import { type Json, JsonError, MAX_DEPTH, parseJson, tryParseJson } from "../../src/wire/json.ts";
import {
  appendMember,
  findElements,
  findMembers,
  removeMember,
  replaceMember,
  sliceSpan,
  splice,
} from "../../src/wire/splice.ts";
import { decodeSse, encodeSse, MAX_EVENT_BYTES, type SseEvent, SseSplitter, withData } from "../../src/wire/sse.ts";

const meaning = ({ raw: _, ...rest }: SseEvent): Omit<SseEvent, "raw"> => rest;

describe("server-sent events", () => {
  const line = fc.oneof(
    fc.constantFrom(
      "",
      ":",
      ": comment",
      "data:",
      "data: ",
      "data",
      "event: ping",
      "id: 7",
      "retry: 10",
      "nonsense: 1",
      "data: [DONE]",
    ),
    fc.string({ unit: "grapheme" }).map((text) => `data: ${text.replace(/[\r\n]/g, " ")}`),
  );
  const ending = fc.constantFrom("\n", "\r\n", "\r");
  const stream = fc
    .tuple(fc.boolean(), fc.array(fc.tuple(line, ending)), fc.constantFrom("", "data: last"))
    .map(([bom, lines, last]) =>
      encodeUtf8((bom ? "\uFEFF" : "") + lines.map((pair) => pair.join("")).join("") + last),
    );
  const cutAt = (bytes: Uint8Array, cuts: readonly number[]): SseEvent[] => {
    const splitter = new SseSplitter();
    const ends = [...new Set(cuts.map((cut) => cut % (bytes.length + 1)))].toSorted((a, b) => a - b);
    const parts = [0, ...ends].map((start, i) => bytes.subarray(start, ends[i] ?? bytes.length));
    return [...parts.flatMap((part) => splitter.push(part)), ...splitter.flush()];
  };

  it("server-sent events decode alike in any pieces, and have every byte", () => {
    fc.assert(
      fc.property(stream, fc.array(fc.nat()), (bytes, cuts) => {
        const events = cutAt(bytes, cuts);
        expect(concatBytes(events.map(({ raw }) => raw))).toEqual(bytes);
        const withData = (all: SseEvent[]): unknown =>
          all.map(meaning).filter(({ data, event, id }) => data ?? event ?? id);
        expect(withData(events)).toEqual(withData(decodeSse(bytes)));
      }),
      { numRuns: 500 },
    );
  });

  it("decoding server-sent events is the inverse of encoding them", () => {
    fc.assert(
      fc.property(fc.array(fc.string({ unit: "grapheme" }).map((text) => text.replace(/\r/g, ""))), (texts) => {
        const written = texts.map((data) => encodeSse({ data, event: "e" })).join("");
        expect(decodeSse(encodeUtf8(written)).map(({ data }) => data)).toEqual(texts);
      }),
    );
  });

  it.each([
    ["LF", "event: a\ndata: 1\ndata: 2\n\n: note\n\ndata: 3\n\n"],
    ["CRLF", "event: a\r\ndata: 1\r\ndata: 2\r\n\r\n: note\r\n\r\ndata: 3\r\n\r\n"],
    ["CR", "event: a\rdata: 1\rdata: 2\r\r: note\r\rdata: 3\r\r"],
    ["no last blank line", "event: a\ndata: 1\ndata: 2\n\ndata: 3"],
    ["a byte order mark", "\uFEFFevent: a\ndata: 1\ndata: 2\n\ndata: 3\n\n"],
  ])("server-sent events are decoded with %s", (_, text) => {
    const heard = decodeSse(encodeUtf8(text)).filter(({ data }) => data !== undefined);
    expect(heard.map(meaning)).toEqual([{ event: "a", data: "1\n2" }, { data: "3" }]);
  });

  it("an event that never ends is refused", () => {
    const splitter = new SseSplitter();
    const chunk = new Uint8Array(1024 * 1024).fill(0x61);
    expect(() => {
      for (let i = 0; i * chunk.length <= MAX_EVENT_BYTES; i++) splitter.push(chunk);
    }).toThrow(RangeError);
  });

  it("replacing the data of an event changes nothing else", () => {
    const [event] = decodeSse(encodeUtf8('id: 1\r\nevent: x\r\ndata:{"id":1}\r\n\r\n'));
    expect(decodeUtf8(withData(event!, () => "2"))).toBe("id: 1\r\nevent: x\r\ndata:2\r\n\r\n");
  });
});

describe("splicing JSON", () => {
  /** JSON the ways different clients write it. */
  const spelt = fc
    .tuple(
      fc.dictionary(fc.string(), fc.jsonValue()),
      fc.constantFrom<(value: unknown) => string>(
        (value) => JSON.stringify(value),
        (value) => JSON.stringify(value, null, 2),
        (value) =>
          JSON.stringify(value).replace(
            /[\u007f-\uffff]/g,
            (c) => `\\u${c.charCodeAt(0).toString(16).padStart(4, "0")}`,
          ),
      ),
    )
    .map(([value, write]) => write(value));

  it("findMembers finds the members that a parser finds", () => {
    fc.assert(
      fc.property(spelt, (text) => {
        const found = Object.fromEntries(
          findMembers(text).map(({ key, value }) => [key, JSON.parse(sliceSpan(text, value)) as Json]),
        );
        expect(found).toEqual(Object.fromEntries(Object.entries(JSON.parse(text) as object)));
      }),
    );
  });

  it("replacing a member's value changes no other byte", () => {
    fc.assert(
      fc.property(spelt, (text) => {
        const before = findMembers(text);
        for (const { key, value } of before) {
          const changed = splice(text, replaceMember(before, key, '"new"'));
          expect(changed).toBe(`${text.slice(0, value.start)}"new"${text.slice(value.end)}`);
        }
      }),
    );
  });

  it("removing an appended member restores the text", () => {
    fc.assert(
      fc.property(spelt, (text) => {
        fc.pre(findMembers(text).every(({ key }) => key !== "rhone"));
        const added = splice(text, [appendMember(text, "rhone", '{"a":[1]}')]);
        expect(JSON.parse(added)).toEqual({ ...(JSON.parse(text) as object), rhone: { a: [1] } });
        expect(splice(added, removeMember(findMembers(added), "rhone"))).toBe(text);
      }),
    );
  });

  it.each([
    ['{"model":"a","x":12345678901234567890}', '{"model":"b","x":12345678901234567890}'],
    ['{"x":{"model":"a"},"model":"a"}', '{"x":{"model":"a"},"model":"b"}'],
    ['{"x":"\\"model\\":\\"a\\"","model":"a"}', '{"x":"\\"model\\":\\"a\\"","model":"b"}'],
    ['{"model":"a","y":1,"model":"a"}', '{"model":"b","y":1,"model":"b"}'],
    ['{"mod\\u0065l":"a"}', '{"mod\\u0065l":"b"}'],
    ['{ "model" : "a" , "s" : "\\u00e9\\\\" }', '{ "model" : "b" , "s" : "\\u00e9\\\\" }'],
  ])("the model of %s is replaced", (text, wanted) => {
    expect(splice(text, replaceMember(findMembers(text), "model", '"b"'))).toBe(wanted);
  });

  it.each([
    ['{"rhone":1}', "{}"],
    ['{"rhone":1,"a":2}', '{"a":2}'],
    ['{"a":2,"rhone":1}', '{"a":2}'],
    ['{"rhone":1,"rhone":2,"a":3,"rhone":4,"b":5,"rhone":6}', '{"a":3,"b":5}'],
    ['{\n  "rhone": {"x": [1]},\n  "a": 2\n}', '{\n  "a": 2\n}'],
  ])("rhone is removed from %s", (text, wanted) => {
    expect(splice(text, removeMember(findMembers(text), "rhone"))).toBe(wanted);
  });

  it("a list is divided into elements where a parser does so", () => {
    const text = ' [ {"a":"]"} , [1,[2]], "x,\\"y" ,null ] ';
    expect(findElements(text).map((span) => sliceSpan(text, span))).toEqual([
      '{"a":"]"}',
      "[1,[2]]",
      '"x,\\"y"',
      "null",
    ]);
  });

  it.each(["", "{", "[", '{"a"', '{"a":', '{"a":1', '{"a', "nonsense", '{"a":1 "b"', "{a:1}"])(
    "findMembers refuses %j",
    (text) => {
      expect(() => findMembers(text)).toThrow(Error);
    },
  );
});

describe("parsing JSON", () => {
  it("parsing JSON keeps numbers that a double cannot hold", () => {
    const text = '{"id":12345678901234567890,"list":[-0.12345678901234567891,1.5],"text":"1234567890123456789"}';
    expect(JSON.stringify(parseJson(text))).toBe(text);
  });

  it("tryParseJson accepts exactly what the parser accepts", () => {
    const space = fc.string({ unit: fc.constantFrom(" ", "\n", "\t") });
    const almost = fc.tuple(fc.json(), fc.nat()).map(([text, at]) => text.slice(0, at % (text.length + 1)));
    const text = fc.tuple(space, fc.oneof(fc.json(), fc.string(), almost), space).map((parts) => parts.join(""));
    fc.assert(
      fc.property(text, (given) => {
        let expected: Json | undefined;
        try {
          expected = parseJson(given);
        } catch {}
        expect(tryParseJson(given)).toEqual(expected);
      }),
    );
    expect(tryParseJson("[".repeat(2_000_000))).toBeUndefined();
  });

  it("nesting that would overflow the stack is refused, and moderate depth is accepted", () => {
    const nested = (depth: number): string => "[".repeat(depth) + "]".repeat(depth);
    expect(() => parseJson(nested(10_000))).toThrow(JsonError);
    expect(() => parseJson("[".repeat(2_000_000))).toThrow(JsonError);
    expect(parseJson(nested(MAX_DEPTH))).toBeInstanceOf(Array);
    expect(parseJson(JSON.stringify("[".repeat(1000)))).toBe("[".repeat(1000));
  });
});

describe("ids", () => {
  const CROCKFORD = "0123456789abcdefghjkmnpqrstvwxyz";
  const hex = fc
    .array(fc.constantFrom(...Array.from("0123456789abcdef")), { minLength: 64, maxLength: 64 })
    .map((digits) => digits.join(""));

  it("an id has the place of its object, and only its own prefix reads it", () => {
    fc.assert(
      fc.property(hex, fc.nat(), (place, now) => {
        const id = newId("call", now, encodeObjectId(place));
        expect(decodeObjectId(objectIdIn("call", id)!)).toBe(place);
        expect(objectIdIn("run", id)).toBeUndefined();
        expect(objectIdIn("run", withPrefix(id, "run"))).toBe(objectIdIn("call", id));
      }),
    );
  });

  it("an id has its place as the number that it is", () => {
    fc.assert(
      fc.property(hex, (place) => {
        const value = Array.from(encodeObjectId(place)).reduce(
          (sum, c) => sum * 32n + BigInt(CROCKFORD.indexOf(c)),
          0n,
        );
        expect(value).toBe(BigInt(`0x${place}`));
      }),
    );
  });

  it("an id has the time of its creation", () => {
    fc.assert(
      fc.property(fc.integer({ min: 0, max: 2 ** 47 }), (now) => {
        expect(createdAtOf(newId("call", now))).toBe(now);
      }),
    );
  });

  it("an id is never made twice", () => {
    const ids = Array.from({ length: 10_000 }, () => newId("call", 1));
    expect(new Set(ids).size).toBe(ids.length);
    for (const c of CROCKFORD) expect(ids.some((id) => id.endsWith(c))).toBe(true);
  });

  it("ids sort by time", () => {
    const times = [0, 1, 1_700_000_000_000, 1_700_000_000_001, 2 ** 47];
    const ids = times.map((now) => newId("turn", now));
    expect(ids.toSorted()).toEqual(ids);
  });

  it("no place is read from what is no id", () => {
    for (const id of ["", "call_", "call_short", `call_${"u".repeat(78)}`, "x".repeat(1000)])
      expect(objectIdIn("call", id)).toBeUndefined();
    for (const first of ["2", "z"]) expect(decodeObjectId(first.padEnd(52, "z"))).toBeUndefined();
    expect(decodeObjectId("1".padEnd(52, "z"))).toBe("f".repeat(64));
  });
});

describe("hashes", () => {
  it("sha256 returns SHA-256", () => {
    expect(sha256("")).toBe("47DEQpj8HBSa-_TImW-5JCeuQeRkm5NMpJWZG3hSuFU");
  });

  it("secrets of any length are compared", () => {
    expect(areSecretsEqual("a", "a")).toBe(true);
    expect(areSecretsEqual("a", "b")).toBe(false);
    expect(areSecretsEqual("a", "a".repeat(10_000))).toBe(false);
  });
});

it("a stream has the same events however it is cut into chunks, and the splitter knows whether it is within one", () => {
  const piece = fc.constantFrom(
    "data: a\n",
    "event: x\n",
    "\n",
    "\r\n",
    "\r",
    "data: é😀\r\n",
    ": c\n",
    "id: 1\n",
    "data:",
    "x",
  );
  const cuts = fc.array(fc.nat(60), { maxLength: 6 });
  fc.assert(
    fc.property(fc.array(piece, { maxLength: 14 }), cuts, (pieces, at) => {
      const bytes = new TextEncoder().encode(pieces.join(""));
      const splitter = new SseSplitter();
      const ends = [...new Set(at.map((end) => Math.min(end, bytes.length))), bytes.length].toSorted((a, b) => a - b);
      let start = 0;
      const events = ends.flatMap((end) => {
        const chunk = bytes.subarray(start, end);
        start = end;
        return splitter.push(chunk);
      });
      expect([...events, ...splitter.flush()]).toEqual(decodeSse(bytes));
    }),
    { numRuns: 2_000 },
  );
});
