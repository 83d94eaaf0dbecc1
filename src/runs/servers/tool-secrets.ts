import type { z } from "zod";
import { invalid } from "../../canonical/error.ts";
import type { ClientCredentials } from "../../mcp/client-credentials.ts";
import { isAmongHosts, UrlRefusal } from "../../outbound/public-url.ts";
import { withoutUndefined } from "../../wire/json.ts";
import type { RunParts } from "../state/definition.ts";
import {
  headerText,
  type headers as headersSchema,
  type McpServer,
  type SecretUse,
  secretsOfServer,
} from "../state/server.ts";
import { secretsOf, type WebhookTool } from "../state/tool.ts";
import type { HttpTool } from "../tools/http-tool.ts";

/** The organisation's secret of this name, with the hosts to which it may be sent. */
export type SecretFinder = (
  org: string,
  name: string,
) => Promise<{ value: string; hosts: readonly string[] } | undefined>;

/** Throws `request.invalid` for a secret that is not there, or that may not be sent to the host of its tool or server. */
export async function requireSecrets(
  { tools, servers }: Pick<RunParts, "tools" | "servers">,
  org: string,
  findSecret: SecretFinder,
): Promise<void> {
  const uses = [
    ...tools.flatMap((tool, i) => within(`tools[${i}]`, secretsOf(tool))),
    ...Object.entries(servers).flatMap(([name, server]) => within(`servers.${name}`, secretsOfServer(server))),
  ];
  for (const { name, at, url } of uses) {
    const secret = await findSecret(org, name);
    if (secret === undefined) throw invalid(at, `there is no secret ${name}`);
    const target = URL.parse(url);
    if (target === null || !isAmongHosts(target, secret.hosts))
      throw invalid(at, `${name} may be sent to ${secret.hosts.join(", ")} only`);
  }
}

const within = (place: string, uses: readonly SecretUse[]): SecretUse[] =>
  uses.map((use) => ({ ...use, at: `${place}.${use.at}` }));

type Opening = { url: string; org: string; findSecret: SecretFinder };

/** The headers of a request with the values of their secrets, as they are now. Throws `UrlRefusal` if one may not be sent to `url`. */
export async function openHeaders(
  headers: z.infer<typeof headersSchema>,
  opening: Opening,
): Promise<Record<string, string>> {
  const opened = Object.entries(headers).map(async ([name, value]) => [
    name,
    typeof value === "string" ? value : `${value.prefix ?? ""}${await openHeaderSecret(value.secret, opening)}`,
  ]);
  return Object.fromEntries(await Promise.all(opened)) as Record<string, string>;
}

async function openHeaderSecret(name: string, opening: Opening): Promise<string> {
  const value = await openToolSecret(name, opening);
  if (!headerText.safeParse(value).success)
    throw new UrlRefusal(`its secret ${name} cannot be sent in a header: it has a line break, or is not of Latin-1`);
  return value;
}

/**
 * What a server's authorization server is sent; undefined: there is none. The token goes to the server, so the secret has to be bound to
 * that too. Throws `UrlRefusal`.
 */
export async function openCredentials({ auth }: McpServer, opening: Opening): Promise<ClientCredentials | undefined> {
  const { client_id: clientId, client_secret: named, token_url: tokenUrl, scope } = auth ?? {};
  if (clientId === undefined || named === undefined) return undefined;
  const { value: clientSecret, hosts } = await findBound(named.secret, opening);
  return withoutUndefined<ClientCredentials>({ clientId, clientSecret, hosts, tokenUrl, scope });
}

/** The value of a secret. Throws `UrlRefusal` if it may not be sent to `url`. */
export const openToolSecret = async (name: string, opening: Opening): Promise<string> =>
  (await findBound(name, opening)).value;

/** A secret that may be sent to `url`. Throws `UrlRefusal` for any other. */
async function findBound(
  name: string,
  { url, org, findSecret }: Opening,
): Promise<NonNullable<Awaited<ReturnType<SecretFinder>>>> {
  const found = await findSecret(org, name);
  const target = URL.parse(url);
  if (found === undefined || target === null || !isAmongHosts(target, found.hosts))
    throw new UrlRefusal(`its secret ${name} is not there, or may not be sent to it`);
  return found;
}

/** A webhook with the values of its secrets. Throws as `openHeaders`. */
export async function openWebhook(
  { url, headers = {}, secret }: WebhookTool,
  org: string,
  findSecret: SecretFinder,
): Promise<HttpTool> {
  const opening = { url, org, findSecret };
  const signing = secret === undefined ? undefined : await openToolSecret(secret, opening);
  return { url, headers: await openHeaders(headers, opening), secret: signing };
}
