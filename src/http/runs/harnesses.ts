import { createRoute, type OpenAPIHono, z } from "@hono/zod-openapi";
import type { Context } from "hono";
import { GatewayError, invalid } from "../../canonical/error.ts";
import { harnessIdOf, type HarnessName, parseHarnessId } from "../../keys/harness-id.ts";
import type { HarnessPage, StoredHarness } from "../../keys/harnesses.ts";
import { clearHarnesses, clearNewestHarness } from "../../platform/harnesses.ts";
import { organizationStub } from "../../platform/key-stubs.ts";
import { harnessSchema, readHarness } from "../../runs/state/harness.ts";
import { isObject, type Json, type JsonObject, parseJson } from "../../wire/json.ts";
import { page, pageOf } from "../openapi/pages.ts";
import { errorResponses } from "../openapi/responses.ts";
import type { AppEnv } from "../request/env.ts";
import { readDocument, requireSize, requireUsable, respond } from "./harness-body.ts";

type Http = Context<AppEnv>;

/** `name` is optional where the path has it. */
const { name, ...definition } = harnessSchema.shape;
const changed = z.strictObject({ name: name.optional(), ...definition }).openapi("NewHarnessVersion");
const harness = z
  .object({
    id: z.string().openapi({ description: "With the version, as in harness_support_v3" }),
    object: z.literal("harness"),
    name: z.string(),
    version: z.int(),
    created_at: z.string(),
    ...definition,
  })
  .openapi("Harness");

/** A body in either format. */
const inBoth = <T extends z.ZodType>(schema: T) => ({ "application/json": { schema }, "application/yaml": { schema } });
const stored = { description: "The version", content: inBoth(harness) };
const params = z.object({ id: z.string().openapi({ example: "harness_support" }) });
const pages = { description: "A page of versions", content: inBoth(pageOf(harness, "HarnessPage")) };

const routes = {
  create: createRoute({
    method: "post",
    path: "/v1/harnesses",
    operationId: "harnesses.create",
    summary: "Stores a new version of the harness that the body names",
    request: { body: { required: true, content: inBoth(harnessSchema) } },
    responses: { 201: stored, ...errorResponses(400) },
  }),
  put: createRoute({
    method: "put",
    path: "/v1/harnesses/{id}",
    operationId: "harnesses.set",
    summary: "Stores a new version of a harness; those before it stay",
    request: { params, body: { required: true, content: inBoth(changed) } },
    responses: { 200: stored, ...errorResponses(400) },
  }),
  list: createRoute({
    method: "get",
    path: "/v1/harnesses",
    operationId: "harnesses.list",
    summary: "Lists the harnesses by name, each in its newest version",
    request: { query: page },
    responses: { 200: pages, ...errorResponses(400) },
  }),
  get: createRoute({
    method: "get",
    path: "/v1/harnesses/{id}",
    operationId: "harnesses.get",
    summary: "Returns the version of a harness that the id names, or the newest",
    request: { params },
    responses: { 200: stored, ...errorResponses(404) },
  }),
  versions: createRoute({
    method: "get",
    path: "/v1/harnesses/{id}/versions",
    operationId: "harnesses.versions.list",
    summary: "Lists the versions of a harness, the newest first",
    request: { params, query: page },
    responses: { 200: pages, ...errorResponses(400, 404) },
  }),
  remove: createRoute({
    method: "delete",
    path: "/v1/harnesses/{id}",
    operationId: "harnesses.delete",
    summary: "Deletes a harness in all its versions; runs that have started go on",
    request: { params },
    responses: { 204: { description: "Deleted" }, ...errorResponses(400, 404) },
  }),
};

