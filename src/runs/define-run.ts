import { invalid } from "../canonical/error.ts";
import type { Caller } from "../keys/caller.ts";
import { resolveTools } from "./resolve-tools.ts";
import type { RunServices } from "./services.ts";
import type { GivenRun, RunDefinition } from "./state/definition.ts";
import { toRunParts } from "./state/harness.ts";
import { requireSecrets } from "./tool-secrets.ts";

/**
 * What a run goes on with, as its harness, its servers and its secrets are now. Throws `request.invalid`, naming the field, and
 * `provider.unavailable` if a server does not list its tools.
 */
export async function defineRun(
  given: GivenRun,
  { org }: Caller,
  { findHarness, findSecret, servers }: Pick<RunServices, "findHarness" | "findSecret" | "servers">,
): Promise<RunDefinition> {
  const version = given.harness && (await findHarness(org, given.harness.id));
  if (given.harness !== undefined && version === undefined) throw invalid(given.harness.at, "there is no such harness");
  const parts = toRunParts(given, version);
  await requireSecrets(parts, org, findSecret);
  return await resolveTools(parts, (server, at) => servers.listForRun(server, org, at));
}
