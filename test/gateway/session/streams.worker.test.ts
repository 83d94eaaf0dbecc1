import { evictDurableObject, runDurableObjectAlarm, runInDurableObject } from "cloudflare:test";
import { describe, expect, it, vi } from "vitest";
import { STREAM_RETENTION_MS } from "../../../src/session/stream/event-buffer.ts";
import { isCounted } from "../../../src/session/stream/segments.ts";
import { concatBytes, decodeUtf8, encodeUtf8 } from "../../../src/wire/bytes.ts";
import { decodeSse, type SseEvent } from "../../../src/wire/sse.ts";
import type { SessionObject } from "../../../src/worker.ts";
import { get, objectOf, post, request, user } from "../../support/worker/client.ts";

const text = "Tell me something.";
const asked = { role: "user", content: text };

/** How each surface asks for a stream of this model. */
const SURFACES = {
  chat: (model: string) => post({ model, stream: true, messages: [asked] }),
  responses: (model: string) => send("/v1/responses", { model, stream: true, input: text }),
  messages: (model: string) => send("/v1/messages", { model, stream: true, max_tokens: 100, messages: [asked] }),
  gemini: (model: string) =>
    send(`/v1beta/models/${model}:streamGenerateContent?alt=sse`, { contents: [{ role: "user", parts: [{ text }] }] }),
  native: (model: string) => send("/v1/calls", { model, stream: true, input: text }),
};
type Surface = keyof typeof SURFACES;

const send = (path: string, body: unknown, headers: Record<string, string> = {}): Promise<Response> =>
  request(path, {
    method: "POST",
    body: JSON.stringify(body),
    headers: { "content-type": "application/json", "anthropic-version": "2023-06-01", ...headers },
  });

const resume = (call: string, after?: number | string, headers: Record<string, string> = {}): Promise<Response> =>
  request(`/v1/calls/${call}:stream${after === undefined ? "" : `?after=${after}`}`, { headers });

const callOf = (response: Response): string => response.headers.get("x-rhone-call-id")!;
const blocksIn = (told: string): SseEvent[] => decodeSse(encodeUtf8(told));
const counted = (told: string): number => blocksIn(told).filter(isCounted).length;

/** What follows a stream's event of that number. */
function restAfter(told: string, after: number): string {
  const blocks = blocksIn(told);
  let left = after;
  const from = after === 0 ? 0 : blocks.findIndex((block) => isCounted(block) && --left === 0) + 1;
  return decodeUtf8(concatBytes(blocks.slice(from).map(({ raw }) => raw)));
}

const PROVIDERS = ["fake", "fakeresp", "fakeanth", "fakegem"];
const every = (Object.keys(SURFACES) as Surface[]).flatMap((surface) =>
  PROVIDERS.map((provider): [Surface, string] => [surface, provider]),
);

