import { COMPLETE_MODELS, FAILING_MODELS } from "../../fake/odd.ts";
import { COUNTED_TARGETS } from "../faults/targets.ts";

type Row = { id: string; dialect: string; base_url: string; api_key: string; quirks?: object };

const rowAt = (host: string, id: string, dialect: string, quirks?: object): Row => ({
  id,
  dialect,
  base_url: `http://${host}/v1`,
  api_key: "fake-key",
  ...(quirks && { quirks }),
});

const PROVIDERS: Row[] = [
  rowAt("fake.test", "fake", "openai-chat"),
  rowAt("fake.test", "fakeresp", "openai-responses"),
  rowAt("fake.test", "fakeanth", "anthropic"),
  rowAt("fake.test", "fakegem", "gemini"),
  rowAt("fake.test", "fakenat", "native"),
  rowAt("fake.test", "counted", "openai-chat", { streamUsage: true }),
  rowAt("fake.test", "plain", "openai-chat", { lacksCustomTools: true }),
  rowAt("fake.test", "plainresp", "openai-responses", { lacksCustomTools: true }),
  rowAt("odd.test", "oddchat", "openai-chat"),
  rowAt("odd.test", "oddresp", "openai-responses"),
  rowAt("odd.test", "oddanth", "anthropic"),
  rowAt("odd.test", "oddgem", "gemini"),
  rowAt("more.test", "oai", "openai-chat"),
  rowAt("more.test", "resp", "openai-responses"),
  rowAt("more.test", "gem", "gemini"),
  rowAt("more.test", "ant", "anthropic"),
  { ...rowAt("behind.test", "behind", "native"), api_key: "rhone_sk_test" },
];

/** The models that have a price. */
const PRICED = [
  "fake/paid",
  "fake/plan-paid",
  "fake/fault-hollow.waste",
  "fake/fault-hollow.charge",
  "fakeanth/fault-mute.waste",
  "fakegem/fault-cut.waste",
  ...COUNTED_TARGETS,
  ...["fake", "fakeresp", "fakeanth", "fakegem", "fakenat"].flatMap((provider) => [
    `${provider}/fault-malformed-between.paid`,
    `${provider}/fault-malformed-behind.paid`,
  ]),
  ...["oddchat", "oddresp", "oddanth", "oddgem", "fakenat"].flatMap((provider) =>
    [...COMPLETE_MODELS, ...FAILING_MODELS].map((model) => `${provider}/${model}`),
  ),
];

/** The settings of the gateway that the tests in workerd run. */
export const SETTINGS = {
  RHONE_ADMIN_KEY: "rhone_sk_test",
  RHONE_CREDENTIALS_KEY: Buffer.alloc(32, 7).toString("base64"),
  RHONE_SHIELD_KEY: "a secret of the tests",
  // Dollars per million tokens: what the scripted provider counts comes to 22 micro-dollars a call.
  RHONE_PRICES: JSON.stringify(Object.fromEntries(PRICED.map((model) => [model, { input: 1, output: 2 }]))),
  // A secret of the deployment that tools may have, and one that none may.
  SHARED_TOOL_TOKEN: "shared-token",
  PRIVATE_TOKEN: "private-token",
  // No test waits as long as a provider may ask a gateway to, and none has others' failures count against it.
  RHONE_CONFIG: JSON.stringify({
    retries: { base_ms: 5, max_ms: 50, retry_after_max_ms: 2_000 },
    cooldown: { failures: 8 },
    tool_secrets: {
      SHARED_TOOL_TOKEN: { hosts: ["tools.example.com"] },
      UNSET_TOOL_TOKEN: { hosts: ["tools.example.com"] },
    },
  }),
  RHONE_PROVIDERS: JSON.stringify(PROVIDERS),
};
