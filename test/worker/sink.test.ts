import { expect, it, vi } from "vitest";
import { Sink } from "../../src/gateway/sink.ts";

it("lets a client go that has stalled, and everyone who waits for it", async () => {
  vi.useFakeTimers();
  try {
    const onGone = vi.fn<() => void>();
    const sink = new Sink(onGone);
    const waiting = [sink.send(new Uint8Array(300 * 1024)), sink.ping(new Uint8Array(1)), sink.send(new Uint8Array(1))];
    await vi.advanceTimersByTimeAsync(31_000);
    await Promise.all(waiting);
    expect([sink.isGone, onGone.mock.calls.length]).toEqual([true, 1]);
    await sink.close();
  } finally {
    vi.useRealTimers();
  }
});
