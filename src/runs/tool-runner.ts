import type { Caller } from "../keys/caller.ts";
import type { McpAnswer, McpQuestion } from "../mcp/messages.ts";
import { settleExecution, toScreened } from "./call-results.ts";
import { type Executed, executeTool, toExecuted, toFailure } from "./execute-tool.ts";
import type { RunGates } from "./run-gates.ts";
import { costsTooMuch, TOO_DEAR } from "./run-limits.ts";
import { toCompleted, toStarted } from "./run-views.ts";
import { LostTask } from "./servers/mcp-servers.ts";
import { openWebhook } from "./servers/tool-secrets.ts";
import type { RunServices } from "./services.ts";
import { type Execution, isSettled, type LiveRun } from "./state/run.ts";
import type { GatewayTool, McpRunTool } from "./state/tool.ts";
import { type PendingCall, toServerOutput } from "./tools/server-tool.ts";

/** Tools that run at the same time: such that only read. */
const MAX_PARALLEL = 4;
/** Calls of one execution that its server answers with questions or a task. */
const MAX_ROUNDS = 16;
/** How long a question may wait for its answer on an open connection. Milliseconds. */
const LIVE_ANSWER_MS = 300_000;
/** How long a task may take at its server that names no end, and the pauses between two polls of it. Milliseconds. */
const TASK_MS = 86_400_000;
const MIN_POLL_MS = 100;
const MAX_POLL_MS = 60_000;
/** And after one that has not reached the server. */
const RETRY_POLL_MS = 5_000;

/** Executes the tools of one run, and stores their outcomes. */
export class ToolRunner {
  readonly #live: LiveRun;
  readonly #services: RunServices;
  readonly #gates: RunGates;

  constructor(live: LiveRun, services: RunServices, gates: RunGates) {
    this.#live = live;
    this.#services = services;
    this.#gates = gates;
  }

