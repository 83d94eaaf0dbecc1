import { z } from "zod";

export const secretName = z.string().min(1).max(64);

/** What a header may have as its value (RFC 9110, 5.5). */
export const headerText = z
  .string()
  .regex(/^[\t\x20-\x7e\x80-\xff]*$/, "expected a text without line breaks, of Latin-1");

const namedSecret = z.strictObject({ secret: secretName, prefix: headerText.max(64).optional() });

/** A header of a request to a tool: a text, or a secret of the organisation, by its name. */
const headerValue = z.union([headerText.max(4_096), namedSecret.meta({ id: "SecretHeader" })]);

/** Headers by which a request says where it goes and where it ends: they are the gateway's own. */
const FRAMING = new Set([
  "host",
  "content-length",
  "connection",
  "keep-alive",
  "transfer-encoding",
  "te",
  "trailer",
  "upgrade",
  "expect",
]);

const headerName = z
  .string()
  .regex(/^[A-Za-z0-9-]{1,64}$/)
  .refine(
    (name) => !FRAMING.has(name.toLowerCase()),
    "expected a header that does not say where the request goes or ends",
  );

export const headers = z.record(headerName, headerValue);
export const targetUrl = z.string().min(1).max(2_048);

/** How the gateway identifies itself: with a secret as bearer token, or a token that it gets as an OAuth client. */
const serverAuth = z
  .strictObject({
    secret: secretName.optional(),
    client_id: z.string().min(1).max(512).optional(),
    client_secret: z.strictObject({ secret: secretName }).meta({ id: "ClientSecret" }).optional(),
    token_url: targetUrl.optional().meta({ description: "By default the one that the server names (RFC 9728)" }),
    scope: z.string().max(1_024).optional(),
  })
  .refine(
    ({ secret, client_id, client_secret }) =>
      (client_id === undefined) === (client_secret === undefined) &&
      (secret === undefined) !== (client_id === undefined),
    "expected either secret, or client_id and client_secret",
  )
  .meta({ id: "McpServerAuth" });

/** A server of the Model Context Protocol, by its URL (Streamable HTTP). */
export const mcpServer = z
  .strictObject({
    url: targetUrl,
    headers: headers.optional(),
    auth: serverAuth.optional(),
    trust_annotations: z
      .boolean()
      .optional()
      .meta({ description: "Whether the annotations of the server set the effects of its tools. Default: false" }),
  })
  .meta({ id: "McpServer" });

export type McpServer = z.infer<typeof mcpServer>;

/** Servers of one run, at most: each has to list its tools before the run starts. */
export const MAX_SERVERS = 16;

/** The servers of a run, by the names with which those of their tools start. */
export const mcpServers = z
  .record(
    z
      .string()
      .regex(
        /^(?!.*__)[A-Za-z0-9](?:[A-Za-z0-9_-]{0,30}[A-Za-z0-9-])?$/,
        "expected 1 to 32 of A-Z a-z 0-9 _ -, without __ and without _ at its end",
      ),
    mcpServer,
  )
  .refine((all) => Object.keys(all).length <= MAX_SERVERS, `expected at most ${MAX_SERVERS} servers`);

/** A secret, by its name, with the place where it is named and the URL that it is sent to. */
export type SecretUse = { name: string; at: string; url: string };

/** The secrets in the headers of requests to `url`. */
export const secretsInHeaders = (given: z.infer<typeof headers> | undefined, url: string): SecretUse[] =>
  Object.entries(given ?? {}).flatMap(([header, value]) =>
    typeof value === "string" ? [] : [{ name: value.secret, at: `headers.${header}.secret`, url }],
  );

/** The secrets that a server is sent, or its authorisation server. */
export function secretsOfServer({ url, headers: sent, auth }: McpServer): SecretUse[] {
  const uses = secretsInHeaders(sent, url);
  const { secret, client_secret: credential, token_url: tokenUrl } = auth ?? {};
  if (secret !== undefined) uses.push({ name: secret, at: "auth.secret", url });
  // What it buys goes to the server, so it has to be bound to that as well as to where it is sent.
  if (credential !== undefined)
    for (const target of [url, ...(tokenUrl === undefined ? [] : [tokenUrl])])
      uses.push({ name: credential.secret, at: "auth.client_secret.secret", url: target });
  return uses;
}
