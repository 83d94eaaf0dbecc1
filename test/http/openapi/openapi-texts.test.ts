import { beforeAll, expect, it } from "vitest";
import { handle } from "../../../src/http/app.ts";
import { deniedWordsIn } from "../../support/denied-words.ts";

/** The verbs that a summary begins with: what the operation does, in the third person. */
const VERBS = new Set(
  (
    "Appends Cancels Checks Classifies Compacts Counts Creates Deletes Edits Erases Generates Lists Names Opens Pauses Removes " +
    "Replaces Replays Resumes Returns Revokes Rotates Serves Sets Stores Transcribes Translates Updates"
  ).split(" "),
);

type Document = { paths: Record<string, Record<string, { operationId: string; summary: string }>> };

let document: Document;

beforeAll(async () => {
  const environment = { RHONE_ADMIN_KEY: "rhone_sk_test" } as Cloudflare.Env;
  const request = new Request("https://gateway.test/openapi.json");
  const response = await handle(request, environment, { waitUntil: () => {} });
  document = (await response.json()) as Document;
});

it("every summary starts with a verb in the third person", () => {
  const operations = Object.values(document.paths).flatMap((methods) => Object.values(methods));
  const wrong = operations.filter(({ summary }) => !VERBS.has(summary.split(/[ ;]/, 1)[0]!));
  expect(operations.length).toBeGreaterThan(50);
  expect(wrong.map(({ operationId, summary }) => `${operationId}: ${summary}`)).toEqual([]);
});

it("every verb of the list is used", () => {
  const summaries = Object.values(document.paths).flatMap((methods) =>
    Object.values(methods).map((one) => one.summary),
  );
  expect([...VERBS].filter((verb) => !summaries.some((summary) => summary.startsWith(`${verb} `)))).toEqual([]);
});

it("no text uses a denied word", () => {
  const texts = textsIn(document, "");
  expect(texts.length).toBeGreaterThan(200);
  expect(
    texts.flatMap(({ at, text }) => deniedWordsIn(text).map((word) => `${at}: ${word}: ${text.slice(0, 80)}`)),
  ).toEqual([]);
});

type Text = { at: string; text: string };

/** The summaries and descriptions of the document. Members of a schema that have these names are objects, not texts. */
function textsIn(value: unknown, at: string): Text[] {
  if (typeof value !== "object" || value === null) return [];
  return Object.entries(value).flatMap(([name, inner]) =>
    typeof inner === "string"
      ? ["summary", "description"].includes(name)
        ? [{ at: `${at}/${name}`, text: inner }]
        : []
      : textsIn(inner, `${at}/${name}`),
  );
}
