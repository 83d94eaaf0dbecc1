import { expect, it, vi } from "vitest";
import { ClientStream } from "../../../src/gateway/output/client-stream.ts";
import { createReplyOutput } from "../../../src/gateway/output/recorder.ts";
import { ResponsesSocket } from "../../../src/gateway/responses/websocket.ts";

it("a client that has stalled is given up, and everything that waits for it continues", async () => {
  vi.useFakeTimers();
  try {
    const onGone = vi.fn<() => void>();
    const sink = new ClientStream(onGone);
    const waiting = [sink.send(new Uint8Array(300 * 1024)), sink.ping(new Uint8Array(1)), sink.send(new Uint8Array(1))];
    await vi.advanceTimersByTimeAsync(31_000);
    await Promise.all(waiting);
    expect([sink.isGone, onGone.mock.calls.length]).toEqual([true, 1]);
    await sink.close();
  } finally {
    vi.useRealTimers();
  }
});

it("a client that keeps up is written to, and one that has fallen behind reads on from the recorder", async () => {
  const steps: string[] = [];
  const recorder = {
    append: (bytes: Uint8Array) => steps.push(`append ${bytes.length}`),
    end: () => steps.push("end"),
    pipeTo: (client: ClientStream) => steps.push(`pipe, slow: ${client.isSlow}`),
  };
  const output = createReplyOutput(recorder, () => {});
  const reader = output.body.getReader({ mode: "byob" });
  for (const size of [1_000, 300_000, 1_001, 1_002]) await output.send(new Uint8Array(size), { blocks: 1, events: 1 });
  await output.close();
  expect(steps).toEqual(["append 1000", "append 300000", "pipe, slow: true", "append 1001", "append 1002", "end"]);
  const { value } = await reader.readAtLeast(301_000, new Uint8Array(400_000));
  expect(value?.length).toBe(301_000);
});

it("a client of OpenAI's WebSocket mode is closed when it may have read nothing of 64 MiB", async () => {
  const event = `data: {"type":"response.output_text.delta","delta":"${"x".repeat(1024 * 1024)}"}\n\n`;
  const answer = async (): Promise<{ response: Response }> => ({
    response: new Response(event.repeat(70), { headers: { "content-type": "text/event-stream" } }),
  });
  const send = vi.fn<(text: string) => void>();
  const close = vi.fn<(code: number, reason: string) => void>();
  await new ResponsesSocket({ send, close }, answer).receive('{"type":"response.create","model":"demo"}');
  expect([send.mock.calls.length, close.mock.calls]).toEqual([63, [[4008, expect.any(String)]]]);
});
