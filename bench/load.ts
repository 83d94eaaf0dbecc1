import type { Exchange } from "./client.ts";
import { quantile } from "./numbers.ts";

/** Makes the i-th call on one of the `concurrency` lanes; a lane makes one call at a time. */
export type Send = (lane: number, i: number) => Promise<Exchange>;

export type Load = {
  calls: number;
  errors: number;
  /** Of the first call that failed. */
  error?: string;
  perSecond: number;
  total: Quantiles;
  first: Quantiles;
};

/** Milliseconds. */
export type Quantiles = { p50: number; p99: number };

/** A closed loop: every lane makes its next call when it has the answer to the last. */
export async function load(send: Send, { concurrency, calls }: { concurrency: number; calls: number }): Promise<Load> {
  const exchanges: Exchange[] = [];
  let next = 0;
  let errors = 0;
  let error: string | undefined;
  const began = performance.now();
  const lane = async (at: number): Promise<void> => {
    while (next < calls) {
      try {
        exchanges.push(await send(at, next++));
      } catch (thrown) {
        errors++;
        error ??= String(thrown);
      }
    }
  };
  await Promise.all(Array.from({ length: concurrency }, (_, at) => lane(at)));
  const seconds = (performance.now() - began) / 1000;
  return {
    calls: exchanges.length,
    errors,
    ...(error !== undefined && { error }),
    perSecond: exchanges.length / seconds,
    total: quantiles(exchanges.map(({ totalMs }) => totalMs)),
    first: quantiles(exchanges.map(({ firstMs }) => firstMs)),
  };
}

const quantiles = (values: number[]): Quantiles => ({ p50: quantile(values, 0.5), p99: quantile(values, 0.99) });
