import type { RecordsVia } from "../routing/config.ts";
import { applyRecords, type RecordServices } from "../store/apply-records.ts";
import { deliverRows, type PendingRow, type RecordDelivery } from "../store/outbox-sender.ts";
import type { StoredRecord } from "../store/records.ts";
import { Batcher } from "../wire/batcher.ts";
import { settleRecords } from "./key-stubs.ts";
import { getIsolateRouter } from "./router.ts";

/**
 * How long the outboxes of an isolate gather records, which are durable meanwhile, before they deliver them. Directly they
 * write to D1, which takes many at once for little more than one; the queue gathers by itself. Milliseconds.
 */
const GATHER_MS: Record<RecordsVia, number> = { direct: 1_000, queue: 25 };

/** Delivers records as `records.via` of the configuration says. */
export const recordDeliveryFor = (env: Cloudflare.Env): RecordDelivery => ({
  get gatherMs() {
    return GATHER_MS[recordsVia(env)];
  },
  deliver: (list) =>
    recordsVia(env) === "queue"
      ? env.RECORDS.send(list, { contentType: "text" })
      : applyRecords(JSON.parse(list) as StoredRecord[], recordServices(env)),
});

/** Outbox rows of all objects in this isolate: they leave together. */
export const OUTBOX_ROWS = new Batcher<PendingRow>();

/**
 * D1 for a reader: the records that wait in this isolate are delivered first, so that a client finds what it just made.
 * Those of other isolates and of the queue may be on their way.
 */
export async function openRecords(env: Cloudflare.Env): Promise<D1Database> {
  try {
    await deliverRows(OUTBOX_ROWS.takeAll(), recordDeliveryFor(env), Date.now);
  } catch (cause) {
    // They stay in their objects' outboxes, whose alarms deliver them again.
    console.error("waiting records could not be delivered", cause);
  }
  return env.DB;
}

/** `records.via`, or what the deployment is made for: a local runtime sets `RHONE_RECORDS_VIA`. */
export const recordsVia = (env: Cloudflare.Env): RecordsVia =>
  getIsolateRouter(env).config.records.via ?? (env.RHONE_RECORDS_VIA === "direct" ? "direct" : "queue");

export const recordServices = (env: Cloudflare.Env): RecordServices => ({
  sources: { d1: env.DB, bucket: env.BLOBS },
  settle: (records) => settleRecords(env, records),
});
