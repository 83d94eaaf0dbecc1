import { GatewayError, invalid } from "../../canonical/error.ts";
import type { Caller } from "../../keys/caller.ts";
import { findTurn } from "../../session/turns.ts";
import { parseJsonField } from "../../surfaces/request.ts";
import { validate } from "../../surfaces/validate.ts";
import { readRpcText } from "../../wire/bytes.ts";
import { withPrefix } from "../../wire/id.ts";
import { isObject, type JsonObject, parseJson, withoutUndefined } from "../../wire/json.ts";
import { startRun, type RequestedCall, type RequestedRun } from "../create-run.ts";
import type { RunEngine } from "../run-engine.ts";
import { openOf } from "../run-gates.ts";
import { toApiCheckpoint, toApiExecution, toApiStep } from "../run-views.ts";
import { hasEnded, type Run } from "../state/run.ts";
import type { McpServer } from "../state/server.ts";
import type { RunTool } from "../state/tool.ts";
import { toCallText } from "../steps/native-steps.ts";
import { resolveCheckpoint } from "./decisions.ts";
import { readPlainContent } from "./plain-content.ts";
import { conflict, interruptRequest, resolveRequest, resumeRequest } from "./requests.ts";
import { interrupt, resume } from "./run-commands.ts";
import { type AnsweredCall, answerToolCall, executeCall } from "./tool-calls.ts";

/** An operation on a run or a checkpoint. Member names cross RPC. `body`: the request's text. */
export type RunCommand =
  | ({ do: "create"; stream: boolean; text: string | ReadableStream<Uint8Array> } & Omit<
      RequestedRun,
      "caller" | "text"
    >)
  | ({ do: "call" } & Omit<RequestedCall, "caller">)
  | ({ do: "answer"; id: string } & Omit<AnsweredCall, "run">)
  | { do: "recipe"; id: string }
  | { do: "content"; id: string }
  | { do: "show" | "steps" | "events" | "checkpoints" | "executions" | "request" | "cancel"; id: string }
  | { do: "follow"; id: string; after: number }
  | { do: "execution"; id: string; execution: string }
  | { do: "resume"; id: string; body: string }
  | { do: "interrupt"; id: string; body: string }
  | { do: "checkpoint"; id: string }
  | { do: "resolve"; id: string; body: string };

/**
 * Runs one operation and returns the API's response. Throws `object.not_found` for another organisation's run as for none, and
 * `request.invalid`, with the status 409 for what can no longer be done.
 */
export async function performOnRun(command: RunCommand, caller: Caller, engine: RunEngine): Promise<Response> {
  const { session } = engine.services.state;
  if (command.do === "create") {
    if (!command.isNew) session.requireActive(caller.org);
    const run = await startRun(engine, { ...command, text: await readRpcText(command.text), caller });
    return command.stream ? follow(engine, run, 0) : await respond(engine, run, caller);
  }
  if (command.do === "call") return Response.json(await executeCall(engine, { ...command, caller }));
  if (!session.exists || session.row.org !== caller.org) throw notFound(command);
  if (command.do === "answer")
    return Response.json(await answerToolCall(engine, { ...command, run: command.id }, caller));
  if (command.do === "checkpoint" || command.do === "resolve") return await onCheckpoint(command, caller, engine);
  if (command.do === "content") return Response.json(await readPlainContent(command.id, caller, engine.services));
  const run = engine.require(command.id);
  if (command.do === "follow") return follow(engine, run, command.after);
  if (command.do === "resume" || command.do === "interrupt") return await change(engine, run, command, caller);
  if (command.do === "cancel") await engine.cancel(run);
  return Response.json(await show(command, run, engine, caller));
}

type Shown = Exclude<
  RunCommand["do"],
  "create" | "call" | "answer" | "checkpoint" | "resolve" | "content" | "follow" | "resume" | "interrupt"
>;

/** What a command shows of a run. */
async function show(
  command: Extract<RunCommand, { do: Shown }>,
  run: Run,
  engine: RunEngine,
  caller: Caller,
): Promise<JsonObject | RunRecipe> {
  switch (command.do) {
    case "recipe":
      return recipeOf(run, engine);
    case "show":
    case "cancel":
      return await engine.show(run, caller);
    case "execution":
      return await showExecution(command.execution, run, engine, caller);
    default:
      return list(command.do, run, engine, caller);
  }
}

/** Answers when the run has ended or waits, or with its events from here on. */
async function change(
  engine: RunEngine,
  run: Run,
  command: Extract<RunCommand, { do: "resume" | "interrupt" }>,
  caller: Caller,
): Promise<Response> {
  const body = parseJsonField(command.body || "{}", "body");
  const before = run.events;
  const request = command.do === "resume" ? validate(resumeRequest, body) : validate(interruptRequest, body);
  if ("behavior" in request) await interrupt(engine, run, request);
  else await resume(engine, run, request, caller);
  return request.stream === true ? follow(engine, run, before) : await respond(engine, run, caller);
}

/** What a run was started with, and the turn behind which. `request`: the body, without its session. */
export type RunRecipe = { session_id: string; from: string | null; request: JsonObject };

/** Throws 409 for a run that has not got beyond its first step. */
function recipeOf(run: Run, engine: RunEngine): RunRecipe {
  const { store, state } = engine.services;
  if (run.clientCall !== undefined) throw conflict("id", "the run answers a call: that is made again as a call");
  const [first] = store.listOf("step", run.id);
  const turn = first?.call === undefined ? undefined : findTurn(state.sql, withPrefix(first.call, "turn"));
  if (turn === undefined)
    throw new GatewayError("request.invalid", "id: expected a run whose first step is a turn", {
      param: "id",
      status: 409,
    });
  const { definition, given = definition } = engine.frozenOf(run);
  const { harness } = definition;
  const { call, input, tools, servers, policy, limits } = given as unknown as Record<string, JsonObject>;
  const { session_id: _, rhone, ...members } = call!;
  const { session_id: __, ...options } = isObject(rhone) ? rhone : {};
  const own = withoutUndefined({ input, tools, servers, policy, limits, harness });
  const request = { ...members, rhone: options, ...own } as JsonObject;
  return { session_id: run.sessionId, from: turn.parent ?? null, request };
}

