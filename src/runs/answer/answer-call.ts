import { GatewayError, invalid } from "../../canonical/error.ts";
import type { Call } from "../../gateway/call/call.ts";
import { CANCELLED } from "../../gateway/call/stream-errors.ts";
import type { AnswerCall, SessionHost, ToolCallRequest } from "../../gateway/session/call-runs.ts";
import type { Caller } from "../../keys/caller.ts";
import { requireScope } from "../../keys/permissions.ts";
import type { ParsedRequest } from "../../surfaces/request.ts";
import type { RhoneRequest } from "../../surfaces/rhone.ts";
import { validate } from "../../surfaces/validate.ts";
import { withPrefix } from "../../wire/id.ts";
import { loadPatterns } from "../../wire/json-schema.ts";
import type { JsonObject } from "../../wire/json.ts";
import { defineRun } from "../define-run.ts";
import type { RunEngine } from "../run-engine.ts";
import { type GivenRun, givenTools, type RunDefinition } from "../state/definition.ts";
import { hasEnded, type Run, toNewRun } from "../state/run.ts";
import { mcpServers } from "../state/server.ts";
import { toAnsweredRequest } from "../steps/answered-request.ts";
import { ClientSteps, mergingOf } from "../steps/client-steps.ts";
import { MergedAnswer } from "../steps/merged-answer.ts";
import { findHeldCalls, planHeldCalls } from "./held-calls.ts";

/**
 * How a call is answered whose tools the gateway executes: by a run behind it. Throws `request.invalid`, naming the field, `auth.forbidden`,
 * and `provider.unavailable` if a server does not list its tools.
 */
export async function prepareAnswer(
  engine: RunEngine,
  { request, caller, harness }: ToolCallRequest,
): Promise<AnswerCall> {
  const { rhone } = request;
  requireMayBring(rhone, caller);
  const defined = await defineRun(toGivenRun(request, harness), caller, engine.services).catch((thrown: unknown) => {
    throw atRhone(thrown);
  });
  // What only the client could execute, its own request would have.
  const tools = defined.tools.filter(({ type }) => type !== "function");
  requireDistinct(request, tools);
  const definition = { ...defined, tools, limits: { ...defined.limits, on_limit: "answer" as const } };
  return (call, called, host) => answerCall(engine, definition, { call, request: called, host });
}

/** Throws `auth.forbidden`: what a run would not take from the key is not taken from its calls. */
function requireMayBring({ harness, tools }: RhoneRequest, caller: Caller): void {
  const isOwn = harness !== undefined && harness === caller.policy?.defaults.harness;
  if (tools !== undefined || (harness !== undefined && !isOwn)) requireScope(caller, "runs:write");
}

function toGivenRun({ model, rhone }: ParsedRequest, ofOrganization: string | undefined): GivenRun {
  const { harness: named, tools, servers, unattended, parent: _, ...options } = rhone;
  if (unattended === "wait")
    throw invalid(
      "rhone.unattended",
      "expected deny: a call whose client waits for its answer cannot wait for a person",
    );
  const given = validate(givenTools, tools ?? [], ["rhone", "tools"]);
  const own = given.findIndex(({ type }) => type === "function");
  if (own >= 0)
    throw invalid(
      `rhone.tools[${own}].type`,
      "expected native, http or mcp: tools that the client executes are those of the request itself",
    );
  const id = named ?? ofOrganization;
  return {
    call: { model, rhone: options as JsonObject },
    input: [],
    tools: given,
    servers: validate(mcpServers, servers ?? {}, ["rhone", "servers"]),
    policy: [],
    limits: {},
    ...(id !== undefined && { harness: { id, at: named === undefined ? "defaults.harness" : "rhone.harness" } }),
  };
}

/** The error with the place of its field in the request. */
function atRhone(thrown: unknown): unknown {
  if (!(thrown instanceof GatewayError) || !/^(tools|servers)\b/.test(thrown.param ?? "")) return thrown;
  const { code, message, param, status } = thrown;
  return new GatewayError(code, message.startsWith(param!) ? `rhone.${message}` : message, {
    param: `rhone.${param}`,
    status,
  });
}

