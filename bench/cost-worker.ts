import { AsyncLocalStorage } from "node:async_hooks";
import gateway, {
  DirectoryObject as Directory,
  IdempotencyObject as Idempotency,
  JournalObject as Journal,
  KeyObject as Key,
  OrganizationObject as Organization,
  SessionObject as Session,
} from "../src/worker.ts";

/**
 * The gateway as it is, with a count of what Cloudflare charges for: `GET /__counts` says what was counted and begins
 * anew. The real SQLite says how many rows it has read and written, index rows included, as the bill does.
 */
const counts = new Map<string, number>();
const count = (what: string, by = 1): void => void counts.set(what, (counts.get(what) ?? 0) + by);

/** The object in one of whose methods the code is. */
const inside = new AsyncLocalStorage<object>();

type Made<T> = new (ctx: DurableObjectState, env: Cloudflare.Env) => T;

function counted<T extends object>(Class: Made<T>, name: string): Made<T> {
  const Counted = class extends (Class as Made<object>) {
    constructor(ctx: DurableObjectState, env: Cloudflare.Env) {
      count(`${name}: woken`);
      countStorage(ctx, name);
      super(ctx, countedEnv(env));
    }
  };
  const methods = Object.getOwnPropertyDescriptors(Class.prototype) as Record<string, PropertyDescriptor>;
  for (const [method, { value }] of Object.entries(methods)) {
    if (method === "constructor" || typeof value !== "function") continue;
    Object.defineProperty(Counted.prototype, method, {
      value(this: object, ...args: unknown[]): unknown {
        const run = (): unknown => Reflect.apply(value as (...all: unknown[]) => unknown, this, args);
        // What one of its own methods asks is no request.
        if (inside.getStore() === this) return run();
        count(`${name}: ${method === "alarm" ? "alarms" : `requests (${method})`}`);
        return inside.run(this, run);
      },
    });
  }
  return Counted as unknown as Made<T>;
}

/** Of one object: its storage is its own, and so is what is laid over it. */
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
      // Each is a row written.
      count(`${name}: alarms set`);
      return setAlarm(...args);
    },
  });
}

function countedEnv(env: Cloudflare.Env): Cloudflare.Env {
  const queue: Pick<Queue<string>, "send"> = {
    send: (message, options) => {
      count("queue: messages");
      count("queue: bytes", message.length);
      return (env.RECORDS as Queue<string>).send(message, options);
    },
  };
  return new Proxy(env, {
    get: (all, name) => (name === "RECORDS" ? queue : name === "DB" ? countedDb(env.DB) : Reflect.get(all, name)),
  });
}

function countedDb(db: D1Database): D1Database {
  return new Proxy(db, {
    get: (of, name) => {
      const value: unknown = Reflect.get(of, name);
      if (typeof value !== "function") return value;
      if (name !== "batch") return value.bind(of) as unknown;
      return async (statements: D1PreparedStatement[]) => {
        const began = Date.now();
        const results = await of.batch(statements);
        count("D1: milliseconds", Date.now() - began);
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

export const SessionObject = counted(Session as unknown as Made<Session>, "session");
export const JournalObject = counted(Journal as unknown as Made<Journal>, "journal");
export const KeyObject = counted(Key as unknown as Made<Key>, "key");
export const OrganizationObject = counted(Organization as unknown as Made<Organization>, "organisation");
export const IdempotencyObject = counted(Idempotency as unknown as Made<Idempotency>, "idempotency");
export const DirectoryObject = counted(Directory as unknown as Made<Directory>, "directory");

export default {
  async fetch(request, env, ctx) {
    if (new URL(request.url).pathname !== "/__counts") return await gateway.fetch(request, countedEnv(env), ctx);
    const said = Object.fromEntries([...counts].toSorted(([a], [b]) => (a < b ? -1 : 1)));
    counts.clear();
    return Response.json(said);
  },
  async queue(batch, env, ctx) {
    count("queue: batches");
    await (gateway.queue as (...all: unknown[]) => Promise<void>)(batch, countedEnv(env), ctx);
  },
} satisfies ExportedHandler<Cloudflare.Env>;
