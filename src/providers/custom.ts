import { z } from "zod";
import type { Dialect } from "../canonical/types.ts";
import type { Quirks } from "../dialects/dialect.ts";
import { DIALECTS } from "../dialects/index.ts";
import { tryParseJson, withoutUndefined } from "../wire/json.ts";
import { formatIssue } from "../wire/zod-issue.ts";
import { type Auth, AUTHS, type AwsKey, type ModelEntry, type Provider } from "./provider.ts";

const tokens = z.int().min(1);
const words = z.array(z.string().min(1));

/** A model of an entry, with what the catalogue tells of other models. `name`: as the provider calls it. */
const modelEntry = z.strictObject({
  name: z.string().min(1),
  display_name: z.string().min(1).optional(),
  released: z.iso.date().optional(),
  context: tokens.optional(),
  max_output: tokens.optional(),
  capabilities: words.optional(),
  fixed_sampling: z.boolean().optional(),
  modalities: z.strictObject({ input: words, output: words }).partial().optional(),
});

/** An entry of `RHONE_PROVIDERS`. */
const customProvider = z.strictObject({
  id: z.string().regex(/^[a-z0-9][a-z0-9-]{0,63}$/, "expected lower-case letters, digits and dashes"),
  dialect: z.enum(Object.keys(DIALECTS) as [Dialect, ...Dialect[]]),
  base_url: z.url({ protocol: /^https?$/ }),
  api_key: z.string().optional(),
  auth: z.enum(AUTHS).optional(),
  aws: z
    .strictObject({
      access_key_id: z.string(),
      secret_access_key: z.string(),
      session_token: z.string().optional(),
      region: z.string(),
    })
    .optional(),
  host: z.enum(["vertex", "bedrock"]).optional(),
  quirks: z
    .strictObject({
      outputLimit: z.enum(["max_tokens", "max_completion_tokens"]).optional(),
      reasoning: z.enum(["reasoning", "reasoning_content"]).optional(),
      streamUsage: z.boolean().optional(),
      developerRole: z.boolean().optional(),
      sharedMembers: z.boolean().optional(),
      seed: z.literal("random_seed").optional(),
      lacks: z.array(z.string()).optional(),
      lacksSchema: z.boolean().optional(),
      lacksCustomTools: z.boolean().optional(),
    })
    .optional(),
  models: z.array(modelEntry).optional(),
});

/** How a credential is sent if the entry does not say it. */
const DEFAULT_AUTH: Record<Dialect, Auth> = {
  "openai-chat": "bearer",
  "openai-responses": "bearer",
  anthropic: "x-api-key",
  gemini: "x-goog-api-key",
  native: "bearer",
};

/**
 * The valid entries of `RHONE_PROVIDERS`; for each invalid one a message is added to `problems`. An entry with the id of a
 * built-in provider replaces it, but inherits the models it serves and its prices.
 */
export function readCustomProviders(
  text: unknown,
  builtin: ReadonlyMap<string, Provider>,
  problems: string[],
): Provider[] {
  return parseList(text, problems).flatMap((item, i) => {
    const parsed = customProvider.safeParse(item);
    if (parsed.success) return [toProvider(parsed.data, builtin.get(parsed.data.id))];
    problems.push(`${formatIssue(parsed.error, `RHONE_PROVIDERS[${i}]`)}${describeRow(item)}`);
    return [];
  });
}

function toProvider(row: z.infer<typeof customProvider>, builtin: Provider | undefined): Provider {
  const { id, dialect, base_url, api_key, auth, aws, host, quirks, models } = row;
  const { maker, serves, pricedAs, pricedByRequestedName, prices } = builtin ?? {};
  const defaultAuth = aws !== undefined ? "aws" : api_key === undefined ? "none" : DEFAULT_AUTH[dialect];
  return {
    id,
    dialects: [dialect],
    baseUrl: base_url.replace(/\/+$/, ""),
    auth: auth ?? defaultAuth,
    ...withoutUndefined({
      apiKey: api_key,
      aws: aws && toAwsKey(aws),
      cloud: host,
      quirks: quirks as Quirks | undefined,
      models: models?.map(toModelEntry),
    }),
    ...withoutUndefined({ maker, serves, pricedAs, pricedByRequestedName, prices }),
  };
}

const toAwsKey = (aws: NonNullable<z.infer<typeof customProvider>["aws"]>): AwsKey => ({
  id: aws.access_key_id,
  secret: aws.secret_access_key,
  region: aws.region,
  ...(aws.session_token !== undefined && { session: aws.session_token }),
});

const toModelEntry = (row: z.infer<typeof modelEntry>): ModelEntry => ({
  id: row.name,
  ...withoutUndefined({
    name: row.display_name,
    released: row.released,
    context: row.context,
    maxOutput: row.max_output,
    capabilities: row.capabilities,
    fixedSampling: row.fixed_sampling === true ? (true as const) : undefined,
  }),
  modalities: { input: row.modalities?.input ?? ["text"], output: row.modalities?.output ?? ["text"] },
});

function parseList(text: unknown, problems: string[]): unknown[] {
  if (text === undefined || text === "") return [];
  const list = typeof text === "string" ? tryParseJson(text) : text;
  if (Array.isArray(list)) return list;
  problems.push("RHONE_PROVIDERS: expected a JSON array of providers");
  return [];
}

/** Id and dialect of an invalid entry, for the message about it. */
const describeRow = (item: unknown): string => {
  const { id, dialect } = Object(item) as { id?: unknown; dialect?: unknown };
  return typeof id === "string" ? ` (row ${id}${typeof dialect === "string" ? `, dialect ${dialect}` : ""})` : "";
};
