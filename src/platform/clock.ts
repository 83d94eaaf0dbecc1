import { rewriteNext, startPass } from "../store/archive/rewrite.ts";
import { type ArchiveServices, sealNext } from "../store/archive/seal.ts";
import type { Task, TaskState } from "../store/clock.ts";
import { moveOldRecords } from "../store/old/move.ts";
import { applyRetention, type RetentionServices } from "../store/retention/apply.ts";
import { eraseNext, type ErasureServices } from "../store/retention/erase.ts";
import { isHeld } from "./holds.ts";
import { organizationStub } from "./key-stubs.ts";
import { recordsVia } from "./record-delivery.ts";
import { getIsolateRouter } from "./router.ts";
import { requireStub, sessionObjectId } from "./session-stubs.ts";

const HOUR_MS = 60 * 60_000;
/** How long one run of a task goes on while there is more to do. */
const RUN_MS = 20_000;
const MAX_STEPS = 4;

/**
 * How long a record may be on its way: the queue keeps a message for four days, and an outbox that cannot deliver tries
 * every hour.
 */
const SETTLE_MS = { queue: 96 * HOUR_MS, direct: 2 * HOUR_MS };

/** What erases sessions: it is woken by a request. */
export const ERASE_TASK = "erase-sessions";

/** All periodic work of a deployment. */
export function createTasks(env: Cloudflare.Env): Task[] {
  const { sliceMs, hotBytes } = getIsolateRouter(env).config.records;
  const config = { sliceMs, hotBytes, settleMs: Math.min(SETTLE_MS[recordsVia(env)], 4 * sliceMs) };
  const archive = { d1: env.DB, bucket: env.BLOBS, now: Date.now, config };
  const pass = startPass();
  const erasure = createErasure(env, archive);
  const retention = createRetention(env, archive);
  return [
    { name: "move-old-records", everyMs: 24 * HOUR_MS, run: () => untilTired(() => moveOldRecords(env.DB)) },
    {
      name: "seal-records",
      everyMs: Math.min(HOUR_MS / 4, Math.max(HOUR_MS / 240, sliceMs / 24)),
      run: () => sealSome({ ...archive, skipped: new Set() }),
    },
    { name: "rewrite-changed", everyMs: 6 * HOUR_MS, run: () => untilTired(() => rewriteNext(archive, pass)) },
    {
      name: ERASE_TASK,
      everyMs: HOUR_MS / 4,
      run: () => untilTired(() => eraseNext(erasure)),
    },
    {
      name: "apply-retention",
      everyMs: 6 * HOUR_MS,
      run: () => untilTired(() => applyRetention(retention)),
    },
  ];
}

export const createErasure = (env: Cloudflare.Env, archive: ArchiveServices): ErasureServices => ({
  ...archive,
  eraseContent: async (org, id) => await sessionStub(env, org, id).erase(org),
  isHeld: async (org, id) => await isHeld(env, org, id),
  waiting: new Set(),
});

export const createRetention = (env: Cloudflare.Env, archive: ArchiveServices): RetentionServices => ({
  ...archive,
  policyOf: async (org) => {
    const { retention_days: own, legal_hold = false } = (await organizationStub(env, org).describe())?.policy ?? {};
    return { days: own ?? getIsolateRouter(env).config.records.retentionDays, isHeld: legal_hold };
  },
  expireSession: async (org, id, before) => await sessionStub(env, org, id).expire(org, before),
  seen: new Set(),
  skipped: new Set(),
});

const sessionStub = (env: Cloudflare.Env, org: string, id: string) =>
  requireStub(env.SESSIONS, sessionObjectId(env.SESSIONS, org, id));

/** Takes steps as long as there are more, for a while: what one alarm asks of D1 is limited. */
async function untilTired(step: () => Promise<boolean>): Promise<boolean> {
  const end = Date.now() + RUN_MS;
  let hasMore = true;
  for (let steps = 0; hasMore && steps < MAX_STEPS && Date.now() < end; steps++) hasMore = await step();
  return hasMore;
}

/** Goes on with other organisations after a failure, and then throws it. */
async function sealSome(services: ArchiveServices & { skipped: Set<string> }): Promise<boolean> {
  const failures: unknown[] = [];
  const hasMore = await untilTired(async () => {
    const known = services.skipped.size;
    try {
      return await sealNext(services);
    } catch (cause) {
      if (services.skipped.size === known) throw cause;
      failures.push(cause);
      return true;
    }
  });
  if (failures.length > 0) throw failures[0];
  return hasMore;
}

type ClockStub = {
  arm: () => Promise<void>;
  wake: (task: string) => Promise<void>;
  tasks: () => Promise<TaskState[]>;
};

/** The object that does it. */
export const clockStub = ({ CLOCK }: Pick<Cloudflare.Env, "CLOCK">): ClockStub => CLOCK.get(CLOCK.idFromName("clock"));

let isArmed = false;

/** Makes sure, once in an isolate, that the clock goes: on one machine no cron trigger does. */
export function armClock(env: Cloudflare.Env, waitUntil: (work: Promise<unknown>) => void): void {
  if (isArmed) return;
  isArmed = true;
  waitUntil(
    clockStub(env)
      .arm()
      .catch((cause: unknown) => {
        isArmed = false;
        console.error("the clock could not be armed", cause);
      }),
  );
}
