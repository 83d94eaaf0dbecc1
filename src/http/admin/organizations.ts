import { createRoute, type OpenAPIHono, z } from "@hono/zod-openapi";
import type { Context } from "hono";
import { DEFAULT_ORG } from "../../keys/authenticate.ts";
import {
  organizationChangesSchema,
  newOrganizationSchema,
  organizationPolicySchema,
  type OrganizationState,
} from "../../keys/organization.ts";
import { clearDefaultHarness } from "../../platform/harnesses.ts";
import { type OrganizationStub, organizationStub } from "../../platform/key-stubs.ts";
import { clearSafetyCache } from "../../platform/safety.ts";
import { listOrganizations } from "../../store/audit.ts";
import { newId } from "../../wire/id.ts";
import { listOf } from "../openapi/pages.ts";
import { describedResponse, errorResponses, jsonBody, jsonResponse } from "../openapi/responses.ts";
import type { AppEnv } from "../request/env.ts";
import { organizationNotFound, ownOrganization } from "./own-organization.ts";

const made = newOrganizationSchema.openapi("NewOrganization");
const changed = organizationChangesSchema.openapi("ChangedOrganization");
const organization = z
  .looseObject({
    id: z.string(),
    object: z.literal("organization"),
    ...organizationPolicySchema.partial().shape,
    created_at: z.string().optional(),
  })
  .openapi("Organization");

const params = z.object({ id: z.string().openapi({ example: DEFAULT_ORG }) });

const routes = {
  create: createRoute({
    method: "post",
    path: "/v1/organizations",
    operationId: "organizations.create",
    summary: "Creates an organisation. Bootstrap key only",
    request: { body: jsonBody(made) },
    responses: { 201: jsonResponse("The organisation", organization), ...errorResponses(400) },
  }),
  list: createRoute({
    method: "get",
    path: "/v1/organizations",
    operationId: "organizations.list",
    summary: "Lists all organisations. Bootstrap key only",
    responses: {
      200: jsonResponse("The organisations", listOf(organization, "OrganizationList")),
      ...errorResponses(),
    },
  }),
  get: createRoute({
    method: "get",
    path: "/v1/organizations/{id}",
    operationId: "organizations.get",
    summary: "Returns the organisation",
    request: { params },
    responses: { 200: jsonResponse("The organisation", organization), ...errorResponses(404) },
  }),
  change: createRoute({
    method: "patch",
    path: "/v1/organizations/{id}",
    operationId: "organizations.update",
    summary: "Updates the given members: budgets and limits of all its keys, budgets of tags",
    request: { params, body: jsonBody(changed) },
    responses: { 200: jsonResponse("The organisation", organization), ...errorResponses(400, 404) },
  }),
  usage: createRoute({
    method: "get",
    path: "/v1/organizations/{id}/usage",
    operationId: "organizations.usage.get",
    summary: "Returns the organisation's or a tag's spending, counted since it has a budget",
    request: { params, query: z.object({ tag: z.string().optional() }) },
    responses: { 200: describedResponse("The spending", "AccountUsage"), ...errorResponses(404) },
  }),
};

/** `/v1/organizations`: the bootstrap key creates and lists them; a key reads and changes its own, by its scopes. */
export function organizationRoutes(app: OpenAPIHono<AppEnv>): void {
  app.openapi(routes.create, async (c) => {
    const id = newId("org", Date.now());
    const policy = c.req.valid("json");
    return c.json(toApiOrganization(await organizationStub(c.env, id).put(id, policy, c.var.caller.keyId)), 201);
  });
  app.openapi(routes.list, async (c) => {
    const data = (await listOrganizations(c.env.DB)).map(({ id, name, createdAt }) => ({
      id,
      object: "organization" as const,
      name,
      created_at: new Date(createdAt).toISOString(),
    }));
    return c.json({ object: "list" as const, data }, 200);
  });
  app.openapi(routes.get, async (c) => {
    const { id } = c.req.valid("param");
    return c.json(toApiOrganization(await found(c, id)), 200);
  });
  app.openapi(routes.change, async (c) => {
    const { id } = c.req.valid("param");
    await found(c, id);
    const changes = defined(c.req.valid("json"));
    const state = await stubOf(c, id).put(id, changes, c.var.caller.keyId);
    clearSafetyCache(id);
    clearDefaultHarness(id);
    return c.json(toApiOrganization(state), 200);
  });
  app.openapi(routes.usage, async (c) => {
    const { id } = c.req.valid("param");
    return c.json(present(await stubOf(c, id).usage(c.req.valid("query").tag)), 200);
  });
}

/** The default organisation exists even before it has been configured. */
async function found(c: Context<AppEnv>, id: string): Promise<OrganizationState> {
  const known = await stubOf(c, id).describe();
  if (known !== undefined || id !== DEFAULT_ORG) return present(known);
  return { id, policy: newOrganizationSchema.parse({ name: "Default" }), createdAt: 0 };
}

/** Throws `object.not_found` for an organisation that is not the caller's. */
const stubOf = (c: Context<AppEnv>, id: string): OrganizationStub => organizationStub(c.env, ownOrganization(c, id));

function present<T>(found: T | undefined): T {
  if (found === undefined) throw organizationNotFound();
  return found;
}

const defined = <T extends object>(members: T): { [K in keyof T]?: Exclude<T[K], undefined> } =>
  Object.fromEntries(Object.entries(members).filter(([, value]) => value !== undefined)) as never;

const toApiOrganization = ({ id, policy, createdAt }: OrganizationState): z.infer<typeof organization> => ({
  id,
  object: "organization",
  ...policy,
  ...(createdAt > 0 && { created_at: new Date(createdAt).toISOString() }),
});