describe("a stream that was lost", () => {
  it.each(every)(
    "a lost stream is sent again from any event on, byte for byte: %s of %s",
    async (surface, provider) => {
      const response = await SURFACES[surface](`${provider}/think`);
      const whole = await response.text();
      expect(response.status, whole).toBe(200);
      expect(counted(whole)).toBeGreaterThan(1);
      for (let after = 0; after <= counted(whole); after++) {
        const rest = await resume(callOf(response), after);
        expect([rest.status, await rest.text()]).toEqual([200, restAfter(whole, after)]);
      }
      expect(await (await resume(callOf(response))).text()).toBe(whole);
      await evictDurableObject(objectOf(callOf(response)));
      expect(await (await resume(callOf(response), 1)).text()).toBe(restAfter(whole, 1));
    },
  );

  it.each(["fake/slow", "demo"])("a lost stream can be followed while it runs: %s", async (model) => {
    const response = await post({ model, stream: true, messages: [asked] });
    const reader = response.body!.getReader();
    const first = new TextDecoder().decode((await reader.read()).value);
    await reader.cancel();
    const had = counted(first);
    const rest = await (await resume(callOf(response), undefined, { "last-event-id": String(had) })).text();
    const whole = await (await resume(callOf(response))).text();
    expect(first + rest).toBe(whole);
    expect(whole).toContain("[DONE]");
  });

  it("a client that reads slowly delays neither its provider nor the session's next call, and loses no byte", async () => {
    const response = await post({ model: "fake/long-6000", stream: true, messages: [asked] });
    const reader = response.body!.getReader();
    const read = [(await reader.read()).value!];
    const session_id = response.headers.get("x-rhone-session-id")!;
    await vi.waitFor(async () => expect((await get(`/v1/calls/${callOf(response)}`)).status).toBe("completed"), 5_000);
    const next = await post({ model: "fake/say", messages: [asked], rhone: { session_id } });
    expect([next.status, (await get(`/v1/sessions/${session_id}`)).turns]).toEqual([200, 2]);
    for (let more = await reader.read(); !more.done; more = await reader.read()) read.push(more.value);
    const whole = decodeUtf8(concatBytes(read));
    expect(whole.length).toBeGreaterThan(1_000_000);
    expect((await (await resume(callOf(response))).text()) === whole).toBe(true);
  });

  it("the events of a stream have numbers where the client accepts them, and no byte changes where none may", async () => {
    const numbered = blocksIn(await (await SURFACES.chat("fake/say")).text());
    expect(numbered.map(({ id }) => id)).toEqual(numbered.map((_, i) => String(i + 1)));
    const gemini = await (await SURFACES.gemini("fakegem/think")).text();
    expect(gemini).not.toMatch(/^id:/m);
    const asIs = await post({ model: "fake/say", stream: true, messages: [asked] }, { "x-rhone-annotate": "headers" });
    const told = await asIs.text();
    expect(told).not.toMatch(/^id:|"rhone"/m);
    expect(await (await resume(callOf(asIs), 2)).text()).toBe(restAfter(told, 2));
  });

  it("a resumed stream ends with the same error as the first one", async () => {
    const cut = await post({ model: "fake/cut", stream: true, messages: [asked] });
    const told = await cut.text();
    expect(told).toContain("stream.interrupted");
    expect(await (await resume(callOf(cut), 1)).text()).toBe(restAfter(told, 1));
  });

  it.each(Object.keys(SURFACES) as Surface[])(
    "a resumed stream has what was stored, and then reports that a crash took the rest: %s",
    async (surface) => {
      const response = await SURFACES[surface]("fake/say");
      const whole = await response.text();
      const call = callOf(response);
      const stub = objectOf(call);
      /** As a crash leaves it: the call runs, and some of its stream is written. */
      const crash = async (...left: string[]): Promise<void> => {
        await runInDurableObject(stub, (_: SessionObject, { storage }) => {
          const queries = [
            "UPDATE calls SET status = 'running', started = json_set(record, '$.id', id), record = NULL",
            "UPDATE streams SET ended_at = NULL",
            ...left,
          ];
          for (const query of queries) storage.sql.exec(query);
        });
        await evictDurableObject(stub);
      };
      await crash();
      expect((await get(`/v1/calls/${call}`)).status).toBe("interrupted");
      const told = await (await resume(call)).text();
      expect(told.slice(0, whole.length)).toBe(whole);
      expect(told.slice(whole.length)).toContain("the gateway was restarted during this call");
      const number = (n: number): string | undefined => (surface === "gemini" ? undefined : String(n));
      expect(blocksIn(told).at(-1)!.id).toBe(number(counted(told)));
      // A client may have heard more than was written.
      expect(await (await resume(call, counted(told) + 10)).text()).toBe(told.slice(whole.length));
      await crash("DELETE FROM events", "DELETE FROM streams");
      const [only, ...none] = blocksIn(await (await resume(call)).text());
      expect(only!.data).toContain("the gateway was restarted during this call");
      expect([only!.id, none]).toEqual([number(1), []]);
    },
  );

  it("a stream is stored for ten minutes after the reply", async () => {
    const response = await SURFACES.chat("fake/say");
    await response.text();
    const call = callOf(response);
    const stub = objectOf(call);
    const age = (ms: number): Promise<void> =>
      runInDurableObject(stub, (_: SessionObject, { storage }) => {
        storage.sql.exec("UPDATE streams SET ended_at = ended_at - ?", ms);
        storage.sql.exec("UPDATE events SET written_at = written_at - ?", ms);
      });
    // The alarm writes the notice that the call has ended.
    await runDurableObjectAlarm(stub);
    await age(STREAM_RETENTION_MS - 60_000);
    await runDurableObjectAlarm(stub);
    expect((await resume(call, 1)).status).toBe(200);
    await age(60_000);
    await runDurableObjectAlarm(stub);
    const late = await resume(call, 1);
    expect([late.status, (await late.json<{ error: object }>()).error]).toMatchObject([
      404,
      { code: "object.not_found", message: expect.stringContaining("ten minutes") },
    ]);
    await runInDurableObject(stub, (_: SessionObject, { storage }) => {
      expect(storage.sql.exec("SELECT count(*) AS n FROM events").one()).toEqual({ n: 0 });
    });
  });
});

