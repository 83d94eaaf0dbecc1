import type { Exchange } from "./client.ts";
import { quantile } from "./report/numbers.ts";

/** Makes the i-th call as one of the `concurrency` callers; a caller makes one call at a time. */
export type Send = (caller: number, i: number) => Promise<Exchange>;

/** `more`: additional members of every request. */
export type LoadPlan = { calls: number; concurrency: number; more?: object | undefined };

/** What a plan is run with. `sessions`: how many were started for the calls. */
export type Callers = { send: Send; close: () => void; sessions?: number };

export type LoadResult = {
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

/** Runs a closed loop: every caller makes its next call when it has the answer to the last. */
export async function load(
  send: Send,
  { concurrency, calls }: { concurrency: number; calls: number },
): Promise<LoadResult> {
  const exchanges: Exchange[] = [];
  let next = 0;
  let errors = 0;
  let error: string | undefined;
  const start = performance.now();
  const call = async (caller: number): Promise<void> => {
    while (next < calls) {
      try {
        exchanges.push(await send(caller, next++));
      } catch (failure) {
        errors++;
        error ??= String(failure);
      }
    }
  };
  await Promise.all(Array.from({ length: concurrency }, (_, caller) => call(caller)));
  const seconds = (performance.now() - start) / 1000;
  return {
    calls: exchanges.length,
    errors,
    ...(error !== undefined && { error }),
    perSecond: exchanges.length / seconds,
    total: toQuantiles(exchanges.map(({ totalMs }) => totalMs)),
    first: toQuantiles(exchanges.map(({ firstMs }) => firstMs)),
  };
}

export const toQuantiles = (values: number[]): Quantiles => ({
  p50: quantile(values, 0.5),
  p99: quantile(values, 0.99),
});
