import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import type { Dialect } from "../../src/canonical/types.ts";
import type { Json, JsonObject } from "../../src/wire/json.ts";

/** One exchange with a provider, as recorded: the few in `test/fixtures`, or with `RHONE_CORPUS` a whole corpus. */
export type Recording = {
  id: string;
  dialect: Dialect;
  request?: JsonObject;
  status: number;
  /** A whole answer. */
  body?: Json;
  /** A streamed answer, its exact text. */
  sse?: string;
};

const FIXTURES = join(import.meta.dirname, "../fixtures");
const SURFACE: Record<string, Dialect> = {
  chat: "openai-chat",
  responses: "openai-responses",
  messages: "anthropic",
  generateContent: "gemini",
};
/** Other calls on the same surfaces (token counts, retrieval) are no generation. */
const GENERATES = new Set(["create", "generateContent", "streamGenerateContent"]);

/** A sample of a corpus takes every n-th exchange of each dialect, the same ones in each run. */
const EVERY = Number(process.env.RHONE_CORPUS_EVERY ?? 1);

export function recordings(dialect: Dialect): Recording[] {
  const corpus = process.env.RHONE_CORPUS;
  // Of the gateway's own wire no provider has been recorded.
  return corpus === undefined || dialect === "native" ? fromFixtures(dialect) : fromCorpus(corpus, dialect);
}

function fromFixtures(dialect: Dialect): Recording[] {
  const folder = join(FIXTURES, dialect);
  if (!existsSync(folder)) return [];
  return readdirSync(folder).map((name) => {
    const read = (file: string): string | undefined => {
      const path = join(folder, name, file);
      return existsSync(path) ? readFileSync(path, "utf8") : undefined;
    };
    const error = read("error.json");
    const body = error ?? read("response.json");
    const sse = read("response.sse");
    const request = read("request.json");
    return {
      id: name,
      dialect,
      status: error === undefined ? 200 : 400,
      ...(request !== undefined && { request: JSON.parse(request) as JsonObject }),
      ...(body !== undefined && { body: JSON.parse(body) as Json }),
      ...(sse !== undefined && { sse }),
    };
  });
}

type Entry = { file: string; surface: string; op: string };
type Exchange = {
  id: string;
  request_recorded: boolean;
  request: { body: JsonObject };
  response: { status: number; body?: Json; sse?: string };
};

function fromCorpus(corpus: string, dialect: Dialect): Recording[] {
  const entries = readFileSync(join(corpus, "manifest.jsonl"), "utf8").split("\n").filter(Boolean);
  return entries
    .map((line) => JSON.parse(line) as Entry)
    .filter(({ surface, op }) => SURFACE[surface] === dialect && GENERATES.has(op))
    .filter((_, i) => i % EVERY === 0)
    .map(({ file }) => {
      const { id, request_recorded, request, response } = JSON.parse(
        readFileSync(join(corpus, file), "utf8"),
      ) as Exchange;
      const { status, body, sse } = response;
      return {
        id,
        dialect,
        status,
        ...(request_recorded && { request: request.body }),
        ...(body !== undefined && { body }),
        ...(sse !== undefined && { sse }),
      };
    })
    .filter(({ sse }) => sse === undefined || sse.split(BEGINNING).length <= 2);
}

/** Some fixtures hold several answers in one file: that is no stream of any provider. */
const BEGINNING = /"type": ?"message_start"/;
