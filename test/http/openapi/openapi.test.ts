import { Validator } from "@seriousme/openapi-schema-validator";
import { beforeAll, describe, expect, it } from "vitest";
import { findRoute, handle, routes } from "../../../src/http/app.ts";

type Schema = { [keyword: string]: unknown };
type Parameter = { name: string; in: string; required?: boolean; $ref?: string };
type Response = { $ref?: string; content?: Record<string, { schema?: Schema }> };
type Operation = {
  operationId?: string;
  tags?: string[];
  summary?: string;
  parameters?: Parameter[];
  requestBody?: { required?: boolean; content: Record<string, { schema?: Schema }> };
  responses: Record<string, Response>;
  security?: object[];
  "x-rhone-aliases"?: string[];
  "x-rhone-websocket"?: { client: Schema; server: Schema };
};
type Document = {
  openapi: string;
  tags: { name: string }[];
  paths: Record<string, Record<string, Operation>>;
  components: Record<string, Record<string, Schema>>;
};
type Listed = { path: string; method: string; operation: Operation; name: string };

let document: Document;
let operations: Listed[];

beforeAll(async () => {
  const environment = { RHONE_ADMIN_KEY: "rhone_sk_test" } as Cloudflare.Env;
  const request = new Request("https://gateway.test/openapi.json");
  const response = await handle(request, environment, { waitUntil: () => {} });
  document = (await response.json()) as Document;
  operations = Object.entries(document.paths).flatMap(([path, item]) =>
    Object.entries(item).map(([method, operation]) => ({ path, method, operation, name: `${method} ${path}` })),
  );
});

it("the description of the API is a valid OpenAPI 3.1 document", async () => {
  const validator = new Validator();
  const { valid, errors } = await validator.validate(structuredClone(document));
  expect(errors ?? []).toEqual([]);
  expect(valid).toBe(true);
  expect(validator.version).toBe("3.1");
});

describe("every operation", () => {
  it("every operation has an id of its own, in the form resource.method", () => {
    const ids = operations.map(({ operation }) => operation.operationId ?? "");
    expect(ids.filter((id) => !/^[a-z][A-Za-z]*(\.[a-z][A-Za-z]*)+$/.test(id))).toEqual([]);
    expect(ids.filter((id, at) => ids.indexOf(id) !== at)).toEqual([]);
  });

  it("every operation has one declared tag and a summary", () => {
    const declared = new Set(document.tags.map(({ name }) => name));
    expect(namesOf(({ tags, summary }) => tags?.length !== 1 || !declared.has(tags[0]!) || !summary)).toEqual([]);
  });

  it("every operation declares the parameters of its path, and no others in the path", () => {
    const wrong = operations.filter(({ path, operation }) => {
      const inPath = [...path.matchAll(/\{(\w+)\}/g)].map(([, name]) => name!);
      const declared = (operation.parameters ?? []).map(resolve).filter((one) => one.in === "path");
      return (
        declared.some(({ required }) => required !== true) ||
        inPath.toSorted().join() !==
          declared
            .map(({ name }) => name)
            .toSorted()
            .join()
      );
    });
    expect(wrong.map(({ name }) => name)).toEqual([]);
  });

  it("every operation says whether its body is required", () => {
    expect(namesOf(({ requestBody }) => requestBody !== undefined && requestBody.required === undefined)).toEqual([]);
  });

  it("every operation describes its success: a body, none, or the frames of a WebSocket", () => {
    expect(
      namesOf((operation) => {
        const { responses } = operation;
        if (responses["101"] !== undefined) return operation["x-rhone-websocket"] === undefined;
        const successes = Object.entries(responses).filter(([status]) => status.startsWith("2"));
        const isDescribed = ([status, { content }]: [string, Response]): boolean =>
          status === "204" || Object.values(content ?? {}).some(({ schema }) => schema !== undefined);
        return successes.length === 0 || !successes.every(isDescribed);
      }),
    ).toEqual([]);
  });

  it("every operation has the error responses, as components in the format of its path", () => {
    expect(
      namesOf(({ responses, security }) => {
        if (security?.length === 0) return false;
        const errors = Object.entries(responses).filter(([status]) => !/^[12]/.test(status));
        const statuses = new Set(errors.map(([status]) => status));
        return (
          !["401", "403", "default"].every((status) => statuses.has(status)) || errors.some(([, one]) => !one.$ref)
        );
      }),
    ).toEqual([]);
    expect(document.paths["/v1/messages"]!.post!.responses["401"]!.$ref).toBe(
      "#/components/responses/AnthropicUnauthorized",
    );
    expect(document.paths["/v1/keys"]!.get!.responses["401"]!.$ref).toBe("#/components/responses/Unauthorized");
  });

  it("every operation of generation describes its server-sent events", () => {
    const streaming = operations.filter(
      ({ operation }) => "text/event-stream" in (operation.responses["200"]?.content ?? {}),
    );
    expect(streaming.map(({ operation }) => operation.operationId)).toEqual(
      expect.arrayContaining([
        "chat.completions.create",
        "responses.create",
        "messages.create",
        "gemini.models.streamGenerateContent",
        "calls.create",
        "calls.stream",
      ]),
    );
  });
});

