import type { Dialect } from "../canonical/types.ts";
import type { Price } from "../canonical/usage.ts";
import type { Quirks } from "../dialects/dialect.ts";

/** A provider as data: dialects, address, credential, models and prices. */
export type Provider = {
  id: string;
  /** In order of preference. The caller's dialect is used if it is among them. */
  dialects: readonly [Dialect, ...Dialect[]];
  /** Models that need another dialect than the rest. */
  byModel?: readonly (readonly [models: RegExp, dialect: Dialect])[];
  /** Includes the version segment; the dialect's resource path is appended. Absent for the demo, or if not configured yet. */
  baseUrl?: string;
  apiKey?: string;
  /** The organisation whose credential is used; absent: the deployment's. */
  account?: string;
  aws?: AwsKey;
  auth: Auth;
  /** The cloud that serves it, if paths and bodies differ from the dialect's. */
  cloud?: CloudName;
  /** The maker of its models; absent if it hosts models of several makers. */
  maker?: string;
  /** Matches bare model names, in lower case, that this provider serves, also those that the catalogue does not have. */
  serves?: RegExp;
  quirks?: Quirks;
  /** Models that the deployment describes itself, in addition to those of the catalogue data. */
  models?: readonly ModelEntry[];
  /** Its id in the price data. Absent: it has no prices there. */
  pricedAs?: string;
  /** The price is looked up by the requested name, not the one in the answer: Bedrock's inference profiles differ in price only. */
  pricedByRequestedName?: true;
  /** Prices that take precedence over the price data, by model name in lower case; `*`: all other models. */
  prices?: ReadonlyMap<string, Price>;
  /** Which models can open its sealed items: all of the provider's, or (by default) only the one that made them. */
  sealsBy?: "provider";
};

/** What is known of a model. Unknown members are absent. */
export type ModelEntry = {
  /** The provider's name of the model. */
  id: string;
  name?: string;
  maker?: string;
  /** YYYY-MM-DD */
  released?: string;
  /** Tokens: the context window, and the longest output. */
  context?: number;
  maxOutput?: number;
  /** `reasoning`, `tool_call`, `structured_output`. Absent: unknown. */
  capabilities?: string[];
  /** The model refuses parameters of sampling. */
  fixedSampling?: true;
  modalities: { input: string[]; output: string[] };
};

/** How a credential is sent. `query`: the parameter `key`. `google`: a service account's token. `aws`: Signature Version 4. */
export const AUTHS = ["bearer", "x-api-key", "x-goog-api-key", "api-key", "query", "google", "aws", "none"] as const;
export type Auth = (typeof AUTHS)[number];

export type AwsKey = { id: string; secret: string; session?: string; region: string };

/** Clouds that serve models of other makers with paths and bodies of their own. */
export type CloudName = "vertex" | "bedrock";
