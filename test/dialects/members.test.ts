import { readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import type { Dialect } from "../../src/canonical/types.ts";
import { encodeBody } from "../../src/gateway/request-body.ts";
import { BUILTIN_PROVIDERS } from "../../src/providers/builtin.ts";
import { SURFACES } from "../../src/surfaces/index.ts";
import { parseRequest, readMembers } from "../../src/surfaces/request.ts";
import { isObject, type Json, type JsonObject } from "../../src/wire/json.ts";

/**
 * Each member of OpenAI's two requests reaches OpenAI's other wire, or its loss is reported. The document is large and not
 * ours to pass on: `RHONE_SPECS` names a directory that has it (`npm run test:corpus` does).
 */
const SPECS = process.env.RHONE_SPECS;

type Wire = { from: Dialect; to: Dialect; schema: string; shortest: JsonObject };

const WIRES: Wire[] = [
  {
    from: "openai-chat",
    to: "openai-responses",
    schema: "CreateChatCompletionRequest",
    shortest: { model: "m", messages: [{ role: "user", content: "Hi" }] },
  },
  {
    from: "openai-responses",
    to: "openai-chat",
    schema: "CreateResponse",
    shortest: { model: "m", input: "Hi", store: false },
  },
];

/** Members with another effect than on the provider's request, and why. */
const ELSEWHERE: Record<string, string> = {
  "openai-chat store": "the gateway stores the conversation",
  "openai-chat stream_options": "the gateway requests token counts from each provider, and makes the client's stream",
  "openai-chat model": "the target has its own name of the model",
  "openai-responses model": "the target has its own name of the model",
  "openai-responses stream_options": "the gateway makes the client's stream",
  "openai-responses store": "the gateway stores the response",
  "openai-responses background": "the gateway runs the response",
  "openai-responses previous_response_id": "the gateway restores the conversation",
  "openai-responses conversation": "the gateway restores the conversation",
  "openai-responses include": "what it adds to server tools' items is lost with these; the rest follows other members",
};

/** Members whose alternatives have different members: a mixture of these is no choice. */
const WHOLE = new Set(["tool_choice", "function_call", "response_format"]);

/** Members that need others beside them. */
const BESIDE: Record<string, JsonObject> = {
  top_logprobs: { logprobs: true },
  tool_choice: { tools: [{ type: "function", name: "f", function: { name: "f" } }] },
  function_call: { functions: [{ name: "f" }] },
  parallel_tool_calls: { tools: [{ type: "function", name: "f", function: { name: "f" } }] },
};

/** A value of another kind than the first one of its schema would be. */
const VALUES: Record<string, Json> = {
  tool_choice: "required",
  function_call: { name: "f" },
  functions: [{ name: "f" }],
  parallel_tool_calls: false,
  n: 2,
  messages: [{ role: "user", content: "Hello" }],
  response_format: { type: "json_object" },
  "text.format": { type: "json_object" },
  frequency_penalty: 0.5,
  presence_penalty: 0.5,
  logit_bias: { 50256: -100 },
  truncation: "auto",
};

describe.skipIf(SPECS === undefined).each(WIRES)("the members of $schema", ({ from, to, schema, shortest }) => {
  const document = SPECS === undefined ? {} : readSchemas(join(SPECS, "openai/openapi.json"));
  const members = Object.entries(propertiesOf(document, document[schema] ?? {}));
  const surface = Object.values(SURFACES).find(({ dialect }) => dialect.id === from)!;
  const target = { dialect: to, model: "m", issuer: "openai", quirks: BUILTIN_PROVIDERS.openai!.quirks! };
  const translate = (body: JsonObject): ReturnType<typeof encodeBody> => {
    const parsed = parseRequest(readMembers(JSON.stringify(body), new Headers(), surface), surface);
    return encodeBody(parsed, { parent: undefined, history: [], known: 0 }, target);
  };

  it("each member and each of its own members is carried or reported as lost", () => {
    expect(members.length).toBeGreaterThan(20);
    const silent = members.flatMap(([name, of]) => {
      if (`${from} ${name}` in ELSEWHERE) return [];
      const innerMembers = WHOLE.has(name) ? {} : propertiesOf(document, of);
      const inner = Object.entries(innerMembers).map(([key, value]) => [`${name}.${key}`, value] as const);
      return [[name, of] as const, ...inner].flatMap(([path, one]) => {
        const value = VALUES[path] ?? sampleOf(document, one);
        const before = { ...shortest, ...BESIDE[name] };
        const key = path.slice(name.length + 1);
        const body = { ...before, [name]: key === "" ? value : { [key]: value } };
        const [without, encoded] = [translate(before), translate(body)];
        const isCarried = encoded.body !== without.body;
        const isReported = encoded.losses.length > without.losses.length;
        return isCarried || isReported ? [] : [`${path} = ${JSON.stringify(value)}`];
      });
    });
    expect(silent).toEqual([]);
  });
});

function readSchemas(path: string): Record<string, Json> {
  const document = JSON.parse(readFileSync(path, "utf8")) as { components: { schemas: Record<string, Json> } };
  return document.components.schemas;
}

/** The schema, or the one that it refers to. */
function follow(document: Record<string, Json>, schema: Json | undefined): JsonObject {
  if (!isObject(schema)) return {};
  const { $ref: reference } = schema;
  return typeof reference === "string" ? follow(document, document[reference.split("/").at(-1)!]) : schema;
}

const formsOf = (schema: JsonObject): Json[] =>
  [schema.anyOf, schema.oneOf].flatMap((forms) => (Array.isArray(forms) ? forms : []));

/** The members of an object; of alternatives, those of all. */
function propertiesOf(document: Record<string, Json>, schema: Json): Record<string, Json> {
  const one = follow(document, schema);
  const parts = [...(Array.isArray(one.allOf) ? one.allOf : []), ...formsOf(one)];
  const own = isObject(one.properties) ? one.properties : {};
  return Object.assign({}, ...parts.map((part) => propertiesOf(document, part)), own) as Record<string, Json>;
}

/** A value that the schema accepts, other than null. */
function sampleOf(document: Record<string, Json>, schema: Json): Json {
  const one = follow(document, schema);
  const form = formsOf(one).find((each) => follow(document, each).type !== "null");
  if (Array.isArray(one.enum)) return one.enum.at(-1)!;
  if (form !== undefined) return sampleOf(document, form);
  const type = Array.isArray(one.type) ? one.type.find((each) => each !== "null") : one.type;
  if (type === "array") return [sampleOf(document, one.items ?? {})];
  if (type === "integer" || type === "number") return typeof one.minimum === "number" ? Math.max(one.minimum, 1) : 1;
  if (type === "boolean") return true;
  if (type === "string") return "x";
  return Object.fromEntries(
    Object.entries(propertiesOf(document, one)).map(([name, inner]) => [name, sampleOf(document, inner)]),
  );
}
