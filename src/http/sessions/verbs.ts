import { createRoute, type OpenAPIHono, z } from "@hono/zod-openapi";
import { GatewayError } from "../../canonical/error.ts";
import { transformSchema } from "../../session/history/branch.ts";
import { COMPACTION_STRATEGIES } from "../../session/history/compact.ts";
import { readText } from "../../surfaces/body.ts";
import { parseJsonField } from "../../surfaces/request.ts";
import { validate } from "../../surfaces/validate.ts";
import { describedResponse, errorResponses, optionalJsonBody } from "../openapi/responses.ts";
import type { AppEnv } from "../request/env.ts";
import { branchSession } from "./branch.ts";
import { issueClientToken, tokenRequest } from "./client-token.ts";
import { screenContent, sendCommand, type Http, systemText } from "./command.ts";
import { replay, replayRequest } from "./replay.ts";
import { chosenId, sessionParams } from "./sessions.ts";

/** `POST /v1/sessions/{id}:{verb}`: what its body must be, and what it does. */
type Verb = {
  operationId: string;
  summary: string;
  request: z.ZodType;
  /** The component that describes a success. */
  answer: string;
  status: 200 | 201;
  run: (c: Http, id: string, body: never) => Promise<Response>;
};

/** An operation as it is declared; most of them answer 200 with the session. */
type VerbDeclaration<T> = Pick<Verb, "operationId" | "summary"> &
  Partial<Pick<Verb, "answer" | "status">> & {
    request: z.ZodType<T>;
    run: (c: Http, id: string, body: T) => Promise<Response>;
  };

const verb = <T>(declaration: VerbDeclaration<T>): Verb => ({ answer: "Session", status: 200, ...declaration });

const nothing = z.strictObject({}).openapi("NoMembers");
const reference = z.string().min(1).max(200);

const VERBS: Record<string, Verb> = {
  "set-instructions": verb({
    operationId: "sessions.setInstructions",
    summary: "Sets the system text of later calls; null: none",
    request: z.strictObject({ instructions: z.string().min(1).nullable() }).openapi("SetInstructionsRequest"),
    run: async (c, id, request) => {
      const { instructions } = await screenContent(c, request);
      return await sendCommand(c, id, {
        do: "setInstructions",
        instructions: instructions === null ? undefined : systemText(instructions),
      });
    },
  }),
  "set-phase": verb({
    operationId: "sessions.setPhase",
    summary: "Sets a label; null: none",
    request: z.strictObject({ phase: z.string().min(1).max(64).nullable() }).openapi("SetPhaseRequest"),
    run: (c, id, { phase }) => sendCommand(c, id, { do: "setPhase", phase }),
  }),
  pause: verb({
    operationId: "sessions.pause",
    summary: "Pauses the session; calls are refused",
    request: nothing,
    run: (c, id) => sendCommand(c, id, { do: "pause" }),
  }),
  resume: verb({
    operationId: "sessions.resume",
    summary: "Resumes the session; calls are accepted",
    request: nothing,
    run: (c, id) => sendCommand(c, id, { do: "resume" }),
  }),
  branch: verb({
    operationId: "sessions.branch",
    summary: "Creates a session with a copy of the history up to a turn",
    request: z
      .strictObject({
        from: reference.optional().meta({ description: "A turn, a call or a snapshot's name; the head if absent." }),
        transforms: z.array(transformSchema).max(16).optional(),
        id: chosenId.optional(),
      })
      .openapi("BranchRequest"),
    run: (c, id, { from, transforms = [], id: chosen }) => branchSession(c, id, { from, transforms, id: chosen }),
    status: 201,
  }),
  compact: verb({
    operationId: "sessions.compact",
    summary: "Replaces earlier turns by a shorter form",
    request: z
      .strictObject({
        strategy: z.enum(COMPACTION_STRATEGIES).default("summarize"),
        keep_last: z.int().min(0).optional(),
        model: z.string().min(1).optional(),
      })
      .openapi("CompactSessionRequest"),
    run: (c, id, request) => sendCommand(c, id, { do: "compact", ...request }),
    answer: "Compaction",
  }),
  snapshot: verb({
    operationId: "sessions.snapshots.create",
    summary: "Names the current head",
    request: z
      .strictObject({ name: z.string().regex(/^[\w.:-]{1,128}$/, "expected up to 128 of A-Z a-z 0-9 _ . : -") })
      .openapi("SnapshotRequest"),
    run: (c, id, { name }) => sendCommand(c, id, { do: "snapshot", name }),
    answer: "Snapshot",
    status: 201,
  }),
  token: verb({
    operationId: "sessions.tokens.create",
    summary: "Creates a client token for this session",
    request: tokenRequest,
    run: issueClientToken,
    answer: "ClientToken",
  }),
  replay: verb({
    operationId: "sessions.replay",
    summary: "Replays turns in a branch, with the same or another model",
    request: replayRequest,
    run: replay,
    answer: "Replay",
  }),
};

/**
 * Registers one route for all operations on a session: ids may contain colons, so the verb after the last colon is looked
 * up in the table above. Throws `route.not_found` for an unknown one.
 */
export function sessionVerbRoutes(app: OpenAPIHono<AppEnv>): void {
  app.post("/v1/sessions/:call{.+:[a-z-]+}", async (c) => {
    const call = c.req.param("call");
    const colon = call.lastIndexOf(":");
    const name = call.slice(colon + 1);
    const found = Object.hasOwn(VERBS, name) ? VERBS[name]! : undefined;
    if (found === undefined)
      throw new GatewayError("route.not_found", `unknown operation: expected one of ${Object.keys(VERBS).join(", ")}`);
    const text = await readText(c.req.raw);
    const body = validate(found.request, text.trim() === "" ? {} : parseJsonField(text, "body"));
    return await found.run(c as Http, call.slice(0, colon), body as never);
  });
  for (const [name, { operationId, summary, request, answer, status }] of Object.entries(VERBS)) {
    app.openAPIRegistry.registerPath(
      createRoute({
        method: "post",
        path: `/v1/sessions/{id}:${name}`,
        operationId,
        summary,
        request: { params: sessionParams, body: optionalJsonBody(request) },
        responses: {
          [status]: describedResponse("The result", answer),
          ...errorResponses(400, 404, 409),
        },
      }),
    );
  }
}
