import { invalid } from "../../canonical/error.ts";
import type { NamedServer } from "../../dialects/server-tools.ts";
import type { Caller } from "../../keys/caller.ts";
import type { Turn } from "../../session/turns.ts";
import type { ParsedRequest, RequestText } from "../../surfaces/request.ts";
import { storesContent } from "../../surfaces/rhone.ts";
import type { Call, CallHost } from "../call/call.ts";
import type { SessionCallStore } from "./call-store.ts";

/** What the gateway executes for a call beside what its `rhone` object names. `harness`: of its organisation, where it names none. */
export type FoundTools = { harness: string | undefined; servers: readonly NamedServer[] };

/** A call whose tools the gateway executes, before it may start. */
export type ToolCallRequest = FoundTools & { request: ParsedRequest; caller: Caller };

/**
 * Where a call runs in its session. `isNew`: it creates the session; `isSideBranch`: another call has the lease. `findParent`: as in
 * `Placement`.
 */
export type SessionHost = Omit<CallHost, "store"> & {
  findParent: () => Turn | undefined;
  store: SessionCallStore;
  isNew: boolean;
  isSideBranch: boolean;
};

/** Answers a call, as `generate` does. */
export type AnswerCall = (call: Call, request: ParsedRequest, host: SessionHost) => Promise<Response>;

/** The runs that answer calls whose tools the gateway executes. */
export type CallRuns = {
  /** The harness of a caller whose request names none. */
  findDefaultHarness: (caller: Caller) => Promise<string | undefined>;
  /** Throws `request.invalid`, naming the field, and what defining the run throws. */
  prepare: (requested: ToolCallRequest) => Promise<AnswerCall>;
  /** Cancels the run that answers a call, also after a restart; nothing, if there is none. */
  cancel: (call: string) => Promise<void>;
};

/** Whether the gateway executes tools for a call. */
export const hasServerTools = ({ rhone: { harness, tools } }: Pick<RequestText, "rhone">, found: FoundTools): boolean =>
  harness !== undefined || tools !== undefined || found.harness !== undefined || found.servers.length > 0;

/** Throws `request.invalid` for what a call with such tools cannot have in this version. */
export function requireRunnable(request: ParsedRequest): void {
  if ((request.request.sampling?.n ?? 1) > 1)
    throw invalid("n", "expected 1: the gateway executes tools of the call, so that it has one answer");
  if (!storesContent(request.rhone))
    throw invalid(
      "rhone.store",
      "expected full: the gateway executes tools of the call, and goes on from what is stored",
    );
}
