import { BUILTIN_PROVIDERS } from "./builtin.ts";
import { readCustomProviders } from "./custom.ts";
import { parseServiceAccount } from "./google-auth.ts";
import { readPrices } from "./prices.ts";
import type { Auth, Provider } from "./provider.ts";

type Settings = Readonly<Record<string, unknown>>;

/**
 * All providers: the built-in ones with `{PROVIDER}_API_KEY` and `{PROVIDER}_BASE_URL`, those of `RHONE_PROVIDERS`, and the
 * prices of `RHONE_PRICES`. Invalid settings are ignored and described in `problems`; the others take effect.
 */
export function readProviders(settings: Settings): { rows: Map<string, Provider>; problems: string[] } {
  const rows = new Map<string, Provider>();
  const problems: string[] = [];
  for (const [id, row] of Object.entries(BUILTIN_PROVIDERS)) {
    const configured = readBuiltinSettings(id, row.auth, settings, problems);
    rows.set(id, { id, ...row, ...configured });
  }
  for (const row of readCustomProviders(settings.RHONE_PROVIDERS, rows, problems)) rows.set(row.id, row);
  for (const [id, prices] of readPrices(settings.RHONE_PRICES, rows, problems)) {
    const row = rows.get(id)!;
    rows.set(id, { ...row, prices: new Map([...(row.prices ?? []), ...prices]) });
  }
  return { rows, problems };
}

/** The names of all settings that providers are read from. */
export const listSettingNames = (): string[] => [
  "RHONE_PROVIDERS",
  "RHONE_PRICES",
  ...Object.keys(BUILTIN_PROVIDERS).flatMap((id) => [`${settingPrefix(id)}_API_KEY`, `${settingPrefix(id)}_BASE_URL`]),
  "VERTEX_PROJECT",
  "VERTEX_LOCATION",
  "WORKERS_AI_ACCOUNT_ID",
  "AWS_ACCESS_KEY_ID",
  "AWS_SECRET_ACCESS_KEY",
  "AWS_SESSION_TOKEN",
  "AWS_REGION",
];

/** Whether it can be called: it is the demo, or has an address and, if it needs one, a credential. */
export const isConfigured = (row: Provider): boolean => findMissingSetting(row) === undefined;

/** The name of a setting that is missing; undefined if the provider can be called. */
export function findMissingSetting({ id, auth, baseUrl, apiKey, aws }: Provider): string | undefined {
  if (id === "demo") return undefined;
  const hasCredential = auth === "none" || apiKey !== undefined || aws !== undefined;
  if (baseUrl !== undefined && hasCredential) return undefined;
  return hasCredential ? (ADDRESS_SETTING[id] ?? `${settingPrefix(id)}_BASE_URL`) : `${settingPrefix(id)}_API_KEY`;
}

/** Settings that an address is derived from, for providers without a setting for the address itself. */
const ADDRESS_SETTING: Record<string, string> = { vertex: "VERTEX_PROJECT", "workers-ai": "WORKERS_AI_ACCOUNT_ID" };

/** `workers-ai` → `WORKERS_AI`. */
const settingPrefix = (id: string): string => id.toUpperCase().replaceAll("-", "_");

/** The members of a built-in provider that settings determine. */
function readBuiltinSettings(id: string, auth: Auth, settings: Settings, problems: string[]): Partial<Provider> {
  const text = (name: string): string | undefined => {
    const value = settings[name];
    return typeof value === "string" && value !== "" ? value : undefined;
  };
  const name = settingPrefix(id);
  const apiKey = text(`${name}_API_KEY`);
  const baseUrl = text(`${name}_BASE_URL`);
  if (baseUrl !== undefined && !isHttpUrl(baseUrl)) problems.push(`${name}_BASE_URL: expected an http or https URL`);
  const address = isHttpUrl(baseUrl) ? normalizeBaseUrl(id, baseUrl) : cloudBaseUrl(id, text, apiKey);
  const region = text("AWS_REGION") ?? DEFAULT_REGION;
  const [keyId, secret, session] = ["ACCESS_KEY_ID", "SECRET_ACCESS_KEY", "SESSION_TOKEN"].map((suffix) =>
    text(`AWS_${suffix}`),
  );
  const hasAws = auth === "aws" && apiKey === undefined && keyId !== undefined && secret !== undefined;
  return {
    ...(apiKey !== undefined && { apiKey }),
    // A self-hosted server needs a credential only if one is set.
    ...(apiKey !== undefined && auth === "none" && id !== "demo" && { auth: "bearer" as const }),
    ...(address !== undefined && { baseUrl: address }),
    ...(hasAws && { aws: { id: keyId, secret, region, ...(session !== undefined && { session }) } }),
  };
}

/** AWS region without `AWS_REGION`. */
const DEFAULT_REGION = "us-east-1";

/** Without a trailing slash. For Azure, whose setting may be a resource's origin, with the path of its API. */
function normalizeBaseUrl(id: string, baseUrl: string): string {
  const bare = baseUrl.replace(/\/+$/, "");
  if (id !== "azure") return bare;
  const { pathname } = new URL(bare);
  return pathname === "/" ? `${bare}/openai/v1` : pathname === "/openai" ? `${bare}/v1` : bare;
}

/** The address of a provider whose address depends on an account, a project or a region; undefined for any other. */
function cloudBaseUrl(id: string, text: (name: string) => string | undefined, apiKey = ""): string | undefined {
  if (id === "bedrock") return `https://bedrock-runtime.${segment(text("AWS_REGION") ?? DEFAULT_REGION)}.amazonaws.com`;
  if (id === "workers-ai") {
    const account = text("WORKERS_AI_ACCOUNT_ID");
    return account && `https://api.cloudflare.com/client/v4/accounts/${segment(account)}/ai/v1`;
  }
  if (id !== "vertex") return undefined;
  const project = text("VERTEX_PROJECT") ?? parseServiceAccount(apiKey)?.project;
  const location = segment(text("VERTEX_LOCATION") ?? "global");
  // Google Cloud documentation, Vertex AI locations: the global and the two multi-region endpoints have special hosts.
  const origin =
    location === "global"
      ? "aiplatform.googleapis.com"
      : /^(us|eu)$/.test(location)
        ? `aiplatform.${location}.rep.googleapis.com`
        : `${location}-aiplatform.googleapis.com`;
  return project && `https://${origin}/v1/projects/${segment(project)}/locations/${location}`;
}

const segment = (text: string): string => encodeURIComponent(text.trim());

const isHttpUrl = (text: string | undefined): text is string =>
  text !== undefined && URL.canParse(text) && /^https?:$/.test(new URL(text).protocol);

const PROVIDERS = new WeakMap<object, ReadonlyMap<string, Provider>>();
let newest: { settings: string; rows: ReadonlyMap<string, Provider> } | undefined;

/**
 * The providers of an environment, read once: it does not change during the life of an isolate. Each Durable Object has an
 * environment object of its own with the same settings, and an isolate may run thousands of them, so environments with equal
 * settings share one map.
 */
export function providersOf(environment: object): ReadonlyMap<string, Provider> {
  const cached = PROVIDERS.get(environment);
  if (cached !== undefined) return cached;
  const strings = Object.fromEntries(Object.entries(environment).filter(([, value]) => typeof value === "string"));
  const settings = JSON.stringify(strings);
  if (newest?.settings !== settings) newest = { settings, rows: readProviders(strings).rows };
  PROVIDERS.set(environment, newest.rows);
  return newest.rows;
}