/** Throws `request.invalid` if a name does not tell the tools of the client from those of the run. */
function requireDistinct({ request }: ParsedRequest, tools: RunDefinition["tools"]): void {
  const names = new Set((request.tools ?? []).flatMap((tool) => (tool.kind === "function" ? [tool.name] : [])));
  const double = tools.find(({ name }) => names.has(name));
  if (double !== undefined)
    throw invalid("tools", `expected no tool named ${double.name}: the gateway executes one of that name for the call`);
}

type Answered = { call: Call; request: ParsedRequest; host: SessionHost };

/** Answers a call by a run, and keeps the call's lease until that has ended. Never throws. */
async function answerCall(engine: RunEngine, defined: RunDefinition, waiting: Answered): Promise<Response> {
  const { call, request, host } = waiting;
  const { lifetime, isNew } = host;
  const isChained = call.response?.from !== undefined;
  const definition = { ...defined, client: toAnsweredRequest(request, call.headers, isChained) };
  const run = toRun(engine, waiting);
  const parts = await takeHeldCalls(engine, definition, { run, ...waiting });
  const cancelIfLeft = (): void => {
    if ((request.rhone.on_disconnect ?? host.router.config.defaults.onDisconnect) === "cancel") cancel();
  };
  const cancel = (): void => {
    if (!hasEnded(run)) lifetime.waitUntil(engine.cancel(run));
  };
  const answer = new MergedAnswer({ ...waiting, merging: mergingOf(definition), onClientLeft: cancelIfLeft });
  const form = new ClientSteps(run, definition, engine.services, { ...waiting, answer });
  const accepted = engine.accept({
    run,
    definition,
    isNew,
    inCall: { form, caller: call.caller },
    ...(parts && { parts }),
  });
  lifetime.waitUntil(accepted.then(() => engine.settled(run)));
  accepted.catch((thrown: unknown) => answer.fail(thrown instanceof GatewayError ? thrown : CANCELLED));
  lifetime.cancelled?.addEventListener("abort", cancel, { once: true });
  lifetime.clientLeft?.addEventListener("abort", cancelIfLeft, { once: true });
  return await answer.respond();
}

/**
 * Has a run start with the calls that the one before it has left, if its request brings the results of the client's own calls. Returns
 * what writes them.
 */
async function takeHeldCalls(
  engine: RunEngine,
  definition: RunDefinition,
  { run, request, host }: Answered & { run: Run },
): Promise<(() => void) | undefined> {
  const { store, state, lifetime } = engine.services;
  if (host.isNew || !hasResults(request)) return undefined;
  const parent = host.findParent();
  const held = parent && (await findHeldCalls(parent, engine));
  if (held === undefined) return undefined;
  await loadPatterns(definition.tools);
  const planned = planHeldCalls(run, held, { definition, now: lifetime.now(), objectId: state.objectId });
  run.toolCalls = planned.executions.length;
  return () => {
    store.put("step", planned.step);
    for (const execution of planned.executions) store.put("execution", execution);
    store.put("run", { ...held.run, leftTo: run.id });
  };
}

/** Whether a request ends with results of the client's tools. */
const hasResults = ({ messages }: ParsedRequest): boolean =>
  messages
    .slice(messages.findLastIndex(({ role }) => role === "assistant") + 1)
    .some(({ blocks }) => blocks.some(({ kind }) => kind === "tool_result"));

const toRun = ({ services: { lifetime, state } }: RunEngine, { call, request, host }: Answered): Run =>
  toNewRun(
    {
      id: withPrefix(call.id, "run"),
      org: call.caller.org,
      keyId: call.caller.keyId,
      sessionId: call.sessionId,
      input: "[]",
      clientCall: call.id,
      ...(!host.isSideBranch && { head: host.isNew ? null : state.session.row.head }),
      ...(request.rhone.metadata && { metadata: request.rhone.metadata }),
    },
    lifetime.now(),
  );