describe("every component", () => {
  it("every component has a name that generators accept", () => {
    const names = Object.values(document.components).flatMap((group) => Object.keys(group));
    expect(names.filter((name) => !/^[A-Za-z0-9._-]+$/.test(name))).toEqual([]);
  });

  it("every component that is referred to exists, and every one is referred to", () => {
    const used = new Set<string>();
    visit(document, ({ $ref }) => {
      if (typeof $ref === "string") used.add($ref);
    });
    const known = Object.entries(document.components)
      .filter(([group]) => group !== "securitySchemes")
      .flatMap(([group, members]) => Object.keys(members).map((name) => `#/components/${group}/${name}`));
    expect([...used].filter((reference) => !known.includes(reference))).toEqual([]);
    expect(known.filter((reference) => !used.has(reference) && !reference.includes("/responses/"))).toEqual([]);
  });
});

describe("every schema", () => {
  it("every schema that is an object with members is a component", () => {
    const inline: string[] = [];
    for (const [name, schema] of Object.entries(document.components.schemas!))
      collectInline(schema, name, inline, true);
    for (const { name, operation } of operations) {
      const bodies = [operation.requestBody, ...Object.values(operation.responses)];
      for (const body of bodies)
        for (const { schema } of Object.values(body?.content ?? {})) collectInline(schema, name, inline, false);
    }
    expect(inline).toEqual([]);
  });

  it("every schema that is a union of objects has a discriminator", () => {
    const found: string[] = [];
    for (const [name, component] of Object.entries(document.components.schemas!))
      visit(component, (schema) => {
        const alternatives = (schema.oneOf ?? schema.anyOf) as Schema[] | undefined;
        const others = (alternatives ?? []).filter(({ type }) => type !== "null");
        if (others.length < 2 || !others.every(({ $ref }) => $ref !== undefined)) return;
        if (schema.discriminator === undefined) found.push(name);
      });
    expect(found).toEqual([]);
  });
});

describe("the routes of the app", () => {
  it("the routes of the app are all in the document, and the document has no others", () => {
    const documented = operations.flatMap(({ path, method, operation }) =>
      [path, ...(operation["x-rhone-aliases"] ?? [])].map((each) => ({ method: method.toUpperCase(), path: each })),
    );
    const found = documented.map(({ method, path }) => ({
      name: `${method} ${path}`,
      method,
      route: findRoute(method, sampleOf(path)),
    }));
    expect(found.filter(({ route }) => route === undefined).map(({ name }) => name)).toEqual([]);
    const reached = new Set(found.map(({ method, route }) => `${method} ${route}`));
    const all = routes().filter(({ method }) => method !== "ALL");
    const missing = all.map(({ method, path }) => `${method} ${path}`).filter((route) => !reached.has(route));
    expect([...new Set(missing)]).toEqual([]);
  });
});

/** A path of this pattern; a model and a verb are told apart by the colon behind the parameter. */
const sampleOf = (path: string): string => path.replaceAll(/\{\w+\}/g, "x");

const namesOf = (isWrong: (operation: Operation) => boolean): string[] =>
  operations.filter(({ operation }) => isWrong(operation)).map(({ name }) => name);

function resolve<T extends { $ref?: string }>(value: T): T {
  if (value.$ref === undefined) return value;
  const [, , group, name] = value.$ref.split("/");
  return document.components[group!]![name!] as unknown as T;
}

function visit(value: unknown, see: (schema: Schema) => void): void {
  if (typeof value !== "object" || value === null) return;
  if (!Array.isArray(value)) see(value as Schema);
  for (const inner of Object.values(value)) visit(inner, see);
}

/** The places where an object with members stands inside another schema. `isRoot`: the schema is a component itself. */
function collectInline(schema: Schema | undefined, at: string, found: string[], isRoot: boolean): void {
  if (schema === undefined) return;
  if (!isRoot && Object.keys((schema.properties as Schema | undefined) ?? {}).length > 0) found.push(at);
  const children: [string, unknown][] = [
    ...Object.entries((schema.properties as Schema | undefined) ?? {}),
    ...["items", "additionalProperties"].map((key): [string, unknown] => [key, schema[key]]),
    ...["oneOf", "anyOf", "allOf"].flatMap((key) =>
      ((schema[key] as unknown[] | undefined) ?? []).map((one, i): [string, unknown] => [`${key}[${i}]`, one]),
    ),
  ];
  for (const [name, child] of children)
    if (typeof child === "object" && child !== null) collectInline(child as Schema, `${at}.${name}`, found, false);
}
