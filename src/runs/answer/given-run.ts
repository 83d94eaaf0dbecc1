import { GatewayError, invalid } from "../../canonical/error.ts";
import type { NamedServer } from "../../dialects/server-tools.ts";
import type { ToolCallRequest } from "../../gateway/session/call-runs.ts";
import type { Caller } from "../../keys/caller.ts";
import { requireScope } from "../../keys/permissions.ts";
import type { RhoneRequest } from "../../surfaces/rhone.ts";
import { validate } from "../../surfaces/validate.ts";
import type { JsonObject } from "../../wire/json.ts";
import { type GivenRun, givenTools, type RunDefinition } from "../state/definition.ts";
import { MAX_SERVERS, mcpServers } from "../state/server.ts";

/** Throws `auth.forbidden`: what a run would not take from the key is not taken from its calls. */
export function requireMayBring({ harness, tools }: RhoneRequest, caller: Caller): void {
  const isOwn = harness !== undefined && harness === caller.policy?.defaults.harness;
  if (tools !== undefined || (harness !== undefined && !isOwn)) requireScope(caller, "runs:write");
}

/** What a run has that answers a call. Throws `request.invalid`, naming the field. */
export function toGivenRun({ request, harness: ofOrganization, servers: named }: ToolCallRequest): GivenRun {
  const { model, rhone } = request;
  const { harness, tools, servers, unattended: _, parent: __, ...options } = rhone;
  const given = validate(givenTools, tools ?? [], ["rhone", "tools"]);
  const own = given.findIndex(({ type }) => type === "function");
  if (own >= 0)
    throw invalid(
      `rhone.tools[${own}].type`,
      "expected native, http or mcp: tools that the client executes are those of the request itself",
    );
  const id = harness ?? ofOrganization;
  requireOnce(named);
  const located = named.filter(({ url }) => url !== undefined);
  if (id !== undefined && located.length > 0)
    throw invalid(
      located[0]!.at,
      "expected no URL: the servers are those of the harness, which are named by their labels",
    );
  const known = validate(mcpServers, servers ?? {}, ["rhone", "servers"]);
  const used = new Set(given.flatMap((tool) => (tool.type === "mcp" ? [tool.server] : [])));
  // A server of `rhone.servers` that no tool of `rhone.tools` uses is there for its name among the request's own tools.
  const brought = named.filter(
    ({ url, label }) => url !== undefined || (Object.hasOwn(known, label) && !used.has(label)),
  );
  return {
    call: { model, rhone: options as JsonObject },
    input: [],
    tools: [...given, ...brought.map(toServerTools)],
    servers: addServers(known, located),
    policy: brought.flatMap(({ label, approvals }) =>
      approvals.map(({ tool, do: verdict }) => ({ tool: `${label}__${tool}`, do: verdict })),
    ),
    limits: {},
    ...(id !== undefined && { harness: { id, at: harness === undefined ? "defaults.harness" : "rhone.harness" } }),
  };
}

/** Throws `request.invalid` for a server that is named twice: what each says of it would be lost. */
function requireOnce(named: readonly NamedServer[]): void {
  const again = named.find(({ label }, i) => named.findIndex((one) => one.label === label) < i);
  if (again !== undefined)
    throw invalid(again.at, `expected a label that no other server has, got ${again.label} again`);
}

const toServerTools = ({ label: server, only }: NamedServer): GivenRun["tools"][number] => ({
  type: "mcp",
  server,
  ...(only && { only }),
});

/** Throws `request.invalid` for a label that is none, or that a server of `rhone.servers` has, and for too many servers. */
function addServers(known: GivenRun["servers"], brought: readonly NamedServer[]): GivenRun["servers"] {
  const servers = { ...known };
  for (const { label, at, url, headers } of brought) {
    if (Object.hasOwn(servers, label))
      throw invalid(at, `expected a label that no other server has, got ${label} again`);
    if (Object.keys(servers).length === MAX_SERVERS) throw invalid(at, `expected at most ${MAX_SERVERS} servers`);
    try {
      Object.assign(servers, validate(mcpServers, { [label]: { url, headers } }));
    } catch (thrown) {
      throw thrown instanceof GatewayError ? invalid(at, thrown.message) : thrown;
    }
  }
  return servers;
}

/** Throws `request.invalid` for a server that is named by a label which is none of the run's. */
export function requireKnown(named: readonly NamedServer[], { servers = {} }: RunDefinition): void {
  const unknown = named.find(({ label }) => !Object.hasOwn(servers, label));
  if (unknown !== undefined)
    throw invalid(unknown.at, `expected the URL of the server: there is none with the label ${unknown.label}`);
}

/**
 * The labels of the servers about whose calls the client may decide: its own, and those of a harness if its key may decide as people do
 * (`runs:approve`).
 */
export function listApprovable(
  named: readonly NamedServer[],
  { harness }: RunDefinition,
  { policy }: Caller,
): string[] {
  const decides = harness === undefined || policy === undefined || policy.scopes.includes("runs:approve");
  return decides ? named.map(({ label }) => label) : [];
}

/** An error of what a run is given, with the place of its field in the request. `named`: the servers that the request names as tools. */
export function atRequest(thrown: unknown, { tools }: GivenRun, named: readonly NamedServer[]): unknown {
  if (!(thrown instanceof GatewayError)) return thrown;
  const { code, message, status, param = "" } = thrown;
  const [, list, place = ""] = /^(tools|servers)[[.]([^\].]+)/.exec(param) ?? [];
  if (list === undefined) return thrown;
  const tool = tools[Number(place)];
  const label = list === "servers" ? place : tool?.type === "mcp" ? tool.server : "";
  const { at } = named.find((one) => one.label === label && one.url !== undefined) ?? {};
  if (at !== undefined) return new GatewayError(code, message.replace(param, at), { param: at, status });
  const text = message.startsWith(param) ? `rhone.${message}` : message;
  return new GatewayError(code, text, { param: `rhone.${param}`, status });
}
