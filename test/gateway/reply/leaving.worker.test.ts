import { describe, expect, it, vi } from "vitest";
import { chat, get, KEY, post, request, user } from "../../support/worker/client.ts";

type Entry = { call_id?: string; status?: string };

let calls = 0;

/** Leaves a call once its provider was asked, and gives what stands of it in its session then. */
async function leave(
  fault: string,
  { stream, ...rhone }: { stream: boolean; context_mode: string; on_disconnect?: string },
): Promise<() => Promise<string | undefined>> {
  const { session_id, call_id } = (await chat({ model: "fake/say", messages: [user("x")] })).rhone;
  const model = `fault-${fault}.left-${++calls}`;
  const client = new AbortController();
  const body = JSON.stringify({
    model: `fake/${model}`,
    stream,
    messages: [user("and?")],
    rhone: { ...rhone, session_id },
  });
  const answered = request("/v1/chat/completions", { method: "POST", key: KEY, body, signal: client.signal });
  await vi.waitFor(async () => {
    const log: unknown[] = await (await fetch(`http://fake.test/v1/log?model=${model}`)).json();
    expect(log).toHaveLength(1);
  });
  client.abort();
  await expect(answered).rejects.toBeDefined();
  return async () => {
    const { data } = (await get(`/v1/sessions/${session_id}/timeline`)) as { data: Entry[] };
    return data.find((entry) => entry.call_id !== undefined && entry.call_id !== call_id)?.status;
  };
}

describe.each([
  ["stateful", true],
  ["stateful", false],
  ["stateless", true],
  ["stateless", false],
])("a client that leaves before its %s call is answered (streamed: %s)", (context_mode, stream) => {
  it("a call whose client leaves before the answer is cancelled if `on_disconnect` is cancel", async () => {
    const status = await leave("blackhole", { context_mode, stream, on_disconnect: "cancel" });
    await vi.waitFor(async () => expect(await status()).toBe("interrupted"), 4_000);
  });

  it("a call whose client leaves before the answer is completed by default", async () => {
    const status = await leave("slow-first", { context_mode, stream });
    await vi.waitFor(async () => expect(await status()).toBe("completed"), 4_000);
  });
});

describe.each(["stateful", "stateless"])("a client that leaves in the middle of a %s stream", (context_mode) => {
  it.each([
    ["cancel", "interrupted"],
    ["complete", "completed"],
  ])("a stream whose client leaves in its middle ends as `on_disconnect` says: %s", async (on_disconnect, status) => {
    const rhone = { context_mode, on_disconnect };
    const response = await post({ model: "fake/slow", stream: true, messages: [user("x")], rhone });
    const reader = response.body!.getReader();
    await reader.read();
    await reader.cancel();
    const id = response.headers.get("x-rhone-call-id");
    await vi.waitFor(async () => expect((await get(`/v1/calls/${id}`)).status).toBe(status), 4_000);
  });

  it("a client that leaves is distinguished from a provider that breaks off", async () => {
    const rhone = { context_mode, on_disconnect: "cancel" };
    const response = await post({ model: "fake/reset", stream: true, messages: [user("x")], rhone });
    expect(await response.text()).not.toContain("left");
    const id = response.headers.get("x-rhone-call-id");
    await vi.waitFor(async () => expect((await get(`/v1/calls/${id}`)).status).toBe("incomplete"), 4_000);
  });
});
