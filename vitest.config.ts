import { join } from "node:path";
import { cloudflareTest, readD1Migrations } from "@cloudflare/vitest-plugin";
import { defineConfig } from "vitest/config";
import { answer } from "./test/fake/dialects.ts";
import { answerEndpoint } from "./test/fake/endpoints.ts";
import { answerOdd, COMPLETE_MODELS, FAILING_MODELS } from "./test/fake/odd.ts";
import { COUNTED_TARGETS } from "./test/support/faults/targets.ts";

/** Three kinds of tests: laws of the pure floors in Node, the product in workerd, and official clients against a served gateway. */
/** The request's own body, as a response of the network. */
const echo = async (request: Request): Promise<Response> =>
  new Response(await request.arrayBuffer(), { headers: { "content-type": request.headers.get("content-type") ?? "" } });

export default defineConfig(async () => ({
  test: {
    projects: [
      {
        test: {
          name: "node",
          include: ["test/**/*.test.ts"],
          exclude: ["test/**/*.worker.test.ts", "test/clients/**"],
          setupFiles: ["./test/support/setup.ts"],
        },
      },
      {
        plugins: [
          cloudflareTest({
            wrangler: { configPath: "./wrangler.toml" },
            miniflare: {
              bindings: {
                TEST_MIGRATIONS: await readD1Migrations(join(import.meta.dirname, "migrations")),
                TEST_ALL: process.env.RHONE_TEST_ALL ?? "",
                RHONE_ADMIN_KEY: "rhone_sk_test",
                RHONE_CREDENTIALS_KEY: Buffer.alloc(32, 7).toString("base64"),
                // Dollars per million tokens: what the scripted provider counts comes to 22 micro-dollars a call.
                RHONE_PRICES: JSON.stringify(
                  Object.fromEntries(
                    [
                      "fake/paid",
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
                    ].map((model) => [model, { input: 1, output: 2 }]),
                  ),
                ),
                // No test waits as long as a provider may ask a gateway to, and none has others' failures count against it.
                RHONE_CONFIG: JSON.stringify({
                  retries: { base_ms: 5, max_ms: 50, retry_after_max_ms: 2_000 },
                  cooldown: { failures: 8 },
                }),
                RHONE_PROVIDERS: JSON.stringify([
                  { id: "fake", dialect: "openai-chat", base_url: "http://fake.test/v1", api_key: "fake-key" },
                  {
                    id: "counted",
                    dialect: "openai-chat",
                    base_url: "http://fake.test/v1",
                    api_key: "fake-key",
                    quirks: { streamUsage: true },
                  },
                  ...(["openai-chat", "openai-responses"] as const).map((dialect) => ({
                    id: dialect === "openai-chat" ? "plain" : "plainresp",
                    dialect,
                    base_url: "http://fake.test/v1",
                    api_key: "fake-key",
                    quirks: { lacksCustomTools: true },
                  })),
                  { id: "fakeanth", dialect: "anthropic", base_url: "http://fake.test/v1", api_key: "fake-key" },
                  { id: "fakeresp", dialect: "openai-responses", base_url: "http://fake.test/v1", api_key: "fake-key" },
                  { id: "fakegem", dialect: "gemini", base_url: "http://fake.test/v1", api_key: "fake-key" },
                  { id: "fakenat", dialect: "native", base_url: "http://fake.test/v1", api_key: "fake-key" },
                  { id: "oddchat", dialect: "openai-chat", base_url: "http://odd.test/v1", api_key: "fake-key" },
                  { id: "oddresp", dialect: "openai-responses", base_url: "http://odd.test/v1", api_key: "fake-key" },
                  { id: "oddanth", dialect: "anthropic", base_url: "http://odd.test/v1", api_key: "fake-key" },
                  { id: "oddgem", dialect: "gemini", base_url: "http://odd.test/v1", api_key: "fake-key" },
                  { id: "oai", dialect: "openai-chat", base_url: "http://more.test/v1", api_key: "fake-key" },
                  { id: "resp", dialect: "openai-responses", base_url: "http://more.test/v1", api_key: "fake-key" },
                  { id: "behind", dialect: "native", base_url: "http://behind.test/v1", api_key: "rhone_sk_test" },
                  { id: "gem", dialect: "gemini", base_url: "http://more.test/v1", api_key: "fake-key" },
                  { id: "ant", dialect: "anthropic", base_url: "http://more.test/v1", api_key: "fake-key" },
                ]),
              },
              queueConsumers: { "rhone-records": { maxBatchTimeout: 0.05 } },
              // Whatever a test does not stub lands here, in Node, as a real network stream; nothing reaches the network.
              outboundService: (request: Request) => {
                const { hostname } = new URL(request.url);
                if (hostname === "odd.test") return answerOdd(request);
                if (hostname === "echo.test") return echo(request);
                return hostname === "more.test" ? answerEndpoint(request) : answer(request);
              },
            },
          }),
        ],
        test: {
          name: "workerd",
          include: ["test/**/*.worker.test.ts"],
          setupFiles: ["./test/support/worker/setup.ts"],
        },
      },
      {
        test: {
          name: "clients",
          include: ["test/clients/**/*.test.ts"],
          globalSetup: ["./test/clients/setup.ts"],
          testTimeout: 30_000,
        },
      },
    ],
  },
}));
