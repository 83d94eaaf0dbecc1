import type { z } from "@hono/zod-openapi";
import type { Context } from "hono";
import { newCallIds } from "../../platform/journal-stubs.ts";
import { requireStub, sessionObjectId } from "../../platform/session-stubs.ts";
import { replayRunRequest } from "../../runs/api/requests.ts";
import type { RunCommand, RunRecipe } from "../../runs/api/run-api.ts";
import { SURFACES } from "../../surfaces/index.ts";
import { parseJsonField, readMembers } from "../../surfaces/request.ts";
import { validate } from "../../surfaces/validate.ts";
import { toRpcText } from "../../wire/bytes.ts";
import { newId } from "../../wire/id.ts";
import { isObject, type JsonObject } from "../../wire/json.ts";
import { sliceSpan } from "../../wire/splice.ts";
import { requireOwnObject } from "../admission/client-token.ts";
import type { AppEnv } from "../request/env.ts";
import { branchSession } from "../sessions/branch.ts";
import { answer, answerForRun } from "./answer.ts";

/** A request on a route of runs. */
type Http = Context<AppEnv>;

/** Starts a run in its session's object. `text`: the body of the request. */
export async function createRun(c: Http, text: string, isStream: boolean): Promise<Response> {
  const { SESSIONS } = c.env;
  const { caller } = c.var;
  const { rhone, members } = readMembers(text, c.req.raw.headers, SURFACES.native);
  const named = rhone.session_id;
  const createdAt = Date.now();
  const at = named === undefined ? undefined : sessionObjectId(SESSIONS, caller.org, named);
  requireOwnObject(caller, at, c.env);
  const made = newCallIds(c.env, createdAt, false);
  const objectId = at ?? made.objectId;
  const address = c.req.header("cf-connecting-ip");
  const stream = members.findLast(({ key }) => key === "stream");
  const command: RunCommand = {
    do: "create",
    id: newId("run", createdAt, objectId),
    sessionId: named ?? made.sessionId,
    isNew: at === undefined,
    text: toRpcText(text),
    stream: isStream || (stream !== undefined && sliceSpan(text, stream.value) === "true"),
    ...(address !== undefined && { address }),
  };
  return await answer(requireStub(SESSIONS, objectId), command, c);
}

/** Starts the run again, perhaps with another model, in a branch of its session that starts before it. */
export async function replayRun(c: Http, id: string, body: string): Promise<Response> {
  const { stream = false, ...changes } = validate(replayRunRequest, parseJsonField(body || "{}", "body"));
  const { session_id, from, request } = await (await answerForRun(c, id, { do: "recipe", id })).json<RunRecipe>();
  const branch = await (
    await branchSession(c, session_id, { from: from ?? session_id, transforms: [] })
  ).json<{ id: string }>();
  return await createRun(c, JSON.stringify({ ...change(request, changes), session_id: branch.id }), stream);
}

type Changes = Omit<z.infer<typeof replayRunRequest>, "stream">;

/** The request of a run with another model, or with another harness: that replaces all but the input and the tools of the client. */
function change(request: RunRecipe["request"], changes: Changes): JsonObject {
  if (Object.keys(changes).length === 0) return request;
  const { model: _, routing: __, ...same } = request;
  if (changes.harness === undefined) return { ...same, ...(changes as JsonObject) };
  const { servers: ___, policy: ____, limits: _____, instructions: ______, tools, ...rest } = same;
  const own = (Array.isArray(tools) ? tools : []).filter((tool) => isObject(tool) && tool.type === "function");
  return { ...rest, tools: own, ...(changes as JsonObject) };
}
