import { join } from "node:path";
import { cloudflareTest, readD1Migrations } from "@cloudflare/vitest-plugin";
import { defineConfig } from "vitest/config";
import { answerNetwork } from "./test/fake/network.ts";
import { hideExpectedExceptions } from "./test/support/runtime-output.ts";
import { SETTINGS } from "./test/support/worker/settings.ts";

for (const output of [process.stdout, process.stderr]) hideExpectedExceptions(output);

/** Four kinds of tests: laws of the pure floors in Node, the product in workerd, official clients and coding agents against a served gateway. */
export default defineConfig(async () => ({
  test: {
    silent: "passed-only" as const,
    projects: [
      {
        test: {
          name: "node",
          include: ["test/**/*.test.ts"],
          exclude: ["test/**/*.worker.test.ts", "test/clients/**", "test/agents/**"],
          setupFiles: ["./test/support/setup.ts"],
        },
      },
      {
        plugins: [
          cloudflareTest({
            wrangler: { configPath: "./wrangler.toml" },
            miniflare: {
              bindings: {
                ...SETTINGS,
                TEST_MIGRATIONS: await readD1Migrations(join(import.meta.dirname, "migrations")),
                TEST_ALL: process.env.RHONE_TEST_ALL ?? "",
              },
              queueConsumers: { "rhone-records": { maxBatchTimeout: 0.05 } },
              outboundService: answerNetwork,
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
      {
        test: {
          name: "agents",
          include: ["test/agents/**/*.test.ts"],
          globalSetup: ["./test/agents/install.ts", "./test/clients/setup.ts"],
          testTimeout: 180_000,
          fileParallelism: false,
        },
      },
    ],
  },
}));
