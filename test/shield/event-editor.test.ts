import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { DIALECTS } from "../../src/dialects/index.ts";
import { EventEditor } from "../../src/shield/event-editor.ts";
import { isThought, kindOf } from "../../src/shield/leaf-kind.ts";
import { findInText, redactLeaves, redactText, type Substitute } from "../../src/shield/redact-json.ts";
import { Replacer } from "../../src/shield/replace.ts";
import { asJson, restoreAll, restoreLeaves } from "../../src/shield/restore.ts";
import { ALL_KINDS, type Rules } from "../../src/shield/rules.ts";
import { RedactingSlot, RestoringSlot, WholeSlot } from "../../src/shield/slots.ts";
import { encodeUtf8 } from "../../src/wire/bytes.ts";
import { splice } from "../../src/wire/splice.ts";
import { decodeSse } from "../../src/wire/sse.ts";
import { decodeAnswer, streamOf } from "../support/shield/streams.ts";

const RULES: Rules = { kinds: ALL_KINDS };
const replacer = new Replacer("secret", "org_a");
const values = new Map<string, string>();
const substitute: Substitute = (value, kind, { isNumber }) => {
  if (isNumber) return replacer.replaceNumber(value, kind);
  const tag = replacer.replace(value, kind, "tag");
  values.set(tag, value);
  return tag;
};
const redacting = (): EventEditor =>
  new EventEditor({
    open: (piece) =>
      piece.isArguments
        ? new WholeSlot((text) => redactText(text, RULES, { substitute }, piece.leaf).edits)
        : new RedactingSlot(RULES, (value, kind) => substitute(value, kind, { leaf: piece.leaf, isNumber: false })),
    edit: (json, leaves) =>
      redactLeaves(json, leaves, RULES, { isRead: (leaf) => kindOf(json, leaf) === "text", substitute }).edits,
  });
const restoring = (): EventEditor =>
  new EventEditor({
    open: (piece) => new RestoringSlot((tag) => values.get(tag), piece.isArguments),
    edit: (json, leaves) =>
      restoreLeaves(
        json,
        leaves.filter((leaf) => !isThought(leaf) && kindOf(json, leaf) === "text"),
        (tag) => values.get(tag),
      ),
  });

const edit = (bytes: string, editor: EventEditor): string =>
  [...decodeSse(encodeUtf8(bytes)).flatMap((event) => editor.push(event)), ...editor.end()]
    .map(({ raw }) => new TextDecoder().decode(raw))
    .join("");

const redactWhole = (text: string): string =>
  splice(
    text,
    findInText(text, RULES).map(({ start, end, kind }) => ({
      start,
      end,
      text: replacer.replace(text.slice(start, end), kind, "tag"),
    })),
  );

/** Words among which values stand, with what may be mistaken for a part of one. */
const word = fc.oneof(
  fc.constantFrom("Call", "the", "and", "Zürich", "😀", "key:", "\n", "PII_", "a@", "12", "4111", "- "),
  fc.constantFrom(
    "jane.roe@corp-mail.com",
    "4556737586899855",
    "4556 7375 8689 9855",
    "DE89370400440532013000",
    "219-09-9999",
    "+41 44 668 18 00",
  ),
);
const text = fc.array(word, { maxLength: 12 }).map((words) => words.join(" "));
const cuts = fc.array(fc.integer({ min: 1, max: 9 }), { minLength: 1, maxLength: 30 });
const args = fc.record({
  to: fc.constantFrom("jane.roe@corp-mail.com", "x"),
  card: fc.constantFrom(4556737586899855, 12),
  note: text,
});
const RUNS = process.env.RHONE_TEST_ALL === "1" ? 3_000 : 60;

describe.each(Object.keys(DIALECTS) as (keyof typeof DIALECTS)[])("a stream of %s", (dialect) => {
  it("has, however it is cut, what the whole has, and its client gets the values back", () => {
    fc.assert(
      fc.property(text, args, cuts, (said, given, sizes) => {
        const json = JSON.stringify(given);
        const stream = streamOf(dialect, { text: said, arguments: json }, sizes);
        const shown = edit(stream, redacting());
        const answer = decodeAnswer(dialect, shown);
        expect(answer.text).toBe(redactWhole(said));
        const { to, note } = JSON.parse(answer.arguments) as typeof given;
        expect([to, note]).toEqual([redactWhole(given.to), redactWhole(given.note)]);
        expect(shown).not.toMatch(/jane\.roe@corp-mail\.com|4556737586899855|219-09-9999/);
        const restored = decodeAnswer(dialect, edit(shown, restoring()));
        expect(restored.text).toBe(
          splice(
            answer.text,
            restoreAll(answer.text, (tag) => values.get(tag)),
          ),
        );
        const back = splice(answer.arguments, restoreAll(answer.arguments, (tag) => values.get(tag)).map(asJson));
        expect(restored.arguments).toBe(back);
        JSON.parse(restored.arguments);
      }),
      { numRuns: RUNS },
    );
  }, 120_000);

  it("keeps all of its bytes where nothing is found", () => {
    const stream = streamOf(
      dialect,
      { text: "Nothing is here, not even 12 things.", arguments: '{"a":"b"}' },
      [3, 1, 4],
    );
    expect(edit(stream, redacting())).toBe(stream);
    expect(edit(stream, restoring())).toBe(stream);
  });
});
