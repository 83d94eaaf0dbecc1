import type { ModelServices, ObjectLifetime, SessionState } from "../gateway/session/services.ts";
import type { AnswerIndex } from "../gateway/session/stored-answers.ts";
import type { ScreenedResult } from "../gateway/shield/screen-text.ts";
import type { Caller } from "../keys/caller.ts";
import type { OutboundNetwork } from "../outbound/bounded-fetch.ts";
import type { Notifier } from "./notifier.ts";
import type { RunEvents } from "./run-events.ts";
import type { LiveQuestions } from "./servers/live-questions.ts";
import type { McpServers } from "./servers/mcp-servers.ts";
import type { SecretFinder } from "./servers/tool-secrets.ts";
import type { HarnessVersion } from "./state/harness.ts";
import type { RunStore } from "./state/run-store.ts";
import type { Execution, Run, RunCheckpoint } from "./state/run.ts";
import type { FullResult } from "./tools/shown-result.ts";

/** A result behind the shield; a long one is stored in full elsewhere. */
export type GivenResult = ScreenedResult & { full?: FullResult };

/** What runs use of their session's object. */
export type RunServices = {
  store: RunStore;
  notifier: Notifier;
  events: RunEvents;
  state: SessionState;
  models: ModelServices;
  lifetime: ObjectLifetime;
  index: AnswerIndex;
  network: OutboundNetwork;
  findSecret: SecretFinder;
  /** The harness with this id, as it is now. */
  findHarness: (org: string, id: string) => Promise<HarnessVersion | undefined>;
  /** The harness of a caller's runs that name none. */
  findDefaultHarness: (caller: Caller) => Promise<string | undefined>;
  servers: McpServers;
  questions: LiveQuestions;
  /** Has a server end the task of an execution, if it can. */
  abandon: (execution: Execution, run: Run) => void;
  /** The run's key as it is now. Throws `auth.*`. */
  authenticate: (run: Run) => Promise<Caller>;
  /** The arguments of an execution, with the values in the place of their tags that are `viewer`'s own; by default the run's key. */
  restore: (execution: Pick<Execution, "args" | "step">, run: Run, viewer?: Pick<Caller, "org" | "keyId">) => string;
  /** A tool's result behind the shield of its run. */
  screen: (text: string, run: Run, caller: Caller) => Promise<GivenResult>;
  /** Tells of a new checkpoint. */
  announce: (run: Run, checkpoint: RunCheckpoint) => void;
};
