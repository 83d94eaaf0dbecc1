import { GatewayError } from "../../canonical/error.ts";
import type { NamedServer } from "../../dialects/server-tools.ts";
import type { Call } from "../../gateway/call/call.ts";
import { CANCELLED } from "../../gateway/call/stream-errors.ts";
import type { AnswerCall, SessionHost, ToolCallRequest } from "../../gateway/session/call-runs.ts";
import type { ParsedRequest } from "../../surfaces/request.ts";
import { withPrefix } from "../../wire/id.ts";
import { loadPatterns } from "../../wire/json-schema.ts";
import type { RunEngine } from "../run-engine.ts";
import { busyWith } from "../run-gates.ts";
import type { RunDefinition } from "../state/definition.ts";
import { hasEnded, type Run, toNewRun } from "../state/run.ts";
import { toAnsweredRequest } from "../steps/answered-request.ts";
import { ClientSteps } from "../steps/client-steps.ts";
import { mergingOf } from "../steps/merge-replies.ts";
import { MergedAnswer } from "../steps/merged-answer.ts";
import { defineAnswer } from "./define-answer.ts";
import { listApprovable } from "./given-run.ts";
import { findHeldCalls, planHeldCalls } from "./held-calls.ts";

/** How a call is answered whose tools the gateway executes: by a run behind it. Throws as `defineAnswer`. */
export async function prepareAnswer(engine: RunEngine, requested: ToolCallRequest): Promise<AnswerCall> {
  const definition = await defineAnswer(requested, engine.services);
  const { servers } = requested;
  return (call, called, host) => answerCall(engine, definition, { call, request: called, host, servers });
}

/** Cancels the run that answers a call, if there is one that has not ended. */
export async function cancelAnswer(engine: RunEngine, call: string): Promise<void> {
  const run = engine.services.store.find("run", withPrefix(call, "run"));
  if (run?.clientCall === call && !hasEnded(run)) await engine.cancel(engine.require(run.id));
}

/** `servers`: those that the request names as tools. */
type Answered = { call: Call; request: ParsedRequest; host: SessionHost; servers: readonly NamedServer[] };

/** Answers a call by a run, and keeps the call's lease until that has ended. Throws what finding the call's place in its session does. */
async function answerCall(engine: RunEngine, defined: RunDefinition, waiting: Answered): Promise<Response> {
  const { call, request, host, servers } = waiting;
  const { lifetime, isNew } = host;
  const isChained = call.response?.from !== undefined;
  const facts = {
    isChained,
    isStored: call.response?.stored === true,
    labels: servers.map(({ label }) => label),
    approves: listApprovable(servers, defined, call.caller),
  };
  const definition = { ...defined, client: toAnsweredRequest(request, call.headers, facts) };
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
 * Has a run start with the calls that the one before it has left, if its request brings results of the client's own calls, or decisions
 * about these. Returns what writes them.
 */
async function takeHeldCalls(
  engine: RunEngine,
  definition: RunDefinition,
  { run, request, host }: Answered & { run: Run },
): Promise<(() => void) | undefined> {
  const { store, state, lifetime } = engine.services;
  const last = request.messages.slice(request.messages.findLastIndex(({ role }) => role === "assistant") + 1);
  const decisions = request.surface.dialect.serverTools?.approvals?.read(last) ?? [];
  const hasResults = last.some(({ blocks }) => blocks.some(({ kind }) => kind === "tool_result"));
  if (host.isNew || (!hasResults && decisions.length === 0)) return undefined;
  const parent = host.findParent();
  const held = parent && (await findHeldCalls(parent, engine));
  if (held === undefined) return undefined;
  await loadPatterns(definition.tools);
  const planned = planHeldCalls(run, held, { definition, decisions, now: lifetime.now(), objectId: state.objectId });
  run.toolCalls = planned.executions.length;
  return () => {
    store.put("step", planned.step);
    for (const execution of planned.executions) store.put("execution", execution);
    for (const checkpoint of planned.checkpoints) store.put("checkpoint", checkpoint);
    // Another call may have taken them meanwhile, beside this one.
    const left = store.find("run", held.run.id)!;
    if (left.leftTo !== undefined) throw busyWith({ id: left.leftTo });
    store.put("run", { ...left, leftTo: run.id });
  };
}

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
