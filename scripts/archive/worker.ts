import { aggregateCalls } from "../../src/store/archive/aggregate.ts";
import { quantileOf } from "../../src/store/archive/rollup.ts";
import { type ArchiveServices, sealNext } from "../../src/store/archive/seal.ts";
import { scanRows } from "../../src/store/archive/sealed-calls.ts";
import { appendRecords } from "../../src/store/record-store.ts";
import type { CallRecord } from "../../src/store/records.ts";
import { firstId } from "../../src/wire/id.ts";
import gateway from "../../src/worker.ts";

export {
  ClockObject,
  DirectoryObject,
  IdempotencyObject,
  JournalObject,
  KeyObject,
  OrganizationObject,
  SessionObject,
} from "../../src/worker.ts";

/** The gateway, with routes that fill the record, seal it and read it. */
export default {
  async fetch(request, env, ctx) {
    const { pathname, searchParams } = new URL(request.url);
    const number = (name: string): number => Number(searchParams.get(name));
    const sources = { d1: env.DB, bucket: env.BLOBS };
    switch (pathname) {
      case "/__append": {
        const records: CallRecord[] = await request.json();
        await appendRecords(sources, records, number("now"));
        return Response.json({});
      }
      case "/__enqueue":
        await env.RECORDS.send(await request.text(), { contentType: "text" });
        return Response.json({});
      case "/__seal": {
        const config = { sliceMs: number("slice"), settleMs: 0, hotBytes: number("hot") };
        const services: ArchiveServices = { ...sources, now: () => number("now"), config };
        const hasMore = await sealNext(services);
        const { meta } = await env.DB.prepare("SELECT 1").run();
        return Response.json({ hasMore, bytes: meta.size_after });
      }
      case "/__hot":
        return Response.json(await env.DB.prepare("SELECT count(*) AS rows FROM call_records").first());
      case "/__scan": {
        const range = {
          org: searchParams.get("org")!,
          from: firstId("call", number("from")),
          before: firstId("call", number("to")),
        };
        const found = { rows: 0, cost: 0, tokens: 0, latencies: [] as number[] };
        for await (const rows of scanRows(sources, {
          ...range,
          columns: ["cost_micros_usd", "tokens_output", "latency_total_ms"],
        }))
          for (const row of rows) {
            found.rows++;
            found.cost += Number(row.cost_micros_usd);
            found.tokens += Number(row.tokens_output);
            found.latencies.push(Number(row.latency_total_ms));
          }
        return Response.json(found);
      }
      case "/__sums": {
        const range = { org: searchParams.get("org")!, from: number("from"), before: number("to"), by: [] };
        const [sums] = await aggregateCalls(sources, range);
        return Response.json({ ...sums, p95: quantileOf(sums!, 0.95) });
      }
      case "/__files": {
        const keys: string[] = [];
        for (let cursor: string | undefined; ;) {
          const list = await env.BLOBS.list({ prefix: "records/", ...(cursor && { cursor }) });
          keys.push(...list.objects.map(({ key }) => key));
          if (!list.truncated) return Response.json(keys);
          cursor = list.cursor;
        }
      }
      case "/__file":
        return new Response((await env.BLOBS.get(searchParams.get("key")!))!.body);
      default:
        return await gateway.fetch(request, env, ctx);
    }
  },
  queue: (batch, env) => gateway.queue(batch, env),
} satisfies ExportedHandler<Cloudflare.Env, string>;