/** `/v1/harnesses`: what runs have in common, in JSON or YAML. A version never changes, and its number is not given again. */
export function harnessRoutes(app: OpenAPIHono<AppEnv>): void {
  // These read their bodies themselves: in two formats, and in forms that are shorter than the schema's.
  app.post("/v1/harnesses", async (c) => await respond(c, await store(c, await readDocument(c)), 201));
  app.put("/v1/harnesses/:id", async (c) => {
    const own = requireName(c.req.param("id"));
    const body = await readDocument(c);
    const given = isObject(body) ? body.name : undefined;
    if (given !== undefined && given !== own) throw invalid("name", `expected ${own}, as in the path, or no name`);
    return await respond(c, await store(c, isObject(body) ? { ...body, name: own } : body));
  });
  for (const route of [routes.create, routes.put]) app.openAPIRegistry.registerPath(route);
  app.openapi(routes.list, async (c) => {
    const { limit, after } = c.req.valid("query");
    const last = after === undefined ? undefined : requireCursor(after);
    const found = await stubOf(c).harnesses({ limit, ...(last && { after: last.name }) });
    return await respond(c, toApiPage(found));
  });
  app.openapi(routes.get, async (c) => {
    const named = parseHarnessId(c.req.valid("param").id);
    const found = named && (await stubOf(c).harness(named.name, named.version));
    if (found === undefined) throw notFound();
    return await respond(c, toApiHarness(found));
  });
  app.openapi(routes.versions, async (c) => {
    const { limit, after } = c.req.valid("query");
    const own = requireName(c.req.valid("param").id);
    const { version: before } = after === undefined ? {} : requireCursor(after);
    const found = await stubOf(c).harnessVersions({ name: own, limit, ...(before !== undefined && { before }) });
    if (found.found.length === 0 && before === undefined) throw notFound();
    return await respond(c, toApiPage(found));
  });
  app.openapi(routes.remove, async (c) => {
    const { org, keyId } = c.var.caller;
    if (!(await stubOf(c).removeHarness(org, requireName(c.req.valid("param").id), keyId))) throw notFound();
    clearHarnesses();
    return c.body(null, 204);
  });
}

const stubOf = (c: Http): ReturnType<typeof organizationStub> => organizationStub(c.env, c.var.caller.org);

const notFound = (): GatewayError => new GatewayError("object.not_found", "there is no such harness");

/** The name in an id. Throws `request.invalid` for the id of a version. */
function requireName(id: string): string {
  const named = parseHarnessId(id);
  if (named === undefined) throw invalid("id", "expected the id of a harness, as in harness_support");
  if (named.version === undefined) return named.name;
  throw invalid("id", `expected ${harnessIdOf({ name: named.name })}: a version does not change`);
}

/** Throws `request.invalid`. */
function requireCursor(after: string): HarnessName {
  const last = parseHarnessId(after);
  if (last === undefined) throw invalid("after", "expected the last_id of the previous page");
  return last;
}

/** Stores a definition that runs can use. Throws `request.invalid`, naming the field and what was expected. */
async function store(c: Http, document: Json): Promise<JsonObject> {
  const { org, keyId } = c.var.caller;
  const read = readHarness(isObject(document) ? withoutOwnMembers(document) : document);
  await requireUsable(read, c);
  const body = JSON.stringify(read);
  requireSize(body);
  const added = await stubOf(c).addHarness(org, read.name, body, keyId);
  if (added === undefined) throw invalid("name", "expected at most 200 harnesses: delete one");
  clearNewestHarness(org, read.name);
  return toApiHarness(added);
}

/** A definition without what the gateway knows of it: a version that was read, and changed, can be stored as it is. */
function withoutOwnMembers({ id: _, object: __, version: ___, created_at: ____, ...members }: JsonObject): JsonObject {
  return members;
}

/** A version as the API shows it: its definition with what the gateway knows of it. */
const toApiHarness = ({ name: own, version, body, createdAt }: StoredHarness): JsonObject => ({
  id: harnessIdOf({ name: own, version }),
  object: "harness",
  name: own,
  version,
  created_at: new Date(createdAt).toISOString(),
  ...(parseJson(body) as JsonObject),
});

function toApiPage({ found, hasMore }: HarnessPage): JsonObject {
  const data = found.map(toApiHarness);
  return { object: "list", data, has_more: hasMore, last_id: data.at(-1)?.id ?? null };
}
