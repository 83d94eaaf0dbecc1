import { createRoute, type OpenAPIHono, z } from "@hono/zod-openapi";
import { GatewayError } from "../../canonical/error.ts";
import { transformSchema } from "../../session/history/branch.ts";
import { validate } from "../../surfaces/validate.ts";
import { COMPACTION_STRATEGIES } from "../../session/history/compact.ts";
import { parseJsonField } from "../../surfaces/request.ts";
import { branchSession } from "./branch.ts";
import { readText } from "../../surfaces/body.ts";
import { sendCommand, type Http, systemText } from "./command.ts";
import type { AppEnv } from "../request/env.ts";
import { replay, replayRequest } from "./replay.ts";
import { errorResponses } from "../openapi/schemas.ts";
import { clientToken, issueClientToken, tokenRequest } from "./client-token.ts";
import { chosenId, session } from "./sessions.ts";

/** `POST /v1/sessions/{id}:{verb}`: what its body must be, and what it does. */
type Verb = {
  summary: string;
  request: z.ZodType;
  answer: z.ZodType;
  run: (c: Http, id: string, body: never) => Promise<Response>;
};

const verb = <T>(
  summary: string,
  request: z.ZodType<T>,
  run: (c: Http, id: string, body: T) => Promise<Response>,
  answer: z.ZodType = session,
): Verb => ({ summary, request, answer, run });

const nothing = z.strictObject({});
const reference = z.string().min(1).max(200);

const compaction = z
  .looseObject({ object: z.literal("compaction"), turn_id: z.string(), replaced_turns: z.int(), kept_turns: z.int() })
  .openapi("Compaction");
const snapshot = z
  .looseObject({ object: z.literal("snapshot"), name: z.string(), turn_id: z.string().nullable() })
  .openapi("Snapshot");

const VERBS: Record<string, Verb> = {
  "set-instructions": verb(
    "The system text from now on; null for none",
    z.strictObject({ instructions: z.string().min(1).nullable() }),
    (c, id, { instructions }) =>
      sendCommand(c, id, {
        do: "setInstructions",
        instructions: instructions === null ? undefined : systemText(instructions),
      }),
  ),
  "set-phase": verb(
    "A word of yours for where the session stands; null for none",
    z.strictObject({ phase: z.string().min(1).max(64).nullable() }),
    (c, id, { phase }) => sendCommand(c, id, { do: "setPhase", phase }),
  ),
  pause: verb("Refuses calls from now on", nothing, (c, id) => sendCommand(c, id, { do: "pause" })),
  resume: verb("Takes calls again", nothing, (c, id) => sendCommand(c, id, { do: "resume" })),
  branch: verb(
    "A new session with a copy of the history up to a turn",
    z.strictObject({
      from: reference.optional().meta({ description: "A turn, a call or a snapshot's name; the head if absent." }),
      transforms: z.array(transformSchema).max(16).optional(),
      id: chosenId.optional(),
    }),
    (c, id, { from, transforms = [], id: chosen }) => branchSession(c, id, { from, transforms, id: chosen }),
  ),
  compact: verb(
    "Puts something shorter in the place of the turns before",
    z.strictObject({
      strategy: z.enum(COMPACTION_STRATEGIES).default("summarize"),
      keep_last: z.int().min(0).optional(),
      model: z.string().min(1).optional(),
    }),
    (c, id, request) => sendCommand(c, id, { do: "compact", ...request }),
    compaction,
  ),
  snapshot: verb(
    "Names the place where the session stands",
    z.strictObject({ name: z.string().regex(/^[\w.:-]{1,128}$/, "expected up to 128 of A-Z a-z 0-9 _ . : -") }),
    (c, id, { name }) => sendCommand(c, id, { do: "snapshot", name }),
    snapshot,
  ),
  token: verb("A token for a browser, for this session alone", tokenRequest, issueClientToken, clientToken),
  replay: verb(
    "Says turns again, in a branch, to the same or another model",
    replayRequest,
    replay,
    z.looseObject({ object: z.literal("replay") }),
  ),
};

export function sessionVerbRoutes(app: OpenAPIHono<AppEnv>): void {
  app.post("/v1/sessions/:call{.+:[a-z-]+}", async (c) => {
    const call = c.req.param("call");
    const colon = call.lastIndexOf(":");
    const name = call.slice(colon + 1);
    const found = Object.hasOwn(VERBS, name) ? VERBS[name]! : undefined;
    if (found === undefined)
      throw new GatewayError(
        "route.not_found",
        `there is no such verb: expected one of ${Object.keys(VERBS).join(", ")}`,
      );
    const text = await readText(c.req.raw);
    const body = validate(found.request, text.trim() === "" ? {} : parseJsonField(text, "body"));
    return await found.run(c as Http, call.slice(0, colon), body as never);
  });
  for (const [name, { summary, request, answer }] of Object.entries(VERBS)) {
    app.openAPIRegistry.registerPath(
      createRoute({
        method: "post",
        path: `/v1/sessions/{id}:${name}`,
        summary,
        request: {
          params: z.object({ id: z.string() }),
          body: { content: { "application/json": { schema: request } } },
        },
        responses: {
          200: { description: "Done", content: { "application/json": { schema: answer } } },
          ...errorResponses(400, 404),
        },
      }),
    );
  }
}
