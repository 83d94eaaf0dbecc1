import type { Context } from "hono";
import { GatewayError } from "../../canonical/error.ts";
import { fromRpcResponse } from "../../canonical/rpc-error.ts";
import { stubForId } from "../../platform/session-stubs.ts";
import type { PlainContent } from "../../runs/api/plain-content.ts";
import { conflict } from "../../runs/api/requests.ts";
import type { RunCommand } from "../../runs/api/run-api.ts";
import type { Step } from "../../runs/state/run.ts";
import type { CallState } from "../../session/calls.ts";
import { runIdOf } from "../../store/records.ts";
import { withoutUndefined } from "../../wire/json.ts";
import type { AppEnv } from "../request/env.ts";
import { findKnownCall, type KnownCall, toKnownCall } from "../sessions/calls.ts";
import { showPlainRun } from "../sessions/run-views.ts";

type Http = Context<AppEnv>;

/** The plain call that is the run with this id; undefined if there is none. */
export async function findPlainCall(c: Http, id: string): Promise<KnownCall | undefined> {
  try {
    const call = await findKnownCall(c.env, c.var.caller.org, id, "run");
    return call.runId === undefined ? call : undefined;
  } catch (thrown) {
    if (thrown instanceof GatewayError && thrown.code === "object.not_found") return undefined;
    throw thrown;
  }
}

/** An operation on the run of one call that a plain call is. Throws `object.not_found` for what it has not got. */
export async function performOnPlainCall(c: Http, call: KnownCall, command: RunCommand): Promise<Response> {
  const id = runIdOf(call);
  switch (command.do) {
    case "show": {
      const { output } = await readContent(c, id, call);
      return c.json(withoutUndefined({ ...showPlainRun(call), output }));
    }
    case "request": {
      const { input } = await readContent(c, id, call);
      return c.json(toEffectiveRequest(id, call, input));
    }
    case "follow":
      return await follow(c, id, { call: call.id, after: command.after });
    case "cancel":
      return c.json(showPlainRun(await cancel(c, id, call)));
    default:
      return c.json(listPart(command, id, call));
  }
}

/** A list of what belongs to the run. Throws `request.invalid`, with the status 409, for what only a driven run can do. */
function listPart({ do: what }: RunCommand, id: string, call: KnownCall): object {
  switch (what) {
    case "steps":
      return listed([toStep(id, call)]);
    case "events": {
      const started = { type: "run.started", run_id: id, at: new Date(call.createdAt).toISOString() };
      return listed([started, { type: "step", ...toStep(id, call) }]);
    }
    case "executions":
    case "checkpoints":
      return listed([]);
    case "execution":
      throw notFound("the run has no such execution of a tool");
    case "resume":
      throw conflict(
        "id",
        "the run is a plain call, which waits for nothing: results of tools are input of the next call",
      );
    case "interrupt":
      throw conflict("id", `the run is a plain call: POST /v1/runs/${id}:cancel stops it`);
    case "recipe":
      throw conflict(
        "id",
        `the run is a plain call: POST /v1/sessions/${call.sessionId}:replay with {"from": "${call.id}"} replays it`,
      );
    default:
      throw notFound("there is no such run");
  }
}

/** The only page of a list. */
const listed = (data: readonly object[]): object => ({ object: "list", data, has_more: false, last_id: null });

/** The only step: of a call whose content was not stored, or that has failed, there is no turn. */
const toStep = (run: string, { id, status, endedAt, turnId }: KnownCall): object =>
  withoutUndefined({
    object: "run.step",
    run_id: run,
    step: 1,
    status: statusOfStep(endedAt === undefined ? undefined : status),
    call_id: id,
    turn_id: turnId,
    tool_executions: [],
  });

const statusOfStep = (ended: KnownCall["status"]): Step["status"] => {
  if (ended === undefined) return "calling";
  return ended === "completed" ? "committed" : "dropped";
};

/** What is stored of the call's own request: its session's instructions and the history come before that input. */
const toEffectiveRequest = (id: string, { modelAsked, metadata }: KnownCall, input: PlainContent["input"]): object => ({
  object: "effective_request",
  run_id: id,
  call: withoutUndefined({ model: modelAsked, input, metadata }),
  tools: [],
  policy: [],
  limits: {},
});

/** What the session stores of the call's content: nothing while it runs, or once the session is deleted. */
async function readContent(c: Http, id: string, { endedAt }: KnownCall): Promise<PlainContent> {
  const stub = endedAt === undefined ? undefined : stubForId(c.env.SESSIONS, "run", id);
  const answered = await stub?.run({ do: "content", id }, c.var.caller);
  return answered?.ok === true ? await answered.json<PlainContent>() : {};
}

/** The call's own stream, in the format of its surface. */
async function follow(c: Http, id: string, { call, after }: { call: string; after: number }): Promise<Response> {
  const stub = stubForId(c.env.SESSIONS, "run", id);
  if (stub === undefined) throw notFound("the run has no stream any more");
  return await fromRpcResponse(await stub.stream(c.var.caller.org, call, after));
}

/** Stops the call if it is running. */
async function cancel(c: Http, id: string, call: KnownCall): Promise<KnownCall> {
  const stub = call.endedAt === undefined ? stubForId(c.env.SESSIONS, "run", id) : undefined;
  if (stub === undefined) return call;
  const cancelled = await fromRpcResponse(await stub.cancel(c.var.caller.org, call.id));
  return toKnownCall(await cancelled.json<CallState>());
}

const notFound = (message: string): GatewayError => new GatewayError("object.not_found", message);
