import type { Dialect } from "../canonical/types.ts";
import type { Price } from "../canonical/usage.ts";
import type { Quirks } from "../dialects/dialect.ts";

/** A provider is a row: what it speaks, where it is, how it wants to be asked, and what it serves. */
export type Provider = {
  id: string;
  /** In order of preference: the caller's own wire is taken where it is among them. */
  dialects: readonly [Dialect, ...Dialect[]];
  /** Models that are spoken to in another wire than the rest. */
  byModel?: readonly (readonly [models: RegExp, dialect: Dialect])[];
  /** With the version segment; the wire's resource path is appended. Absent: embedded, or still to be configured. */
  baseUrl?: string;
  apiKey?: string;
  /** The organisation whose own account it is asked with; absent: the deployment's. */
  account?: string;
  aws?: AwsKey;
  auth: Auth;
  /** The cloud whose addresses and bodies it has, where they are not the wire's own. */
  cloud?: CloudName;
  /** Whose models these are; absent where it hosts models of several makers. */
  maker?: string;
  /** Bare model names that belong here, known to the catalogue or not. Lower case. */
  serves?: RegExp;
  quirks?: Quirks;
  /** Its name in the price data. Absent: nobody knows its prices. */
  pricedAs?: string;
  /** The price follows the name that was asked, not the one that answered: Bedrock's profiles differ in price alone. */
  pricedByRequestedName?: true;
  /** Prices that win over the data's, by the model's name in lower case; `*` is for every other. */
  prices?: ReadonlyMap<string, Price>;
  /** What may open its sealed items: any model of it, or (by default) only the one that made them. */
  sealsBy?: "provider";
};

/** Every way in which a provider wants to be asked. `google`: a service account; `aws`: SigV4. */
export const AUTHS = ["bearer", "x-api-key", "x-goog-api-key", "api-key", "query", "google", "aws", "none"] as const;
export type Auth = (typeof AUTHS)[number];

export type AwsKey = { id: string; secret: string; session?: string; region: string };

/** Clouds that carry a maker's wire at addresses and in bodies of their own. */
export type CloudName = "vertex" | "bedrock";
