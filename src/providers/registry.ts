import { readCustomProviders } from "./custom.ts";
import { parseServiceAccount } from "./google-auth.ts";
import { readPrices } from "./prices.ts";
import type { Auth, Provider } from "./provider.ts";
import { BUILTIN_PROVIDERS } from "./builtin.ts";

export type Settings = Readonly<Record<string, unknown>>;

/**
 * All rows: the shipped ones with `{PROVIDER}_API_KEY` and `{PROVIDER}_BASE_URL`, then those of `RHONE_PROVIDERS`, then
 * the prices of `RHONE_PRICES`. What is wrong is left out and named in `problems`; the rest stands.
 */
export function readProviders(settings: Settings): { rows: Map<string, Provider>; problems: string[] } {
  const rows = new Map<string, Provider>();
  const problems: string[] = [];
  for (const [id, row] of Object.entries(BUILTIN_PROVIDERS)) {
    const given = readBuiltinSettings(id, row.auth, settings, problems);
    rows.set(id, { id, ...row, ...given });
  }
  for (const row of readCustomProviders(settings.RHONE_PROVIDERS, rows, problems)) rows.set(row.id, row);
  for (const [id, prices] of readPrices(settings.RHONE_PRICES, rows, problems)) {
    const row = rows.get(id)!;
    rows.set(id, { ...row, prices: new Map([...(row.prices ?? []), ...prices]) });
  }
  return { rows, problems };
}

/** Every setting that a provider row is read from. */
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

/** Callable as it stands: embedded, or with an address and, where it wants one, a credential. */
export const isConfigured = (row: Provider): boolean => findMissingSetting(row) === undefined;

/** The setting that it still wants. */
export function findMissingSetting({ id, auth, baseUrl, apiKey, aws }: Provider): string | undefined {
  if (id === "demo") return undefined;
  const isKnown = auth === "none" || apiKey !== undefined || aws !== undefined;
  if (baseUrl !== undefined && isKnown) return undefined;
  return isKnown ? (ADDRESS_SETTING[id] ?? `${settingPrefix(id)}_BASE_URL`) : `${settingPrefix(id)}_API_KEY`;
}

/** What a cloud's address is made of. */
const ADDRESS_SETTING: Record<string, string> = { vertex: "VERTEX_PROJECT", "workers-ai": "WORKERS_AI_ACCOUNT_ID" };

const settingPrefix = (id: string): string => id.toUpperCase().replaceAll("-", "_");

/** What the settings say of a shipped row. */
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
  const [keyId, secret, session] = ["ACCESS_KEY_ID", "SECRET_ACCESS_KEY", "SESSION_TOKEN"].map((one) =>
    text(`AWS_${one}`),
  );
  const hasAws = auth === "aws" && apiKey === undefined && keyId !== undefined && secret !== undefined;
  return {
    ...(apiKey !== undefined && { apiKey }),
    // A server of one's own asks for a key when one is set.
    ...(apiKey !== undefined && auth === "none" && id !== "demo" && { auth: "bearer" as const }),
    ...(address !== undefined && { baseUrl: address }),
    ...(hasAws && { aws: { id: keyId, secret, region, ...(session !== undefined && { session }) } }),
  };
}

const DEFAULT_REGION = "us-east-1";

/** A resource of Azure is given by its origin; its API stands below. */
function normalizeBaseUrl(id: string, baseUrl: string): string {
  const bare = baseUrl.replace(/\/+$/, "");
  if (id !== "azure") return bare;
  const { pathname } = new URL(bare);
  return pathname === "/" ? `${bare}/openai/v1` : pathname === "/openai" ? `${bare}/v1` : bare;
}

/** The address of a cloud, which follows from an account, a project or a region. */
function cloudBaseUrl(id: string, text: (name: string) => string | undefined, apiKey = ""): string | undefined {
  if (id === "bedrock") return `https://bedrock-runtime.${segment(text("AWS_REGION") ?? DEFAULT_REGION)}.amazonaws.com`;
  if (id === "workers-ai") {
    const account = text("WORKERS_AI_ACCOUNT_ID");
    return account && `https://api.cloudflare.com/client/v4/accounts/${segment(account)}/ai/v1`;
  }
  if (id !== "vertex") return undefined;
  const project = text("VERTEX_PROJECT") ?? parseServiceAccount(apiKey)?.project;
  const location = segment(text("VERTEX_LOCATION") ?? "global");
  // The global endpoint and the two multi-regional ones have names of their own.
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
 * The rows of these settings, read once: an environment does not change while its isolate lives. Each object has an
 * environment of its own with the same settings, and thousands of objects share an isolate: they share the rows.
 */
export function providersOf(environment: object): ReadonlyMap<string, Provider> {
  const known = PROVIDERS.get(environment);
  if (known !== undefined) return known;
  const said = Object.fromEntries(Object.entries(environment).filter(([, value]) => typeof value === "string"));
  const settings = JSON.stringify(said);
  if (newest?.settings !== settings) newest = { settings, rows: readProviders(said).rows };
  PROVIDERS.set(environment, newest.rows);
  return newest.rows;
}
