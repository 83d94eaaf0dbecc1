import type { RecordsVia } from "../routing/config.ts";
import { applyRecords, type RecordServices } from "../store/apply-records.ts";
import type { RecordDelivery } from "../store/outbox-sender.ts";
import type { StoredRecord } from "../store/records.ts";
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

/** `records.via`, or what the deployment is made for: a local runtime sets `RHONE_RECORDS_VIA`. */
export const recordsVia = (env: Cloudflare.Env): RecordsVia =>
  getIsolateRouter(env).config.recordsVia ?? (env.RHONE_RECORDS_VIA === "direct" ? "direct" : "queue");

export const recordServices = (env: Cloudflare.Env): RecordServices => ({
  d1: env.DB,
  settle: (records) => settleRecords(env, records),
});
