import { expect, it } from "vitest";
import { workerSecrets } from "../../scripts/settings.ts";

const environment = { SHARED_TOKEN: "a", OTHER_TOKEN: "b", OPENAI_API_KEY: "c" };

it("the worker gets the variables that its configuration lists for tools, and no others", () => {
  const config = JSON.stringify({ tool_secrets: { SHARED_TOKEN: { hosts: ["a.example"] } } });
  expect(workerSecrets({ ...environment, RHONE_CONFIG: config })).toEqual({
    SHARED_TOKEN: "a",
    OPENAI_API_KEY: "c",
    RHONE_CONFIG: config,
  });
});

it("with an invalid configuration it gets none of them", () => {
  expect(workerSecrets({ ...environment, RHONE_CONFIG: "{" })).toEqual({ OPENAI_API_KEY: "c", RHONE_CONFIG: "{" });
});
