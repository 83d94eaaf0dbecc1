import { expect, it } from "vitest";
import { EventNumberer } from "../../../src/gateway/output/event-numbers.ts";
import { concatBytes, decodeUtf8, encodeUtf8 } from "../../../src/wire/bytes.ts";
import { decodeSse } from "../../../src/wire/sse.ts";

const numbered = (text: string): { told: string; ids: (string | undefined)[]; data: (string | undefined)[] } => {
  const tally = new EventNumberer(true);
  const told = decodeUtf8(concatBytes(decodeSse(encodeUtf8(text)).map((event) => tally.numberBlock(event))));
  const events = decodeSse(encodeUtf8(told));
  return { told, ids: events.map(({ id }) => id), data: events.map(({ data }) => data) };
};

it("the event numberer numbers the events of a provider, and no comments and keep-alives", () => {
  const { ids, data } = numbered(': hello\n\ndata: {"a":1}\n\nevent: ping\ndata: {}\n\ndata: {"b":2}\r\n\r\n');
  expect(ids).toEqual([undefined, "1", undefined, "2"]);
  expect(data).toEqual([undefined, '{"a":1}', "{}", '{"b":2}']);
});

it("the event numberer replaces an event's own id, and leaves a byte order mark where it was", () => {
  expect(numbered('id: theirs\ndata: {"a":1}\n\nid\nevent: x\ndata: 2\n\n')).toMatchObject({
    ids: ["1", "2"],
    data: ['{"a":1}', "2"],
  });
  const { told, data } = numbered("\uFEFFdata: 1\n\ndata: 2\n\n");
  expect([told, data]).toEqual(["\uFEFFid: 1\ndata: 1\n\nid: 2\ndata: 2\n\n", ["1", "2"]]);
});

it("the event numberer numbers the gateway's own events alike, and counts what it does not number", () => {
  const said = 'event: a\ndata: {"n":1}\n\ndata: [DONE]\n\n';
  const told = new EventNumberer(true, { alreadySent: 4 });
  expect(decodeUtf8(told.numberEncoded(said))).toBe('id: 5\nevent: a\ndata: {"n":1}\n\nid: 6\ndata: [DONE]\n\n');
  const counted = new EventNumberer(false);
  expect(decodeUtf8(counted.numberEncoded(said))).toBe(said);
  expect([told.takeCount(), counted.takeCount(), counted.takeCount()]).toEqual([
    { blocks: 2, events: 2 },
    { blocks: 2, events: 2 },
    { blocks: 0, events: 0 },
  ]);
});
