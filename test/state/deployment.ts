/** The deployment's own secrets: the stored state opens with these alone. */
export type Secrets = { adminKey: string; credentialsKey: string };

const ROWS = { fake: "openai-chat", fakeresp: "openai-responses", fakeanth: "anthropic", fakegem: "gemini" };

export const PAID = "fake/paid";

export const STALLED = "fake/fault-stall.chat";

export const STALLED_RESPONSE = "fakeresp/fault-stall.response";

/** Dollars per million tokens. A hard budget takes no model without a price, so all that are called have one. */
const PRICE = { input: 1, output: 2 };

const MODELS = [
  PAID,
  STALLED,
  STALLED_RESPONSE,
  ...["tools", "fault-500-once.named", "failing", "large", "own", "talk", "once", "other", "mirror"].map(
    (name) => `fake/${name}`,
  ),
  ...["tools", "think", "say", "headers"].map((name) => `fakeanth/${name}`),
  ...["think", "mirror"].map((name) => `fakeresp/${name}`),
];

/** The environment of a gateway on this state, in front of the scripted provider at `providerUrl`. */
export const environmentOf = (providerUrl: string, { adminKey, credentialsKey }: Secrets): Record<string, string> => ({
  RHONE_ADMIN_KEY: adminKey,
  RHONE_CREDENTIALS_KEY: credentialsKey,
  RHONE_CONFIG: JSON.stringify({ retries: { base_ms: 5, max_ms: 50, retry_after_max_ms: 2_000 } }),
  RHONE_PRICES: JSON.stringify(Object.fromEntries(MODELS.map((model) => [model, PRICE]))),
  RHONE_PROVIDERS: JSON.stringify(
    Object.entries(ROWS).map(([id, dialect]) => ({ id, dialect, base_url: providerUrl, api_key: "fake-key" })),
  ),
});

export const ORGANIZATION = "org_default";
