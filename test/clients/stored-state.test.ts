import { once } from "node:events";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Worker } from "node:worker_threads";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { PROJECT } from "../../scripts/settings.ts";
import { makeYoung } from "../state/age.ts";
import { unpackState } from "../state/archive.ts";
import { withoutDerivedIds, withoutLaterScopes } from "../state/comparable.ts";
import { environmentOf } from "../state/deployment.ts";
import { OBSERVATIONS, observeStable, openState, type StateManifest } from "../state/observations.ts";
import { type ServedGateway, serveGateway } from "../state/served.ts";

const FIXTURE = join(import.meta.dirname, "../fixtures/state");
const manifest = JSON.parse(readFileSync(join(FIXTURE, "manifest.json"), "utf8")) as StateManifest;

/**
 * Stored names are a contract with the state that exists: docs/stored-names.md. The state of the fixture was written by
 * an older version, which was killed (scripts/state-fixture.ts); the code of today has to answer as that version did.
 */
describe(`the state that ${manifest.writtenBy.slice(0, 7)} left behind`, () => {
  const stateDir = mkdtempSync(join(tmpdir(), "rhone-stored-state-"));
  let provider: Worker;
  let gateway: ServedGateway | undefined;
  let opened: ReturnType<typeof openState>;

  beforeAll(async () => {
    unpackState(join(FIXTURE, "state.tar.gz"), stateDir);
    makeYoung(stateDir, manifest.writtenAt);
    provider = new Worker(join(import.meta.dirname, "provider.ts"));
    const [{ url }] = (await once(provider, "message")) as [{ url: string }];
    gateway = await serveGateway({ checkout: PROJECT, stateDir, env: environmentOf(url, manifest) });
    opened = openState(gateway.baseUrl, manifest);
  }, 180_000);

  afterAll(async () => {
    await gateway?.stop();
    await provider.terminate();
    rmSync(stateDir, { recursive: true, force: true });
  }, 60_000);

  // In this order: what reads comes before what goes on with the sessions.
  it.each(OBSERVATIONS)(
    "the gateway answers as the older version did: $name",
    { timeout: 90_000 },
    async (observation) => {
      const observed = await observeStable(observation, opened);
      const [now, then] = [observed, manifest.expected[observation.name]!].map((value) =>
        withoutLaterScopes(withoutDerivedIds(value)),
      );
      expect(now).toEqual(then);
    },
  );
});
