import { readFileSync } from "node:fs";
import { join } from "node:path";
import { Validator } from "@cfworker/json-schema";
import { describe, expect, it } from "vitest";
import { parse } from "yaml";
import type { EncodeTarget, WireDialect } from "../../src/dialects/dialect.ts";
import { DIALECTS } from "../../src/dialects/index.ts";
import { BUILTIN_PROVIDERS } from "../../src/providers/builtin.ts";
import { SURFACES } from "../../src/surfaces/index.ts";
import { isObject, type Json, type JsonObject } from "../../src/wire/json.ts";
import { recordings } from "../support/recordings.ts";

/**
 * What the gateway says on a wire is what the maker's own document takes. They are large and not ours to pass on:
 * `RHONE_SPECS` names a directory that holds them (`npm run test:corpus` does), and without it there is nothing to ask.
 */
const SPECS = process.env.RHONE_SPECS;

type Published = { wire: string; document: string; schema: string; targets: EncodeTarget[] };

const openai = (dialect: EncodeTarget["dialect"], model: string): EncodeTarget => ({
  dialect,
  model,
  quirks: BUILTIN_PROVIDERS.openai!.quirks!,
});

/** Of Claude's models one for each way to think. */
const PUBLISHED: Published[] = [
  {
    wire: "openai-chat",
    document: "openai/openapi.json",
    schema: "CreateChatCompletionRequest",
    targets: [openai("openai-chat", "gpt-5.1")],
  },
  {
    wire: "openai-responses",
    document: "openai/openapi.json",
    schema: "CreateResponse",
    targets: [openai("openai-responses", "gpt-5.1")],
  },
  {
    wire: "anthropic",
    document: "anthropic/openapi.tryagi-2026-08.yaml",
    schema: "CreateMessageParams",
    targets: ["claude-3-5-haiku-latest", "claude-sonnet-4-5", "claude-opus-4-7"].map((model) => ({
      dialect: "anthropic",
      model,
    })),
  },
];

describe.skipIf(SPECS === undefined).each(PUBLISHED)("the published $schema", ({ wire, document, schema, targets }) => {
  const known = SPECS === undefined ? undefined : validatorOf(join(SPECS, document), schema);
  const to = Object.values(DIALECTS).find(({ id }) => id === wire)!;
  const others = Object.values(DIALECTS).filter(({ id }) => id !== wire);

  it.each(others.map((from) => [from.id, from] as const))(
    "the published schema accepts the recorded requests of %s",
    (_, from) => {
      const broken = accepted(from).flatMap(({ id, body }) => {
        const { rest: _, ...request } = from.decodeRequest(body, { model: "m", stream: false });
        return targets.flatMap((target) => {
          const problem = problemOf(known!, to.encodeRequest(request, target).value);
          return problem === undefined ? [] : [`${id} to ${target.model}: ${problem}`];
        });
      });
      expect(broken.slice(0, 5).join("\n"), `${broken.length} are refused`).toBe("");
    },
  );
});

/** The recorded requests that the surface lets in. */
function accepted(from: WireDialect): { id: string; body: JsonObject }[] {
  const surface = Object.values(SURFACES).find(({ dialect }) => dialect.id === from.id)!;
  return recordings(from.id).flatMap(({ id, request, status }) =>
    request !== undefined && status === 200 && surface.request.safeParse(request).success
      ? [{ id, body: request }]
      : [],
  );
}

function validatorOf(path: string, name: string): Validator {
  const text = readFileSync(path, "utf8");
  const document = (path.endsWith(".yaml") ? parse(text) : JSON.parse(text)) as { components: { schemas: JsonObject } };
  const schemas = Object.fromEntries(
    Object.entries(document.components.schemas).map(([each, schema]) => [each, plain(schema)]),
  );
  return new Validator({ $ref: `#/components/schemas/${name}`, components: { schemas } }, "2020-12");
}

/**
 * A schema without its examples, whose ids are no schemas' own. OpenAI's `oneOf` overlaps itself (a typed message is an
 * `EasyInputMessage` and an `InputMessage`), so that one that fits is enough.
 */
function plain(schema: Json): Json {
  if (Array.isArray(schema)) return schema.map(plain);
  if (!isObject(schema)) return schema;
  const members = Object.entries(schema).filter(([word]) => word !== "example" && word !== "examples");
  return Object.fromEntries(
    members.map(([word, value]) => {
      if (word === "properties" && isObject(value))
        return [word, Object.fromEntries(Object.entries(value).map(([name, inner]) => [name, plain(inner)]))];
      return [word === "oneOf" ? "anyOf" : word, plain(value)];
    }),
  );
}

/** The deepest place that is wrong says most. */
function problemOf(validator: Validator, body: JsonObject): string | undefined {
  const { valid, errors } = validator.validate(JSON.parse(JSON.stringify(body)));
  if (valid) return undefined;
  const depth = ({ instanceLocation }: { instanceLocation: string }): number => instanceLocation.split("/").length;
  const [deepest] = errors.toSorted((a, b) => depth(b) - depth(a));
  return `${deepest!.instanceLocation} ${deepest!.error}`;
}
