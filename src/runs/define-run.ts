import { GatewayError, invalid } from "../canonical/error.ts";
import type { Caller } from "../keys/caller.ts";
import type { Reach } from "../outbound/public-url.ts";
import { resolveTools } from "./resolve-tools.ts";
import { requireSecrets } from "./servers/tool-secrets.ts";
import type { RunServices } from "./services.ts";
import type { GivenRun, RunDefinition } from "./state/definition.ts";
import { toRunParts } from "./state/harness.ts";
import type { McpServer } from "./state/server.ts";

/** What defining a run uses. */
export type DefiningServices = Pick<RunServices, "findHarness" | "findSecret" | "servers" | "network">;

/**
 * What a run goes on with, as its harness, its servers and its secrets are now. Throws `request.invalid`, naming the field, `auth.forbidden`
 * for servers that the key may not name, and `provider.unavailable` if a server does not list its tools.
 */
export async function defineRun(
  given: GivenRun,
  caller: Caller,
  { findHarness, findSecret, servers, network }: DefiningServices,
): Promise<RunDefinition> {
  const { org } = caller;
  const version = given.harness && (await findHarness(org, given.harness.id));
  if (given.harness !== undefined && version === undefined) throw invalid(given.harness.at, "there is no such harness");
  requireRemote(given.servers, caller, network.reach);
  const parts = toRunParts(given, version);
  await requireSecrets(parts, org, findSecret);
  return await resolveTools(parts, (server, at) => servers.listForRun(server, org, at));
}

/** Throws `auth.forbidden` for a server that a request names by its URL, unless the deployment has registered it. */
function requireRemote(servers: Record<string, McpServer>, { policy }: Caller, { registered }: Reach): void {
  if (policy === undefined || policy.scopes.includes("tools:remote")) return;
  for (const [name, { url }] of Object.entries(servers))
    if (!registered.has(URL.parse(url)?.origin ?? ""))
      throw new GatewayError("auth.forbidden", `servers.${name}.url: the key has no scope tools:remote`, {
        param: `servers.${name}.url`,
      });
}
