import type { Context } from "hono";
import { GatewayError, invalid } from "../../canonical/error.ts";
import { requirePublic, UrlRefusal } from "../../outbound/public-url.ts";
import { clearToolSecrets, findToolSecret } from "../../platform/org-secrets.ts";
import { outboundNetworkFor } from "../../platform/outbound-network.ts";
import { requireSecrets } from "../../runs/servers/tool-secrets.ts";
import type { Harness } from "../../runs/state/harness.ts";
import { readText } from "../../surfaces/body.ts";
import { parseJsonField } from "../../surfaces/request.ts";
import type { Json } from "../../wire/json.ts";
import { readYaml, writeYaml, YamlError } from "../../wire/yaml.ts";
import type { AppEnv } from "../request/env.ts";

/** Largest definition, as it is sent and as it is stored. Bytes. */
const MAX_BYTES = 256 * 1024;

/** Media types of YAML: RFC 9512, and those that were used before it. */
const YAML_TYPES = new Set(["application/yaml", "application/x-yaml", "text/yaml", "text/x-yaml"]);
const JSON_TYPES = new Set(["application/json", "application/*", "*/*"]);

/** The body, in the format of its content type: YAML, or else JSON. Throws `request.invalid` and `request.too_large`. */
export async function readDocument({ req }: Context<AppEnv>): Promise<Json> {
  const text = await readText(req.raw);
  requireSize(text);
  if (!YAML_TYPES.has(mediaTypeOf(req.header("content-type") ?? ""))) return parseJsonField(text, "body");
  try {
    return await readYaml(text);
  } catch (thrown) {
    if (thrown instanceof YamlError) throw invalid("body", `invalid YAML: ${thrown.message}`);
    throw thrown;
  }
}

/** The answer in the format that `accept` names first: YAML, or else JSON. */
export async function respond(c: Context<AppEnv>, value: Json, status: 200 | 201 = 200): Promise<Response> {
  const accepted = (c.req.header("accept") ?? "").split(",").map(mediaTypeOf);
  const first = accepted.find((type) => YAML_TYPES.has(type) || JSON_TYPES.has(type));
  const headers = { vary: "accept" };
  if (first === undefined || !YAML_TYPES.has(first)) return c.json(value, status, headers);
  return c.body(await writeYaml(value), status, { ...headers, "content-type": "application/yaml" });
}

/** Without parameters, as of a charset or a weight. */
const mediaTypeOf = (text: string): string => text.split(";", 1)[0]!.trim().toLowerCase();

/** Throws `request.too_large`. */
export function requireSize(text: string): void {
  if (Buffer.byteLength(text) > MAX_BYTES)
    throw new GatewayError("request.too_large", `body: expected at most ${MAX_BYTES / 1024} KiB`, { param: "body" });
}

/** Throws `request.invalid`, naming the field, for a URL or a secret that no run could use. */
export async function requireUsable(
  harness: Harness,
  { env, var: { caller }, executionCtx }: Context<AppEnv>,
): Promise<void> {
  requireReachable(harness, env);
  // A secret may have been set a moment ago, elsewhere.
  clearToolSecrets(caller.org);
  const { tools = [], servers = {} } = harness;
  await requireSecrets({ tools, servers }, caller.org, (org, name) =>
    findToolSecret(env, org, name, (work) => executionCtx.waitUntil(work)),
  );
}

/** Throws `request.invalid` for a URL that the gateway does not send to. */
function requireReachable({ tools = [], servers = {} }: Harness, env: Cloudflare.Env): void {
  const { reach } = outboundNetworkFor(env);
  const requireTarget = (url: string | undefined, field: string): void => {
    try {
      if (url !== undefined) requirePublic(url, reach);
    } catch (thrown) {
      if (thrown instanceof UrlRefusal) throw invalid(field, thrown.message);
      throw thrown;
    }
  };
  for (const [i, tool] of tools.entries()) if (tool.type === "http") requireTarget(tool.url, `tools[${i}].url`);
  for (const [name, { url, auth }] of Object.entries(servers)) {
    requireTarget(url, `servers.${name}.url`);
    if (auth !== undefined && "token_url" in auth) requireTarget(auth.token_url, `servers.${name}.auth.token_url`);
  }
}