describe("a wrong resume", () => {
  it("the refusal of a wrong resume names what is wrong", async () => {
    const response = await SURFACES.chat("fake/say");
    const events = counted(await response.text());
    const call = callOf(response);
    const refused = async (answer: Response): Promise<unknown[]> => {
      const { error } = await answer.json<{ error: { code: string; details: { param?: string } } }>();
      return [answer.status, error.code, error.details.param];
    };
    for (const bad of ["-1", "x", "1.5", "99999999999999999999"])
      expect(await refused(await resume(call, bad))).toEqual([400, "request.invalid", "after"]);
    expect(await refused(await resume(call, events + 1))).toEqual([400, "request.invalid", "after"]);
    expect(await refused(await resume(call, 0, { "last-event-id": "x" }))).toEqual([
      400,
      "request.invalid",
      "last-event-id",
    ]);
    const flipped = call.slice(0, 10) + (call[10] === "0" ? "1" : "0") + call.slice(11);
    for (const none of ["call_x", flipped, call.slice(0, -1)])
      expect(await refused(await resume(none, 0))).toEqual([404, "object.not_found", undefined]);
    const whole = await post({ model: "fake/say", messages: [asked] });
    await whole.text();
    expect(await refused(await resume(callOf(whole), 0))).toEqual([400, "request.invalid", "id"]);
    const foreign = await objectOf(call).stream("org_other", call, 0);
    expect(foreign.status).toBe(404);
  });
});

describe("a call that is cancelled", () => {
  it("a cancelled call stops, reports this to its client, and is stored outside of the head", async () => {
    const response = await post({ model: "fake/slow", stream: true, messages: [asked] });
    const reader = response.body!.getReader();
    const decoder = new TextDecoder();
    let told = decoder.decode((await reader.read()).value);
    const call = callOf(response);
    const cancelled = await request(`/v1/calls/${call}:cancel`, { method: "POST" });
    expect([cancelled.status, await cancelled.json()]).toMatchObject([200, { id: call, status: "interrupted" }]);
    for (let read = await reader.read(); !read.done; read = await reader.read()) told += decoder.decode(read.value);
    expect(told).toContain("the call was cancelled");
    expect(told).not.toContain("[DONE]");
    expect(await (await resume(call)).text()).toBe(told);
    const session = response.headers.get("x-rhone-session-id")!;
    expect(await get(`/v1/sessions/${session}`)).toMatchObject({ turns: 0, head: null });
    const again = await request(`/v1/calls/${call}:cancel`, { method: "POST" });
    expect([again.status, await again.json()]).toMatchObject([200, { status: "interrupted" }]);
    expect((await request("/v1/calls/call_x:cancel", { method: "POST" })).status).toBe(404);
  });

  it.each(["complete", "cancel"])(
    "a call whose client leaves ends as `on_disconnect` says: %s",
    async (on_disconnect) => {
      const response = await post({
        model: "fake/slow",
        stream: true,
        messages: [user("x")],
        rhone: { on_disconnect },
      });
      const reader = response.body!.getReader();
      await reader.read();
      await reader.cancel();
      const call = callOf(response);
      await vi.waitFor(async () => expect((await get(`/v1/calls/${call}`)).status).not.toBe("running"), {
        timeout: 5_000,
      });
      const status = on_disconnect === "complete" ? "completed" : "interrupted";
      expect((await get(`/v1/calls/${call}`)).status).toBe(status);
      const told = await (await resume(call)).text();
      expect(told.includes("[DONE]")).toBe(on_disconnect === "complete");
      const session = response.headers.get("x-rhone-session-id")!;
      expect(await get(`/v1/sessions/${session}`)).toMatchObject({ turns: on_disconnect === "complete" ? 1 : 0 });
    },
  );
});

describe("a stateless stream", () => {
  const stateless = (model: string): Promise<Response> =>
    post({ model, stream: true, messages: [asked], rhone: { context_mode: "stateless" } });

  it.each(["fake/say", "fakeanth/think", "fake/cut", "fake/long-3000"])(
    "a stateless stream can be resumed after the reply: %s",
    async (model) => {
      const response = await stateless(model);
      const whole = await response.text();
      await vi.waitFor(async () => expect((await get(`/v1/calls/${callOf(response)}`)).ended_at).toBeDefined(), 5_000);
      for (const after of [0, 1, counted(whole) - 1, counted(whole)])
        expect((await (await resume(callOf(response), after)).text()) === restAfter(whole, after)).toBe(true);
    },
  );

  it.each(["fake/slow", "fakeanth/slow"])(
    "the resume of a stateless stream that still runs waits for its end: %s",
    async (model) => {
      const response = await stateless(model);
      const [told, again] = await Promise.all([response.text(), resume(callOf(response)).then((rest) => rest.text())]);
      expect(again).toBe(told);
    },
  );
});
