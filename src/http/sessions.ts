import { createRoute, type OpenAPIHono, z } from "@hono/zod-openapi";
import { sessionId } from "../gateway/surface.ts";
import { BLOCK_FORMATS } from "../gateway/view.ts";
import { type Description, type Instructions, sessionNotFound } from "../session/session.ts";
import type { AppEnv } from "./context.ts";
import { failures } from "./schemas.ts";
import { newSession as mintSession, placeOfSession, type SessionStub, stubAt } from "./where.ts";

const params = z.object({ id: z.string().openapi({ example: "sess_support_123" }) });

const session = z
  .object({
    id: z.string(),
    object: z.literal("session"),
    head: z.string().nullable().openapi({ description: "The turn where the next call continues." }),
    turns: z.int().openapi({ description: "How many turns lie on the way to the head." }),
    created_at: z.string(),
    updated_at: z.string(),
  })
  .openapi("Session");

const listOf = <T extends z.ZodType>(item: T) => z.object({ object: z.literal("list"), data: z.array(item) });
const block = z.looseObject({}).openapi("Block");
const entry = z
  .looseObject({ type: z.enum(["turn", "call"]), call_id: z.string(), status: z.string(), created_at: z.string() })
  .openapi("TimelineEntry");

/** Chosen ids must not look like minted ones: those name a place. */
const chosenId = sessionId.refine(
  (id) => !/^sess_[0-9a-hjkmnp-tv-z]{52}$/.test(id),
  "expected no id of the gateway's own kind",
);

const newSession = z
  .strictObject({
    id: chosenId.optional(),
    instructions: z.string().min(1).optional().openapi({ description: "The system text, until a call gives another." }),
  })
  .openapi("NewSession");

const routes = {
  create: createRoute({
    method: "post",
    path: "/v1/sessions",
    summary: "A session, with an id of the caller's choice if it has one",
    request: { body: { required: true, content: { "application/json": { schema: newSession } } } },
    responses: {
      200: {
        description: "It was there already, and is as it was",
        content: { "application/json": { schema: session } },
      },
      201: { description: "The session", content: { "application/json": { schema: session } } },
      ...failures(400),
    },
  }),
  get: createRoute({
    method: "get",
    path: "/v1/sessions/{id}",
    summary: "A session",
    request: { params },
    responses: {
      200: { description: "The session", content: { "application/json": { schema: session } } },
      ...failures(404),
    },
  }),
  blocks: createRoute({
    method: "get",
    path: "/v1/sessions/{id}/blocks",
    summary: "The continuity head: what the model sees next",
    request: { params, query: z.object({ format: z.enum(BLOCK_FORMATS).default("native") }) },
    responses: {
      200: { description: "Blocks", content: { "application/json": { schema: listOf(block) } } },
      ...failures(400, 404),
    },
  }),
  timeline: createRoute({
    method: "get",
    path: "/v1/sessions/{id}/timeline",
    summary: "Everything that happened in a session",
    request: { params },
    responses: {
      200: { description: "Turns and calls in order", content: { "application/json": { schema: listOf(entry) } } },
      ...failures(404),
    },
  }),
};

export function sessions(app: OpenAPIHono<AppEnv>): void {
  app.openapi(routes.create, async (c) => {
    const { org } = c.var.caller;
    const { id: chosen, instructions } = c.req.valid("json");
    const minted = mintSession(c.env.SESSIONS);
    const id = chosen ?? minted.id;
    const said = instructions === undefined ? undefined : systemText(instructions);
    const { isNew, session: made } = await stubOf(c.env.SESSIONS, org, id).create(org, id, said);
    return c.json(shown(made), isNew ? 201 : 200);
  });
  app.openapi(routes.get, async (c) => {
    const { org } = c.var.caller;
    return c.json(shown(present(await stubOf(c.env.SESSIONS, org, c.req.valid("param").id).describe(org))), 200);
  });
  app.openapi(routes.blocks, async (c) => {
    const { org } = c.var.caller;
    const data = present(
      await stubOf(c.env.SESSIONS, org, c.req.valid("param").id).blocks(org, c.req.valid("query").format),
    );
    return c.json({ object: "list" as const, data: JSON.parse(data) as Record<string, unknown>[] }, 200);
  });
  app.openapi(routes.timeline, async (c) => {
    const { org } = c.var.caller;
    const data = present(await stubOf(c.env.SESSIONS, org, c.req.valid("param").id).timeline(org));
    return c.json({ object: "list" as const, data: JSON.parse(data) as z.infer<typeof entry>[] }, 200);
  });
}

const shown = ({ id, turns, head, createdAt, updatedAt }: Description): z.infer<typeof session> => ({
  id,
  object: "session",
  head: head ?? null,
  turns,
  created_at: new Date(createdAt).toISOString(),
  updated_at: new Date(updatedAt).toISOString(),
});

/** Instructions without a wire of their own are a system message of Chat's. */
const systemText = (content: string): Instructions => ({
  dialect: "openai-chat",
  items: JSON.stringify({ role: "system", content }),
});

const stubOf = (namespace: Cloudflare.Env["SESSIONS"], org: string, id: string): SessionStub =>
  stubAt(namespace, placeOfSession(namespace, org, id));

function present<T>(found: T | undefined): T {
  if (found === undefined) throw sessionNotFound();
  return found;
}
