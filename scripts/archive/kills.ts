import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { parseArgs } from "node:util";
import type { CallRecord } from "../../src/store/records.ts";
import { runScript, UserError } from "../user-error.ts";
import { addCalls, expectSame, HOUR, makeRecord, ORG, RATE, SLICE, START, type Sums, summaryOf } from "./calls.ts";
import { type ArchiveGateway, killRuntime, post, serve } from "./gateway.ts";

/**
 * `npm run test:archive-kills [-- --kills N]`: kills the runtime (SIGKILL) at random moments while the record is sealed, with records
 * that came directly and through the queue, and come again in between; then compares what is left with a plain list of the same.
 */
const { values } = parseArgs({ options: { kills: { type: "string", default: "12" } } });
const KILLS = Number(values.kills);
/** Records for each kill, so that there is something to seal until the last one. */
const ROUND = 2_000;
/** A message of the queue has at most 128 KB. */
const BATCH = 100;
/** A round is sealed within about so many milliseconds. */
const LONGEST = 500;

await runScript(async () => {
  if (!(KILLS > 0)) throw new UserError("--kills: expected a number above 0");
  const folder = mkdtempSync(join(tmpdir(), "rhone-archive-kills-"));
  try {
    const gateway = await serve(folder);
    const list: Sums = { rows: 0, cost: 0, tokens: 0, latencies: [] };
    for (let kill = 0; kill < KILLS; kill++) {
      const records = Array.from({ length: ROUND }, (_, i) => makeRecord(kill * ROUND + i));
      addCalls(list, records);
      const now = records.at(-1)!.createdAt + 2 * SLICE;
      await deliver(gateway, records, { via: kill % 2 === 0 ? "direct" : "queue", now });
      const sealing = sealAll(gateway, now).catch(() => {});
      await sleep(Math.random() * LONGEST);
      await killRuntime(gateway);
      await sealing;
      // At least once: some come again, whether they are in a file by now or not.
      await append(gateway, records.slice(0, BATCH), now);
    }
    await sealAll(gateway, START + ((KILLS * ROUND) / RATE) * 1_000 + 3 * SLICE);
    const range = `org=${ORG}&from=${START - HOUR}&to=${START + ((KILLS * ROUND) / RATE) * 1_000 + HOUR}`;
    const found = await post<Sums>(`${gateway.origin}/__scan?${range}`);
    expectSame("after the kills", summaryOf(found), summaryOf(list));
    expectSame("D1 after the kills", await hot(gateway), { rows: 0 });
    console.log(`${KILLS} kills while sealing: ${list.rows} records are in files, once each`);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
  process.exit(0);
});

/** Resolves when D1 has the records. */
async function deliver(
  gateway: ArchiveGateway,
  records: readonly CallRecord[],
  { via, now }: { via: "direct" | "queue"; now: number },
): Promise<void> {
  const { rows } = await hot(gateway);
  for (let from = 0; from < records.length; from += BATCH) {
    const batch = records.slice(from, from + BATCH);
    if (via === "direct") await append(gateway, batch, now);
    else await post(`${gateway.origin}/__enqueue`, batch);
  }
  for (const until = Date.now() + 60_000; Date.now() < until; await sleep(100))
    if ((await hot(gateway)).rows >= rows + records.length) return;
  throw new UserError(`the records did not come to D1 by ${via}`);
}

async function append({ origin }: ArchiveGateway, records: readonly CallRecord[], now: number): Promise<void> {
  await post(`${origin}/__append?now=${now}`, records);
}

/** The records that D1 has. */
async function hot({ origin }: ArchiveGateway): Promise<{ rows: number }> {
  return await post(`${origin}/__hot`);
}

async function sealAll({ origin }: ArchiveGateway, now: number): Promise<void> {
  const url = `${origin}/__seal?now=${now}&slice=${SLICE}&hot=1e12`;
  while ((await post<{ hasMore: boolean }>(url)).hasMore);
}
