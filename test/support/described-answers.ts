import { Validator } from "@cfworker/json-schema";
import { expect } from "vitest";
import { decodeSse } from "../../src/wire/sse.ts";
import { request } from "./worker/client.ts";

export type Json = ReturnType<typeof JSON.parse>;
type Schema = Record<string, unknown>;
type Operation = { operationId: string; responses: Record<string, { $ref?: string; content?: Content }> };
type Content = Record<string, { schema: Schema }>;
export type Document = {
  paths: Record<string, Record<string, Operation>>;
  components: Record<string, Record<string, Schema>>;
};

/** A request whose answer is compared with the document. `isOwn`: the gateway's own format, of which all is described. */
export type Case = {
  id: string;
  path: string;
  body?: unknown;
  method?: string;
  status?: number;
  isOwn?: true;
  key?: string;
};

let document: Document;
let closed: Document;

/** Reads the document of the gateway, before the tests of a file. It resolves to that. */
export async function readDocument(): Promise<Document> {
  document = await (await request("/openapi.json", { key: null })).json();
  closed = close(document) as Document;
  return document;
}

/** The document with no member allowed that it does not describe, where it does not say that others are allowed. */
function close(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(close);
  if (typeof value !== "object" || value === null) return value;
  const members = Object.fromEntries(Object.entries(value).map(([name, inner]) => [name, close(inner)]));
  const isOpen = members.type !== "object" || members.properties === undefined || "additionalProperties" in members;
  return isOpen ? members : { ...members, additionalProperties: false };
}

/** What of a value is not as the schema describes it. */
export function problemsOf(schema: Schema, value: unknown, isOwn: boolean): string[] {
  const { components } = isOwn ? closed : document;
  const { valid, errors } = new Validator({ components, ...schema }, "2020-12", false).validate(value);
  return valid ? [] : errors.map(({ instanceLocation, error }) => `${instanceLocation}: ${error}`);
}

const operationOf = (id: string): Operation =>
  Object.values(document.paths)
    .flatMap((item) => Object.values(item))
    .find(({ operationId }) => operationId === id)!;

/** The answer's JSON, or the data of its events, and what of it is not as described. */
export async function compare({ id, path, body, method, status = 200, isOwn, key }: Case): Promise<Compared> {
  const response = await request(path, {
    method: method ?? (body === undefined ? "GET" : "POST"),
    headers: {
      "content-type": "application/json",
      ...(id.startsWith("messages.") && { "anthropic-version": "2023-06-01" }),
    },
    ...(body !== undefined && { body: JSON.stringify(body) }),
    ...(key !== undefined && { key }),
  });
  const bytes = new Uint8Array(await response.arrayBuffer());
  const text = new TextDecoder().decode(bytes);
  if (response.status !== status) return { value: text, problems: [`status ${response.status}: ${text}`] };
  const content = contentOf(operationOf(id), status);
  const type = response.headers.get("content-type")!.split(";")[0]!;
  const schema = content[type]?.schema;
  if (schema === undefined) return { value: text, problems: [`${type} is not among ${Object.keys(content).join()}`] };
  if (type === "text/plain") return { value: text, problems: problemsOf(schema, text, true) };
  const isStream = type === "text/event-stream";
  const values: Json[] = isStream
    ? decodeSse(bytes).flatMap(({ data }) => (data === undefined || data === "[DONE]" ? [] : [JSON.parse(data)]))
    : [JSON.parse(text)];
  const problems = values.flatMap((value) => {
    const found = problemsOf(schema, value, isOwn === true);
    return found.length === 0 ? [] : [...found, JSON.stringify(value)];
  });
  return { value: isStream ? values : values[0], problems: values.length === 0 ? ["there is no event"] : problems };
}

type Compared = { value: Json; problems: string[] };

function contentOf({ responses }: Operation, status: number): Content {
  const response = responses[status] ?? responses.default!;
  const name = response.$ref?.split("/").at(-1);
  const resolved = name === undefined ? response : (document.components.responses![name] as typeof response);
  return resolved.content ?? {};
}

/** The answer, which must be as described. */
export async function expectDescribed(one: Case): Promise<Json> {
  const { value, problems } = await compare(one);
  expect([one.id, problems]).toEqual([one.id, []]);
  return value;
}
