import { invalid } from "../../canonical/error.ts";
import type { ToolCallRequest } from "../../gateway/session/call-runs.ts";
import type { ParsedRequest } from "../../surfaces/request.ts";
import { defineRun, type DefiningServices } from "../define-run.ts";
import type { RunDefinition } from "../state/definition.ts";
import { extendStep, toAnsweredRequest } from "../steps/answered-request.ts";
import { atRequest, listApprovable, requireKnown, requireMayBring, toGivenRun } from "./given-run.ts";
import { restrictTools } from "./restrict-tools.ts";

/**
 * The run behind a call whose tools the gateway executes. Throws `request.invalid`, naming the field, `auth.forbidden`, and
 * `provider.unavailable` if a server does not list its tools.
 */
export async function defineAnswer(requested: ToolCallRequest, services: DefiningServices): Promise<RunDefinition> {
  const { request, caller, servers } = requested;
  requireMayBring(request.rhone, caller);
  const given = toGivenRun(requested);
  const defined = await defineRun(given, caller, services).catch((thrown: unknown) => {
    throw atRequest(thrown, given, servers);
  });
  requireKnown(servers, defined);
  // What only the client could execute, its own request would have.
  const own = { ...defined, tools: defined.tools.filter(({ type }) => type !== "function") };
  const restricted = restrictTools(own, servers, listApprovable(servers, defined, caller));
  requireDistinct(request, restricted.tools);
  const { unattended } = request.rhone;
  const limits = { ...defined.limits, on_limit: "answer" as const };
  return { ...restricted, limits, ...(unattended && { unattended }) };
}

/** Throws `request.invalid` if a name does not tell the tools of the client from those of the run. */
function requireDistinct({ request }: ParsedRequest, tools: RunDefinition["tools"]): void {
  const names = new Set((request.tools ?? []).flatMap((tool) => (tool.kind === "function" ? [tool.name] : [])));
  const double = tools.find(({ name }) => names.has(name));
  if (double !== undefined)
    throw invalid("tools", `expected no tool named ${double.name}: the gateway executes one of that name for the call`);
}

/** The request of such a call as its first step sends it. Throws as `defineAnswer`. */
export async function extendAnswered(requested: ToolCallRequest, services: DefiningServices): Promise<ParsedRequest> {
  const { request, servers } = requested;
  const definition = await defineAnswer(requested, services);
  const facts = { isChained: false, isStored: false, labels: servers.map(({ label }) => label), approves: [] };
  const client = toAnsweredRequest(request, new Headers(), facts);
  return extendStep(request, { ...definition, client }, { isLast: false, isFirst: true });
}
