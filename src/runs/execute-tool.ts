import type { McpAnswer, McpMedia, McpOutcome, McpQuestion } from "../mcp/messages.ts";
import { OutboundError, type OutboundNetwork } from "../outbound/bounded-fetch.ts";
import { UrlRefusal } from "../outbound/public-url.ts";
import { isObject, tryParseJson } from "../wire/json.ts";
import { Deadline, sleep } from "../wire/time.ts";
import type { Effect } from "./state/policy.ts";
import type { Execution, ExecutionStatus } from "./state/run.ts";
import type { GatewayTool, McpRunTool, WebhookTool } from "./state/tool.ts";
import { callWebhook, type HttpTool } from "./tools/http-tool.ts";
import { NATIVE_TOOLS, type ToolOutput } from "./tools/native-tools.ts";
import { type PendingCall, type ServerOutput, toServerOutput } from "./tools/server-tool.ts";

/** The outcome of an execution. `text`: for the model. */
export type Executed = { status: ExecutionStatus; text: string; isError: boolean; media?: readonly McpMedia[] };

/** An execution, with its arguments as the tool gets them: JSON text. */
export type StartedCall = { execution: Execution; args: string };

type Surroundings = {
  network: OutboundNetwork;
  now: () => number;
  /** Aborts with `STOPPED` where the run ends, or is interrupted. */
  signal: AbortSignal;
  session: string;
  /** A webhook with the values of its secrets. */
  webhookOf: (tool: WebhookTool) => Promise<HttpTool>;
  /** Calls the tool of a server. */
  callServer: (
    tool: McpRunTool,
    call: StartedCall,
    during: { signal: AbortSignal; onQuestion: AskPerson },
  ) => Promise<McpOutcome>;
  /** Puts a question of a server, whose call waits for it on an open connection, to a person. */
  ask: AskPerson;
};

/** `unneeded`: aborted when the answer is no longer needed. */
type AskPerson = (question: McpQuestion, unneeded: AbortSignal) => Promise<McpAnswer>;

/** Why an execution is broken off: its run has been stopped. Compared by identity. */
export const STOPPED = new Error("the run was stopped");

const STOPPED_TEXT = "The run was stopped while the tool was running; whether that has done anything is not known.";

/** Tries of what may be repeated, in one execution, and the pause before the second. Milliseconds. */
const MAX_TRIES = 3;
const PAUSE_MS = 200;

/** Whether a tool may run twice. */
export const isRepeatable = (effect: Effect): boolean => effect === "read_only" || effect === "idempotent";

/**
 * Has a tool run once, or more often if that changes nothing. Never rejects: what went wrong is shown to the model, unless it is not known
 * whether a tool that must not run twice has run (`unknown`).
 */
export async function executeTool(
  tool: GatewayTool,
  call: StartedCall,
  { timeoutMs, ...surroundings }: Surroundings & { timeoutMs: number },
): Promise<Executed | PendingCall> {
  const { effect } = call.execution;
  const deadline = new Deadline(timeoutMs);
  const signal = AbortSignal.any([surroundings.signal, deadline.signal]);
  const ask: AskPerson = (question, unneeded) => deadline.hold(surroundings.ask(question, unneeded));
  try {
    for (let tries = 1; ; tries++) {
      const mayRepeat = isRepeatable(effect) && tries < MAX_TRIES;
      try {
        const output = await runOnce(tool, call, { ...surroundings, signal, ask });
        const isPassing = "isPassing" in output && output.isPassing;
        if (isPassing && mayRepeat && (await pauseAfter(tries, signal))) continue;
        return toExecuted(output);
      } catch (thrown) {
        if (thrown instanceof OutboundError && mayRepeat && (await pauseAfter(tries, signal))) continue;
        if (surroundings.signal.aborted) return failedAs("cancelled", STOPPED_TEXT);
        return toFailure(thrown, effect, deadline.signal.aborted ? timeoutMs : undefined);
      }
    }
  } finally {
    deadline.clear();
  }
}

/** What a tool has given. */
export function toExecuted(output: ToolOutput | ServerOutput | PendingCall): Executed | PendingCall {
  if ("kind" in output) return output;
  const { isPassing: _, ...given } = output;
  return { ...given, status: given.isError ? "failed" : "succeeded" };
}

/** The outcome of an execution that did not return. `lateMs`: it took longer than that. */
export function toFailure(thrown: unknown, effect: Effect, lateMs: number | undefined): Executed {
  if (thrown instanceof UrlRefusal) return failedAs("failed", `The URL is refused: ${thrown.message}.`);
  const isLost = lateMs !== undefined || (thrown instanceof OutboundError && thrown.isSent);
  if (isLost && !isRepeatable(effect)) return failedAs("unknown", "Whether the tool has run is not known.");
  if (lateMs !== undefined) return failedAs("timed_out", `The tool did not answer within ${lateMs / 1000} s.`);
  return failedAs("failed", thrown instanceof OutboundError ? `${thrown.message}.` : "The tool failed.");
}

/** Waits before another try; false: there is no time for one. */
const pauseAfter = (tries: number, signal: AbortSignal): Promise<boolean> =>
  sleep(PAUSE_MS * 2 ** (tries - 1), signal).then(
    () => true,
    () => false,
  );

const failedAs = (status: ExecutionStatus, text: string): Executed => ({ status, text, isError: true });

async function runOnce(
  tool: GatewayTool,
  call: StartedCall,
  { network, now, signal, session, webhookOf, callServer, ask }: Surroundings,
): Promise<ToolOutput | ServerOutput | PendingCall> {
  if (tool.type === "mcp") return await toServerOutput(callServer(tool, call, { signal, onQuestion: ask }));
  const { execution, args } = call;
  if (tool.type === "http") {
    const { id, run, name } = execution;
    const sent = { id, run, session, name, args };
    return await callWebhook(await webhookOf(tool), sent, { network, signal, now: now() });
  }
  const parsed = tryParseJson(args);
  const context = { now: now(), hosts: tool.hosts, network, signal };
  return await NATIVE_TOOLS[tool.name].run(isObject(parsed) ? parsed : {}, context);
}
