import type { PathParams } from "../../dialects/dialect.ts";
import type { NamedServer } from "../../dialects/server-tools.ts";
import type { Provider } from "../../providers/provider.ts";
import { findCandidates } from "../../routing/candidates.ts";
import type { Config } from "../../routing/config.ts";
import type { Surface } from "../../surfaces/index.ts";
import { readModel, readOption, type RequestText } from "../../surfaces/request.ts";
import type { JsonObject } from "../../wire/json.ts";
import { sliceSpan } from "../../wire/splice.ts";
import { toRoutingRequest } from "../route.ts";

/** What decides where a request is sent. */
type Destination = {
  surface: Surface;
  outside: PathParams;
  config: Config;
  providers: () => ReadonlyMap<string, Provider> | Promise<ReadonlyMap<string, Provider>>;
};

/**
 * The servers of the Model Context Protocol that the gateway calls for a request: those that it names by their labels, and, unless they
 * are for the hosts that may answer it, those that it names by their URLs. Throws `request.invalid`, naming the field.
 */
export async function findNamedServers(requestText: RequestText, destination: Destination): Promise<NamedServer[]> {
  const { naming } = destination.surface.dialect.serverTools ?? {};
  if (naming === undefined || !naming.members.some((name) => mayName(requestText, name))) return [];
  const named = naming.members.map((name) => [name, readOption(requestText, name) ?? null]);
  const found = naming.find(Object.fromEntries(named) as JsonObject);
  const areTheirs = found.some(({ isLabelled }) => !isLabelled) && (await areForHosts(requestText, destination));
  return found.filter(({ isLabelled }) => isLabelled || !areTheirs).map((one) => naming.read(one));
}

/**
 * Whether the servers that a request names by their URLs are for the hosts that may answer it: all of these call servers, or nothing
 * of the call is to be stored. A model that there is none of is the call's own error.
 */
async function areForHosts(
  requestText: RequestText,
  { surface, outside, config, providers }: Destination,
): Promise<boolean> {
  const { id } = surface.dialect;
  if (requestText.rhone.context_mode === "stateless") return true;
  const routing = toRoutingRequest({ model: readModel(requestText, outside), rhone: requestText.rhone });
  const candidates = findCandidates(routing, id, { config, providers: await providers() });
  const { all } = await candidates.catch(() => ({ all: [] }));
  return all.every(({ target }) => target.dialect === id);
}

/** Whether the text of a member may name a server: most lists of tools have none, and are not read for it. */
function mayName({ text, members }: RequestText, name: string): boolean {
  const member = members.findLast(({ key }) => key === name);
  return member !== undefined && (name !== "tools" || sliceSpan(text, member.value).includes('"mcp'));
}
