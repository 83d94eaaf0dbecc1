import { OutboundError, type OutboundNetwork } from "../outbound/bounded-fetch.ts";
import { UrlRefusal } from "../outbound/public-url.ts";
import { tryParseJson, isObject } from "../wire/json.ts";
import { sleep } from "../wire/time.ts";
import type { RunTool } from "./state/definition.ts";
import type { Effect } from "./state/policy.ts";
import type { Execution, ExecutionStatus } from "./state/run.ts";
import { callWebhook, type HttpTool } from "./tools/http-tool.ts";
import { NATIVE_TOOLS, type ToolOutput } from "./tools/native-tools.ts";

/** What an execution has come to. `text`: for the model. */
export type Executed = { status: ExecutionStatus; text: string; isError: boolean };

type Surroundings = {
  network: OutboundNetwork;
  now: () => number;
  /** Aborts with `STOPPED` where the run ends, or is interrupted. */
  signal: AbortSignal;
  session: string;
  /** A webhook with the values of its secrets. */
  webhookOf: (tool: Extract<RunTool, { type: "http" }>) => Promise<HttpTool>;
};

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
 * whether a tool that must not run twice has run (`unknown`). `args`: JSON text.
 */
export async function executeTool(
  tool: Exclude<RunTool, { type: "function" }>,
  { execution, args, timeoutMs }: { execution: Execution; args: string; timeoutMs: number },
  surroundings: Surroundings,
): Promise<Executed> {
  const timeout = AbortSignal.timeout(timeoutMs);
  const signal = AbortSignal.any([surroundings.signal, timeout]);
  for (let tries = 1; ; tries++) {
    try {
      const { text, isError, isPassing } = await runOnce(tool, { execution, args }, { ...surroundings, signal });
      if (isPassing && isRepeatable(execution.effect) && tries < MAX_TRIES && (await pauseAfter(tries, signal)))
        continue;
      return { status: isError ? "failed" : "succeeded", text, isError };
    } catch (thrown) {
      const isPassing = isRepeatable(execution.effect) && thrown instanceof OutboundError;
      if (isPassing && tries < MAX_TRIES && (await pauseAfter(tries, signal))) continue;
      if (surroundings.signal.aborted) return failedAs("cancelled", STOPPED_TEXT);
      return toFailure(thrown, execution.effect, timeout.aborted ? timeoutMs : undefined);
    }
  }
}

/** What an execution has come to that did not return. `lateMs`: it took longer than that. */
function toFailure(thrown: unknown, effect: Effect, lateMs: number | undefined): Executed {
  if (thrown instanceof UrlRefusal) return failedAs("failed", `The URL is refused: ${thrown.message}.`);
  const isLost = lateMs !== undefined || thrown instanceof OutboundError;
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
  tool: Exclude<RunTool, { type: "function" }>,
  { execution, args }: { execution: Execution; args: string },
  { network, now, signal, session, webhookOf }: Surroundings,
): Promise<ToolOutput> {
  if (tool.type === "http") {
    const { id, run, name } = execution;
    const sent = { id, run, session, name, args };
    return await callWebhook(await webhookOf(tool), sent, { network, signal, now: now() });
  }
  const parsed = tryParseJson(args);
  const context = { now: now(), hosts: tool.hosts, network, signal };
  return await NATIVE_TOOLS[tool.name].run(isObject(parsed) ? parsed : {}, context);
}
