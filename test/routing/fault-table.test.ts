import { readFileSync } from "node:fs";
import { join } from "node:path";
import { expect, it } from "vitest";
import { readConfig } from "../../src/routing/config.ts";
import { FAULTS as SCRIPTED } from "../fake/faults.ts";
import { FAULTS as ON_SOCKETS } from "../fake/wire.ts";
import { renderFaults } from "../support/faults/page.ts";
import { expectOutcome, FAULTS, faultsOf, FORMS } from "../support/faults/table.ts";
import { ROOT } from "../support/source.ts";

/** Without a provider: nobody listens, or the runtime's network stands in for it. */
const UNSCRIPTED = new Set(["refused", "none"]);

it("the scripted providers have every fault of the table, and the fallbacks", () => {
  const namesOf = (test: "worker" | "sockets"): string[] =>
    faultsOf(test)
      .flatMap(([name, { fault = name, fallback = "none" }]) => [fault, fallback])
      .filter((name) => !UNSCRIPTED.has(name));
  expect(namesOf("worker").filter((name) => SCRIPTED[name] === undefined)).toEqual([]);
  expect(namesOf("sockets").filter((name) => ON_SOCKETS[name] === undefined)).toEqual([]);
});

it('with a fallback and `midstream: "continue"`, only a refused content is no complete answer', () => {
  const incomplete = Object.entries(FAULTS).filter(([, fault]) =>
    FORMS.filter(({ hasFallback, isContinued }) => hasFallback && isContinued).some((form) => {
      const [outcome] = expectOutcome(fault, form);
      return outcome !== "own" && outcome !== "other" && outcome !== "rescued";
    }),
  );
  expect(incomplete.map(([name]) => name)).toEqual(["content-filter"]);
});

it("by default, a first content that is 20 s late is given up while another target is left", () => {
  expect(readConfig(undefined).policy.deadlines.fallback).toBeLessThan(20_000);
});

it("docs/routing.md has the table", () => {
  const page = readFileSync(join(ROOT, "docs/routing.md"), "utf8");
  expect(page).toContain(renderFaults());
});