const notFound = ({ do: what }: RunCommand): GatewayError =>
  new GatewayError(
    "object.not_found",
    `there is no such ${what === "checkpoint" || what === "resolve" ? "checkpoint" : "run"}`,
  );

/** The run when it has ended or waits. */
async function respond(engine: RunEngine, run: Run, caller: Caller): Promise<Response> {
  await engine.settled(run);
  const { id, sessionId } = run;
  const headers = { "x-rhone-run-id": id, "x-rhone-session-id": sessionId };
  return Response.json(await engine.show(run, caller), { headers });
}

function follow(engine: RunEngine, run: Run, after: number): Response {
  if (after > run.events)
    throw invalid("after", `expected at most ${run.events}: the stream has no more events so far`);
  const type = hasEnded(run) ? `run.${run.status}` : "run.waiting";
  return engine.services.events.follow(run, after, {
    type,
    status: run.status,
    open: openOf(run, engine.services.store),
  });
}

/** An execution with its result in full. Throws `object.not_found`. */
async function showExecution(id: string, run: Run, engine: RunEngine, caller: Caller): Promise<JsonObject> {
  const { store, restore, state } = engine.services;
  const execution = store.find("execution", id);
  if (execution?.run !== run.id) throw new GatewayError("object.not_found", "the run has no such execution of a tool");
  const { full, ...withoutFull } = execution;
  const text = full === undefined ? undefined : await state.blobs.get(full.blob);
  // Its text may have been deleted from R2: what the model was shown is left.
  const whole = text === undefined ? execution : { ...withoutFull, result: text };
  return toApiExecution(whole, restore(execution, run, caller));
}

/** A list of what belongs to a run. */
function list(
  what: "steps" | "events" | "checkpoints" | "executions" | "request",
  run: Run,
  engine: RunEngine,
  caller: Caller,
): JsonObject {
  const { store, restore } = engine.services;
  const executions = store.listExecutions(run.id);
  const checkpoints = store.listOf("checkpoint", run.id);
  const steps = store.listOf("step", run.id);
  const argsOf = (id: string | undefined): { call: string; args: string } | undefined => {
    const execution = executions.find((one) => one.id === id);
    return execution && { call: execution.call, args: restore(execution, run, caller) };
  };
  switch (what) {
    case "steps":
      return listed(steps.map((step) => toApiStep(step, executions)));
    case "executions":
      return listed(executions.map((one) => toApiExecution(one, restore(one, run, caller))));
    case "checkpoints":
      return listed(checkpoints.map((one) => toApiCheckpoint(one, argsOf(one.execution))));
    case "events":
      return listed([
        { type: "run.started", run_id: run.id, at: new Date(run.createdAt).toISOString() },
        ...steps.map((step) => ({ type: "step", ...toApiStep(step, executions) })),
        ...executions.map((one) => ({ type: "tool_execution", ...toApiExecution(one, restore(one, run, caller)) })),
        ...checkpoints.map((one) => ({ type: "checkpoint", ...toApiCheckpoint(one, argsOf(one.execution)) })),
      ]);
    case "request": {
      const definition = engine.definitionOf(run);
      const call = parseJson(toCallText({ definition, run, isLast: false })) as JsonObject;
      const { policy, limits, stop } = definition as unknown as Record<string, JsonObject>;
      const { harness, servers } = definition;
      return {
        object: "effective_request",
        run_id: run.id,
        call,
        ...(harness !== undefined && { harness }),
        tools: definition.tools.map(withoutHeaders),
        ...(servers && {
          servers: Object.fromEntries(Object.entries(servers).map(([name, one]) => [name, withoutHeaders(one)])),
        }),
        ...(stop && { stop }),
        policy: policy!,
        limits: limits!,
      };
    }
  }
}

/** A tool or a server as readers of the run see it: its headers may be credentials. */
function withoutHeaders(given: RunTool | McpServer): JsonObject {
  if (!("headers" in given) || given.headers === undefined) return given as unknown as JsonObject;
  const masked = Object.entries(given.headers).map(([name, value]) => [
    name,
    typeof value === "string" ? "***" : value,
  ]);
  return { ...given, headers: Object.fromEntries(masked) } as unknown as JsonObject;
}

/** The only page of a list. */
const listed = (data: readonly JsonObject[]): JsonObject => ({
  object: "list",
  data: [...data],
  has_more: false,
  last_id: null,
});

async function onCheckpoint(
  command: Extract<RunCommand, { do: "checkpoint" | "resolve" }>,
  caller: Caller,
  engine: RunEngine,
): Promise<Response> {
  const { store, restore } = engine.services;
  const checkpoint = store.find("checkpoint", command.id);
  if (checkpoint === undefined) throw notFound(command);
  if (command.do === "resolve") {
    const decision = validate(resolveRequest, parseJsonField(command.body || "{}", "body"));
    return Response.json(await resolveCheckpoint(engine, checkpoint, decision, caller));
  }
  const execution = checkpoint.execution === undefined ? undefined : store.find("execution", checkpoint.execution);
  const run = engine.require(checkpoint.run);
  return Response.json(
    toApiCheckpoint(checkpoint, execution && { call: execution.call, args: restore(execution, run, caller) }),
  );
}
