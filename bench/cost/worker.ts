import { AsyncLocalStorage } from "node:async_hooks";
import gateway, {
  ClockObject as Clock,
  DirectoryObject as Directory,
  IdempotencyObject as Idempotency,
  JournalObject as Journal,
  KeyObject as Key,
  OrganizationObject as Organization,
  SessionObject as Session,
} from "../../src/worker.ts";

/**
 * The unchanged gateway, with counters of the units that Cloudflare bills: `GET /__counts` returns and resets them. SQLite
 * itself reports the rows read and written, with those of indexes, as the bill does.
 */
const counts = new Map<string, number>();
const count = (what: string, by = 1): void => void counts.set(what, (counts.get(what) ?? 0) + by);

/** The object whose method is running. */
const running = new AsyncLocalStorage<object>();

type Constructor<T> = new (ctx: DurableObjectState, env: Cloudflare.Env) => T;

function countCalls<T extends object>(Class: Constructor<T>, name: string): Constructor<T> {
  const CountingObject = class extends (Class as Constructor<object>) {
    constructor(ctx: DurableObjectState, env: Cloudflare.Env) {
      count(`${name}: woken`);
      countStorage(ctx, name);
      super(ctx, wrapEnv(env));
    }
  };
  const methods = Object.getOwnPropertyDescriptors(Class.prototype) as Record<string, PropertyDescriptor>;
  for (const [method, { value }] of Object.entries(methods)) {
    if (method === "constructor" || typeof value !== "function") continue;
    Object.defineProperty(CountingObject.prototype, method, {
      value(this: object, ...args: unknown[]): unknown {
        const run = (): unknown => Reflect.apply(value as (...all: unknown[]) => unknown, this, args);
        // A call from a method of the same object is not a request.
        if (running.getStore() === this) return run();
        count(`${name}: ${method === "alarm" ? "alarms" : `requests (${method})`}`);
        return running.run(this, run);
      },
    });
  }
  return CountingObject as unknown as Constructor<T>;
}

/** Counts the rows and alarms of one object by wrapping its storage. */
function countStorage({ storage }: DurableObjectState, name: string): void {
  const { sql } = storage;
  const exec = sql.exec.bind(sql);
  const setAlarm = storage.setAlarm.bind(storage);
  Object.defineProperty(sql, "exec", {
    value: (query: string, ...bindings: unknown[]) => {
      const cursor = exec(query, ...bindings);
      const toArray = cursor.toArray.bind(cursor);
      Object.defineProperty(cursor, "toArray", {
        value: () => {
          const rows = toArray();
          count(`${name}: rows read`, cursor.rowsRead);
          count(`${name}: rows written`, cursor.rowsWritten);
          return rows;
        },
      });
      return cursor;
    },
  });
  Object.defineProperty(storage, "setAlarm", {
    value: (...args: Parameters<typeof setAlarm>) => {
      // Billed as a row written.
      count(`${name}: alarms set`);
      return setAlarm(...args);
    },
  });
}

function wrapEnv(env: Cloudflare.Env): Cloudflare.Env {
  const queue: Pick<Queue<string>, "send"> = {
    send: (message, options) => {
      count("queue: messages");
      count("queue: bytes", message.length);
      return (env.RECORDS as Queue<string>).send(message, options);
    },
  };
  return new Proxy(env, {
    get: (all, name) => (name === "RECORDS" ? queue : name === "DB" ? wrapDb(env.DB) : Reflect.get(all, name)),
  });
}

function wrapDb(db: D1Database): D1Database {
  return new Proxy(db, {
    get: (of, name) => {
      const value: unknown = Reflect.get(of, name);
      if (typeof value !== "function") return value;
      if (name !== "batch") return value.bind(of) as unknown;
      return async (statements: D1PreparedStatement[]) => {
        const start = Date.now();
        const results = await of.batch(statements);
        count("D1: milliseconds", Date.now() - start);
        for (const { meta } of results) {
          count("D1: rows written", meta.rows_written);
          count("D1: rows read", meta.rows_read);
        }
        count("D1: batches");
        return results;
      };
    },
  });
}

export const SessionObject = countCalls(Session as unknown as Constructor<Session>, "session");
export const JournalObject = countCalls(Journal as unknown as Constructor<Journal>, "journal");
export const KeyObject = countCalls(Key as unknown as Constructor<Key>, "key");
export const OrganizationObject = countCalls(Organization as unknown as Constructor<Organization>, "organisation");
export const IdempotencyObject = countCalls(Idempotency as unknown as Constructor<Idempotency>, "idempotency");
export const DirectoryObject = countCalls(Directory as unknown as Constructor<Directory>, "directory");
export const ClockObject = countCalls(Clock as unknown as Constructor<Clock>, "clock");

export default {
  async fetch(request, env, ctx) {
    if (new URL(request.url).pathname !== "/__counts") return await gateway.fetch(request, wrapEnv(env), ctx);
    const totals = Object.fromEntries([...counts].toSorted(([a], [b]) => (a < b ? -1 : 1)));
    counts.clear();
    return Response.json(totals);
  },
  async queue(batch, env, ctx) {
    count("queue: batches");
    await (gateway.queue as (...all: unknown[]) => Promise<void>)(batch, wrapEnv(env), ctx);
  },
} satisfies ExportedHandler<Cloudflare.Env>;
