import fc from "fast-check";
import { expect, it } from "vitest";
import { Journal, type JournalEntry } from "../../src/session/call-journal.ts";
import { loadText } from "../../src/session/overflow.ts";
import { SharedRequests } from "../../src/session/shared-requests.ts";
import { openSql, toStorage } from "../support/sqlite.ts";

type Opened = {
  journal: Journal;
  count: (table: string) => number;
  /** The length of all requests of an organisation; "": of removed entries. */
  length: (org: string) => number;
};

function openJournal(): Opened {
  const sql = openSql();
  const journal = new Journal(toStorage(sql));
  const length = (org: string): number =>
    sql<{ request: string; id: string }>("SELECT id, request FROM entries WHERE org = ?", org).reduce(
      (sum, { id, request }) => sum + loadText(sql, `${id}/request`, request).length,
      0,
    );
  return { journal, count: (table) => sql(`SELECT 1 FROM ${table}`).length, length };
}

const entryOf = (id: string, text: string): JournalEntry => ({ id, org: "org", text, payload: "{}" });

/** Texts of one row and of several, which a part may not split inside a pair of surrogates. */
const texts = fc
  .tuple(fc.constantFrom("x", "é", "😀", '\\"'), fc.integer({ min: 0, max: 700_000 }), fc.string({ maxLength: 3 }))
  .map(([unit, length, end]) => unit.repeat(Math.ceil(length / unit.length)) + end.toWellFormed());

it("a journal gives back the text of each entry, of any length, also if it was entered twice", () => {
  fc.assert(
    fc.property(fc.array(texts, { minLength: 1, maxLength: 3 }), (all) => {
      const { journal, count } = openJournal();
      const entries = all.map((text, i) => entryOf(`call_${i}`, text));
      journal.enter(entries);
      journal.enter(entries);
      for (const { id, text } of entries) {
        expect(journal.find("org", id)?.text === text).toBe(true);
        expect(journal.find("other", id)).toBeUndefined();
      }
      for (const { id } of entries) {
        journal.remove("other", id);
        expect(journal.find("org", id)).toBeDefined();
        journal.remove("org", id);
      }
      expect([count("entries"), count("overflow")]).toEqual([0, 0]);
    }),
    { numRuns: 40 },
  );
});

/** A transcript that grows, of one of two conversations, whose characters are wide or not. */
const bodies = fc.array(
  fc.record({
    conversation: fc.constantFrom("a", "😀"),
    turns: fc.integer({ min: 1, max: 60 }),
    tail: fc.string({ unit: "grapheme", maxLength: 20 }),
    isStored: fc.boolean(),
    /** A session is read after it, so that an entry is removed. */
    isFollowed: fc.boolean(),
  }),
  { minLength: 2, maxLength: 8 },
);

it("a journal gives back each request as it came, however much of it others share, and keeps nothing of removed ones", () => {
  let shares = 0;
  let refusals = 0;
  fc.assert(
    fc.property(bodies, fc.infiniteStream(fc.nat()), (all, picks) => {
      const { journal, count, length } = openJournal();
      const requests = new SharedRequests();
      const left: { id: string; body: string }[] = [];
      const removeOne = (): void => {
        const [removed] = left.splice(picks.next().value! % left.length, 1);
        journal.remove("org", removed!.id);
        expect(journal.find("org", removed!.id)).toBeUndefined();
        // Of what is removed there is no more than the longest that is left.
        expect(length("")).toBeLessThanOrEqual(2 * Math.max(0, ...left.map(({ body }) => body.length)));
        for (const { id, body } of left) expect(journal.find("org", id)?.request === body).toBe(true);
      };
      all.forEach(({ conversation, turns, tail, isStored, isFollowed }, i) => {
        const id = `call_${i}`;
        const body = conversation.repeat(3_000).repeat(turns) + tail.toWellFormed();
        const shared = requests.share(body, { owner: conversation, journal: "j", id });
        const refused = journal.enter([{ ...entryOf(id, "{}"), ...shared }]);
        if (shared.base !== undefined) shares++;
        if (refused.length > 0) {
          refusals++;
          requests.forget(shared.base!.id);
          expect(journal.enter([{ ...entryOf(id, "{}"), request: body }])).toEqual([]);
        }
        if (isStored) requests.onStored([id]);
        left.push({ id, body });
        expect(journal.find("org", id)?.request === body).toBe(true);
        if (isFollowed) removeOne();
      });
      while (left.length > 0) removeOne();
      expect([count("entries"), count("overflow")]).toEqual([0, 0]);
    }),
    { numRuns: 100 },
  );
  expect(shares).toBeGreaterThan(20);
  expect(refusals).toBeGreaterThan(0);
});
