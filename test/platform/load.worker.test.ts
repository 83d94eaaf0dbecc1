import { expect, it, vi } from "vitest";
import { Capacity } from "../../src/platform/capacity.ts";
import { readText } from "../../src/surfaces/body.ts";
import { encodeUtf8 } from "../../src/wire/bytes.ts";

const full = expect.objectContaining({ status: 503, retryAfterSeconds: 1 });

it("an isolate accepts as many calls as it can hold, and refuses others with a time to wait until there is room", () => {
  const room = new Capacity({ calls: 2, bytes: 100 });
  const first = room.enter();
  room.enter();
  expect(() => room.enter()).toThrow(full);
  first.leave();
  first.leave();
  room.enter();
  expect(() => room.enter()).toThrow(full);
});

it("an isolate's memory holds one body of any size beside small ones, and several only while they fit", () => {
  const room = new Capacity({ calls: 10, bytes: 100 });
  const [large, small, third] = [room.enter(), room.enter(), room.enter()];
  small.hold(50);
  for (let part = 0; part < 10; part++) large.hold(100);
  expect(() => small.hold(1)).toThrow(full);
  expect(() => third.hold(1)).toThrow(full);
  large.leave();
  small.hold(1);
});

it("a client that sends half of its body is not waited for", async () => {
  const body = new ReadableStream({ start: (controller) => controller.enqueue(encodeUtf8('{"model":')) });
  const request = new Request("https://gateway.test/", { method: "POST", body });
  await expect(readText(request, 20)).rejects.toMatchObject({ status: 408, param: "body" });
});

it("a client that sends a byte now and then is not waited for, and what it has sent takes its room as it comes", async () => {
  vi.useFakeTimers();
  try {
    const body = new ReadableStream({
      async pull(controller) {
        await new Promise((resolve) => setTimeout(resolve, 900));
        controller.enqueue(encodeUtf8("x"));
      },
    });
    const held: number[] = [];
    const request = new Request("https://gateway.test/", { method: "POST", body });
    const read = readText(request, 1_000, (bytes) => held.push(bytes)).catch((error: unknown) => error);
    await vi.advanceTimersByTimeAsync(11_000);
    expect(await read).toMatchObject({ status: 408, message: expect.stringContaining("too slowly") });
    expect(held.length).toBeGreaterThan(5);
  } finally {
    vi.useRealTimers();
  }
});

it("a body that breaks off is the client's error, and not the gateway's", async () => {
  const body = new ReadableStream({ pull: (controller) => controller.error(new Error("Network connection lost.")) });
  const request = new Request("https://gateway.test/", { method: "POST", body });
  await expect(readText(request)).rejects.toMatchObject({ status: 400, param: "body" });
});
