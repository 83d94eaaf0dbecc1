import { expect, it } from "vitest";
import { readText } from "../../src/http/body.ts";
import { Room } from "../../src/http/load.ts";
import { encodeUtf8 } from "../../src/wire/bytes.ts";

const full = expect.objectContaining({ status: 503, retryAfterSeconds: 1 });

it("an isolate takes as many calls as it can hold, tells the others when to come, and takes them when there is room", () => {
  const room = new Room({ calls: 2, bytes: 100 });
  const first = room.enter();
  room.enter();
  expect(() => room.enter()).toThrow(full);
  first.leave();
  first.leave();
  room.enter();
  expect(() => room.enter()).toThrow(full);
});

it("so does its memory: one body of any size, several only while they fit", () => {
  const room = new Room({ calls: 10, bytes: 100 });
  const large = room.enter();
  const small = room.enter();
  large.hold(1_000);
  expect(() => small.hold(1)).toThrow(full);
  large.leave();
  small.hold(1);
});

it("a client that sends half of its body is not waited for", async () => {
  const body = new ReadableStream({ start: (controller) => controller.enqueue(encodeUtf8('{"model":')) });
  const request = new Request("https://gateway.test/", { method: "POST", body });
  await expect(readText(request, 20)).rejects.toMatchObject({ status: 408, param: "body" });
});