  get #now(): number {
    return this.#services.lifetime.now();
  }

  /** Those before the first that changes something run at once, up to a few; any other alone. */
  async execute(ready: readonly Execution[]): Promise<void> {
    const firstWriter = ready.findIndex(({ effect }) => effect !== "read_only");
    const readers = firstWriter < 0 ? ready : ready.slice(0, firstWriter);
    const next = readers.length > 0 ? readers.slice(0, MAX_PARALLEL) : ready.slice(0, 1);
    const caller = this.#live.caller ?? (await this.#services.authenticate(this.#live.run));
    await Promise.all(next.map((execution) => this.#execute(execution, caller)));
  }

  async #execute(ready: Execution, caller: Caller): Promise<void> {
    const { store, events, lifetime } = this.#services;
    const { run, definition } = this.#live;
    const tool = this.#toolOf(ready);
    if (costsTooMuch(tool, run, definition)) {
      const refused = settleExecution(ready, { status: "failed", text: TOO_DEAR, isError: true }, this.#now);
      store.put("execution", refused);
      return events.emit(run, toCompleted(refused));
    }
    const { dueAt: _, ...waited } = ready;
    const started: Execution = { ...waited, status: "started", attempt: ready.attempt + 1, startedAt: this.#now };
    store.put("execution", started);
    // What changes something must be known to have started before it starts.
    if (ready.effect !== "read_only") await lifetime.durable();
    events.emit(run, toStarted(started));
    await this.#write(started, await this.#call(tool, started), caller);
  }

  async #call(tool: GatewayTool, execution: Execution): Promise<Executed | PendingCall> {
    const { restore, network, lifetime, state, servers } = this.#services;
    const { run, definition, controller } = this.#live;
    const args = restore(execution, run);
    return await executeTool(
      tool,
      { execution, args },
      {
        timeoutMs: tool.timeout_ms ?? definition.limits.tool_timeout_ms,
        network,
        now: lifetime.now,
        signal: controller.signal,
        session: state.session.row.id,
        webhookOf: (webhook) => openWebhook(webhook, run.org, this.#services.findSecret),
        callServer: async (own, call, during) =>
          await servers.call(own, call, {
            ...during,
            server: definition.servers![own.server]!,
            org: run.org,
            onProgress: (progress) =>
              this.#services.events.emit(run, {
                type: "tool_execution.progress",
                execution_id: execution.id,
                ...progress,
              }),
          }),
        ask: (question, unneeded) => this.#askLive(execution, question, unneeded),
      },
    );
  }

  /** Polls tasks that are due, with the answers that people have given since. */
  async poll(due: readonly Execution[]): Promise<void> {
    const caller = this.#live.caller ?? (await this.#services.authenticate(this.#live.run));
    await Promise.all(
      due.map(async (execution) => {
        const found = await this.#pollTask(execution);
        if (found === "stopped") return;
        if (found !== "unreached") return await this.#write(execution, found, caller);
        // Its server may be reached again; what people have answered is not lost until then.
        this.#services.store.put("execution", { ...execution, dueAt: this.#now + RETRY_POLL_MS });
      }),
    );
  }

  /** The outcome of a task, as its server has it now. */
  async #pollTask(execution: Execution): Promise<Executed | PendingCall | "unreached" | "stopped"> {
    const { run, definition, controller } = this.#live;
    const tool = this.#toolOf(execution) as McpRunTool;
    const { task = "", answers, endsAt = Infinity } = execution.handle ?? {};
    const at = { server: definition.servers![tool.server]!, org: run.org, signal: controller.signal };
    if (endsAt <= this.#now) {
      this.#services.abandon(execution, run);
      return toFailure(undefined, execution.effect, endsAt - execution.startedAt!);
    }
    try {
      return toExecuted(await toServerOutput(this.#services.servers.getTask(task, answers, at)));
    } catch (thrown) {
      if (controller.signal.aborted) return "stopped";
      return thrown instanceof LostTask ? toFailure(thrown, execution.effect, undefined) : "unreached";
    }
  }

  /** Writes the outcome of an execution, durably if it changes something. */
  async #write(started: Execution, outcome: Executed | PendingCall, caller: Caller): Promise<void> {
    const { store, events, lifetime, screen } = this.#services;
    const { run } = this.#live;
    if ("kind" in outcome) return await this.#park(started, outcome);
    const screened = await screen(outcome.text, run, caller);
    const ended =
      outcome.status === "unknown"
        ? { ...started, status: "unknown" as const }
        : settleExecution(started, { ...toScreened(screened, outcome), media: outcome.media }, this.#now);
    run.stalls = 0;
    const tool = this.#toolOf(started);
    if (tool.type === "http") run.costMicros += tool.price_micros_usd ?? 0;
    store.transact(() => {
      store.put("execution", ended);
      store.put("run", run);
      // The server has not waited for the answers.
      this.#gates.closeQuestions(ended);
    });
    if (started.effect !== "read_only") await lifetime.durable();
    if (isSettled(ended)) events.emit(run, toCompleted(ended));
  }

  /** An execution goes on later: people are put the questions of its server, or its task is polled again. */
  async #park(started: Execution, pending: PendingCall): Promise<void> {
    const { store, lifetime, events } = this.#services;
    const { run } = this.#live;
    const { rounds = 0, task, endsAt } = started.handle ?? {};
    if (rounds >= MAX_ROUNDS) {
      const text = `The server has wanted more ${MAX_ROUNDS} times; it is not called again.`;
      const settled = settleExecution(started, { status: "failed", text, isError: true }, this.#now);
      store.put("execution", settled);
      return events.emit(run, toCompleted(settled));
    }
    const isTask = pending.kind === "task";
    const longest = this.#now + TASK_MS;
    const questions = isTask ? this.#gates.findNewQuestions(started, pending.questions) : pending.questions;
    const pollMs = isTask ? Math.min(Math.max(pending.pollMs, MIN_POLL_MS), MAX_POLL_MS) : 0;
    const parked: Execution = {
      ...started,
      status: questions.length > 0 ? "awaiting_input" : isTask ? "polling" : "ready",
      handle: isTask
        ? { task: pending.id, endsAt: (pending.id === task && endsAt) || Math.min(pending.endsAt ?? longest, longest) }
        : { rounds: rounds + 1, ...(pending.state !== undefined && { state: pending.state }) },
      dueAt: this.#now + pollMs,
    };
    run.stalls = 0;
    store.transact(() => {
      store.put("execution", parked);
      store.put("run", run);
      this.#gates.openQuestions(parked, questions);
    });
    await lifetime.durable();
    this.#gates.announceQuestions(parked);
  }

  /** Puts a question to a person while the call that it belongs to waits on its connection. */
  async #askLive(execution: Execution, question: McpQuestion, unneeded: AbortSignal): Promise<McpAnswer> {
    const { store, questions, lifetime } = this.#services;
    const { unattendedMs: waitMs = LIVE_ANSWER_MS } = this.#gates;
    if (waitMs === 0) return { action: "decline" };
    const signal = AbortSignal.any([this.#live.controller.signal, unneeded]);
    const [checkpoint] = this.#gates.openQuestions(execution, [question], waitMs);
    await lifetime.durable();
    this.#gates.announceQuestions(execution);
    const answer = await questions.wait(checkpoint!.id, waitMs, signal);
    const open = store.find("checkpoint", checkpoint!.id)!;
    if (open.status === "open") this.#gates.close(open, signal.aborted ? "cancelled" : "expired");
    return answer;
  }

  #toolOf({ name }: Execution): GatewayTool {
    return this.#live.definition.tools.find((tool) => tool.name === name) as GatewayTool;
  }
}
