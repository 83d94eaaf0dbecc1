import { join } from "node:path";
import { cloudflareTest, readD1Migrations } from "@cloudflare/vitest-plugin";
import { defineConfig } from "vitest/config";
import { answerNetwork } from "./test/fake/network.ts";
import { hideExpectedExceptions } from "./test/support/runtime-output.ts";
import { SETTINGS } from "./test/support/worker/settings.ts";

for (const output of [process.stdout, process.stderr]) hideExpectedExceptions(output);

const migrations = await readD1Migrations(join(import.meta.dirname, "migrations"));

/** Tests that run in workerd, with the product's own bindings and no network. */
const runtimeTests = (test: { name: string; include: string[]; exclude?: string[]; isolate?: false }) => ({
  plugins: [
    cloudflareTest({
      wrangler: { configPath: "./wrangler.toml" },
      miniflare: {
        bindings: {
          ...SETTINGS,
          TEST_MIGRATIONS: migrations,
          TEST_ALL: process.env.RHONE_TEST_ALL ?? "",
        },
        queueConsumers: { "rhone-records": { maxBatchTimeout: 0.05 } },
        outboundService: answerNetwork,
      },
    }),
  ],
  // On a loaded machine a test may wait long for what it is about; none waits for a time.
  test: {
    setupFiles: ["./test/support/worker/setup.ts"],
    testTimeout: 30_000,
    expect: { poll: { timeout: 20_000 } },
    ...test,
  },
});

/** Files that leave behind what empty storage does not undo: the clock, earlier schemas, what an isolate has learned of providers. */
const ALONE = ["test/{routing,store}/**/*.worker.test.ts"];

/** Four kinds of tests: laws of the pure floors in Node, the product in workerd, official clients and coding agents against a served gateway. */
export default defineConfig({
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
      // Files share one runtime, which takes two seconds to start, and each begins with empty storage.
      runtimeTests({
        name: "workerd",
        include: ["test/**/*.worker.test.ts"],
        exclude: ALONE,
        isolate: false,
      }),
      runtimeTests({ name: "workerd-alone", include: ALONE }),
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
});
