import { env } from "cloudflare:workers";
import type { RecordSources } from "../../../src/store/archive/sealed-calls.ts";

/** Whether the work is killed by the end of so many operations on D1 and R2, and has not ended before. */
export async function isKilledAfter(
  operations: number,
  work: (dying: RecordSources) => Promise<void>,
): Promise<boolean> {
  try {
    await work(dyingAfter(operations));
    return false;
  } catch (error) {
    if (`${String(error)} ${String((error as Error).cause)}`.includes("killed")) return true;
    throw error;
  }
}

/**
 * D1 and R2 that work for so many operations: what comes then is not done, or done and not reported. Operations are those that
 * write: a kill while something is read is one after the write before it.
 */
function dyingAfter(operations: number): RecordSources {
  let left = operations;
  const isTimed = new Set(["batch", "run", "put", "delete"]);
  const wrap = <T extends object>(target: T): T =>
    new Proxy(target, {
      get: (of, name) => {
        const value: unknown = Reflect.get(of, name);
        if (typeof value !== "function") return value;
        if (!isTimed.has(String(name)))
          return (...args: unknown[]) => wrapped(Reflect.apply(value, of, args) as unknown);
        return async (...args: unknown[]) => {
          left--;
          if (left < 0) throw new Error("killed");
          const result = (await Reflect.apply(value, of, args.map(unwrap))) as unknown;
          if (left === 0 && operations % 2 === 0) throw new Error("killed");
          return result;
        };
      },
    });
  const originals = new WeakMap<object, object>();
  const unwrap = (value: unknown): unknown => {
    if (Array.isArray(value)) return value.map(unwrap);
    return typeof value === "object" && value !== null ? (originals.get(value) ?? value) : value;
  };
  const wrapped = (value: unknown): unknown => {
    if (typeof value !== "object" || value === null || value instanceof Promise) return value;
    const proxy = wrap(value);
    originals.set(proxy, value);
    return proxy;
  };
  return { d1: wrap(env.DB), bucket: wrap(env.BLOBS) };
}
