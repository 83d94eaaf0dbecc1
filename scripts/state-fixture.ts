import { execFileSync } from "node:child_process";
import { randomBytes } from "node:crypto";
import { cpSync, mkdtempSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { parseArgs } from "node:util";
import { answer } from "../test/fake/dialects.ts";
import { listen } from "../test/fake/upstream.ts";
import { packState, queryAll } from "../test/state/archive.ts";
import { environmentOf } from "../test/state/deployment.ts";
import { OBSERVATIONS, observeStable, openState, type StateManifest } from "../test/state/observations.ts";
import { makeState, type Made } from "../test/state/scenario.ts";
import { serveGateway } from "../test/state/served.ts";
import { makeAdminKey, PROJECT } from "./settings.ts";
import { UserError, runScript } from "./user-error.ts";

/**
 * `node scripts/state-fixture.ts --checkout DIR --out DIR`: writes `state.tar.gz` and `manifest.json`, which
 * test/clients/stored-state.test.ts opens with the code of today. The gateway of the checkout (this one, unless another
 * is named) makes one of everything that is stored and is killed with SIGKILL while calls run and records wait in
 * outboxes. What the same code answers when it is opened again stands in the manifest as the expected values.
 */
const { values } = parseArgs({
  options: {
    checkout: { type: "string", default: PROJECT },
    out: { type: "string", default: join(PROJECT, "test", "fixtures", "state") },
  },
});

await runScript(async () => {
  const checkout = resolve(values.checkout);
  const out = resolve(values.out);
  const provider = await listen(answer);
  const work = mkdtempSync(join(tmpdir(), "rhone-state-"));
  const written = join(work, "written");
  const reopened = join(work, "reopened");
  const secrets = { adminKey: makeAdminKey(), credentialsKey: randomBytes(32).toString("base64") };
  const options = { checkout, env: environmentOf(provider.url, secrets) };
  try {
    const gateway = await serveGateway({ ...options, stateDir: written });
    let made: Made;
    try {
      made = await makeState(gateway.baseUrl, secrets);
    } finally {
      await gateway.kill();
    }
    const writtenAt = Date.now();
    cpSync(written, reopened, { recursive: true });
    packState(written, join(out, "state.tar.gz"));
    expectUndelivered(written, made);
    const writtenBy = execFileSync("git", ["rev-parse", "HEAD"], { cwd: checkout, encoding: "utf8" }).trim();
    const manifest = { writtenBy, writtenAt, ...secrets, made };
    const expected = await observeAll(await serveGateway({ ...options, stateDir: reopened }), manifest);
    writeFileSync(join(out, "manifest.json"), textOf({ ...manifest, expected }));
    const { size } = statSync(join(out, "state.tar.gz"));
    console.log(`${out}: ${(size / 1024).toFixed(0)} KiB of state, ${OBSERVATIONS.length} observations`);
  } finally {
    await provider.close();
    rmSync(work, { recursive: true, force: true });
  }
});

/** One member of the manifest, and one observation, on each line. */
function textOf({ expected, ...rest }: StateManifest): string {
  return `{\n${linesOf(rest)},\n"expected": {\n${linesOf(expected)}\n}\n}\n`;
}

function linesOf(members: object): string {
  return Object.entries(members)
    .map(([name, value]) => `${JSON.stringify(name)}: ${JSON.stringify(value)}`)
    .join(",\n");
}

async function observeAll(
  gateway: Awaited<ReturnType<typeof serveGateway>>,
  manifest: Omit<StateManifest, "expected">,
): Promise<StateManifest["expected"]> {
  const expected: StateManifest["expected"] = {};
  try {
    const opened = openState(gateway.baseUrl, manifest);
    for (const observation of OBSERVATIONS) {
      expected[observation.name] = await observeStable(observation, opened);
      console.log(`seen: ${observation.name}`);
    }
  } finally {
    await gateway.stop();
  }
  return expected;
}

/** The kill came before the records of the last calls reached D1: they are in outboxes alone. */
function expectUndelivered(stateDir: string, { undeliveredCall, undeliveredStateless }: Made): void {
  for (const id of [undeliveredCall, undeliveredStateless]) {
    const waiting = queryAll(stateDir, "outbox", "SELECT number FROM outbox WHERE instr(payload, ?) > 0", id);
    // A session's own `calls` table has the call as well; D1's alone has this column.
    const delivered = queryAll(stateDir, "runs", "SELECT id FROM runs WHERE id = ?", id.replace(/^call_/, "run_"));
    if (waiting.length === 0 || delivered.length > 0)
      throw new UserError(`${id}: expected a record that waits in an outbox; make the fixture again`);
  }
}
