import { invalid } from "../canonical/error.ts";
import { isAmongHosts, UrlRefusal } from "../outbound/public-url.ts";
import type { RunServices } from "./services.ts";
import { type RunTool, secretsOf } from "./state/definition.ts";
import type { HttpTool } from "./tools/http-tool.ts";

type Webhook = Extract<RunTool, { type: "http" }>;

/** Throws `request.invalid` for a secret that is not there, or that may not be sent to its tool's host. */
export async function requireSecrets(
  tools: readonly RunTool[],
  org: string,
  { findSecret }: RunServices,
): Promise<void> {
  for (const [i, tool] of tools.entries())
    for (const { name, at } of secretsOf(tool)) {
      const secret = await findSecret(org, name);
      const field = `tools[${i}].${at}`;
      if (secret === undefined) throw invalid(field, `there is no secret ${name}`);
      const url = URL.parse((tool as Webhook).url);
      if (url === null || !isAmongHosts(url, secret.hosts))
        throw invalid(field, `${name} may be sent to ${secret.hosts.join(", ")} only`);
    }
}

/** A webhook with the values of its secrets, as they are now. Throws `UrlRefusal` if one may not be sent there. */
export async function withSecrets(
  { url: target, headers = {}, secret }: Webhook,
  org: string,
  { findSecret }: Pick<RunServices, "findSecret">,
): Promise<HttpTool> {
  const open = async (name: string): Promise<string> => {
    const found = await findSecret(org, name);
    const url = URL.parse(target);
    if (found === undefined || url === null || !isAmongHosts(url, found.hosts))
      throw new UrlRefusal(`its secret ${name} is not there, or may not be sent to it`);
    return found.value;
  };
  const opened = Object.entries(headers).map(async ([name, value]) => [
    name,
    typeof value === "string" ? value : `${value.prefix ?? ""}${await open(value.secret)}`,
  ]);
  return {
    url: target,
    headers: Object.fromEntries(await Promise.all(opened)) as Record<string, string>,
    secret: secret === undefined ? undefined : await open(secret),
  };
}
