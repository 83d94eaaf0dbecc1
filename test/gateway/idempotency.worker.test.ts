import { evictDurableObject, listDurableObjectIds, runDurableObjectAlarm, runInDurableObject } from "cloudflare:test";
import { env } from "cloudflare:workers";
import { describe, expect, it } from "vitest";
import { ADMIN_KEY_ID, DEFAULT_ORG } from "../../src/keys/authenticate.ts";
import { chat, errorOf, KEY, post, request, user } from "../support/worker/client.ts";

type Said = Record<string, unknown>;
type Headers = Record<string, string>;

const send = (path: string, body: unknown, headers: Headers = {}, key = KEY): Promise<Response> =>
  request(path, {
    method: "POST",
    key,
    body: JSON.stringify(body),
    headers: { "content-type": "application/json", "anthropic-version": "2023-06-01", ...headers },
  });

const messages = [user("Tell me something.")];

/** How each surface asks for an answer of this model, as a stream or whole. */
const SURFACES = {
  chat: (model: string, stream: boolean, headers: Headers) => post({ model, stream, messages }, headers),
  responses: (model: string, stream: boolean, headers: Headers) =>
    send("/v1/responses", { model, stream, input: "x" }, headers),
  messages: (model: string, stream: boolean, headers: Headers) =>
    send("/v1/messages", { model, stream, max_tokens: 100, messages }, headers),
  gemini: (model: string, stream: boolean, headers: Headers) =>
    send(
      `/v1beta/models/${model}:${stream ? "streamGenerateContent?alt=sse" : "generateContent"}`,
      { contents: [{ role: "user", parts: [{ text: "x" }] }] },
      headers,
    ),
  native: (model: string, stream: boolean, headers: Headers) =>
    send("/v1/calls", { model, stream, input: "x" }, headers),
};
type Surface = keyof typeof SURFACES;
const every = (Object.keys(SURFACES) as Surface[]).flatMap((surface) => [
  { surface, stream: false, mode: "stateful" },
  { surface, stream: true, mode: "stateful" },
  { surface, stream: true, mode: "stateless" },
]);

let keys = 0;
const fresh = (more: Headers = {}): Headers => ({ "idempotency-key": `key ${++keys}`, ...more });

/** How often the provider was asked for a model. */
async function triesOf(model: string): Promise<number> {
  const tried = await fetch(`http://fake.test/v1/log?model=${model}`);
  return (await tried.json<unknown[]>()).length;
}

const replayed = (response: Response): string | null => response.headers.get("idempotency-replayed");
const idOf = (response: Response): string | null => response.headers.get("x-rhone-call-id");
const objectOf = (headers: Headers) =>
  env.IDEMPOTENCY.get(
    env.IDEMPOTENCY.idFromName(JSON.stringify([DEFAULT_ORG, ADMIN_KEY_ID, "", headers["idempotency-key"]])),
  );

describe("requests with the same idempotency key and body", () => {
  it.each(every)(
    "requests with the same key and body get the first answer, byte for byte: $surface, stream $stream, $mode",
    async (asked) => {
      const { surface, stream, mode } = asked;
      const model = `fault-none.once-${surface}-${stream}-${mode}`;
      const headers = fresh({ "x-rhone-context-mode": mode });
      const ask = () => SURFACES[surface](`fake/${model}`, stream, headers);
      const both = await Promise.all([ask(), ask()]);
      const [told, joined] = await Promise.all(both.map((response) => response.text()));
      expect([both[0].status, told], told).toEqual([200, joined]);
      expect(told).toContain("Said fault");
      expect(new Set(both.map(replayed))).toEqual(new Set([null, "true"]));
      await evictDurableObject(objectOf(headers));
      const later = await ask();
      expect([later.status, replayed(later), await later.text()]).toEqual([200, "true", told]);
      expect([idOf(later), later.headers.get("content-type")]).toEqual([
        idOf(both[0]),
        both[0].headers.get("content-type"),
      ]);
      expect(await triesOf(model)).toBe(1);
    },
  );

  it("a repeated request follows a running stream from its start", async () => {
    const headers = fresh();
    const first = await SURFACES.chat("fake/slow", true, headers);
    const reader = first.body!.getReader();
    let told = new TextDecoder().decode((await reader.read()).value);
    const joined = await SURFACES.chat("fake/slow", true, headers);
    for (let next = await reader.read(); !next.done; next = await reader.read())
      told += new TextDecoder().decode(next.value);
    expect([replayed(joined), idOf(joined), await joined.text()]).toEqual(["true", idOf(first), told]);
    expect(told).toContain("[DONE]");
  });

  it.each(["stateful", "stateless"])(
    "a repeated request gets all of an answer whose first client left: %s",
    async (mode) => {
      const headers = fresh({ "x-rhone-context-mode": mode });
      const first = await SURFACES.chat("fake/slow", true, headers);
      await first.body!.cancel();
      const again = await SURFACES.chat("fake/slow", true, headers);
      expect(idOf(again)).toBe(idOf(first));
      expect(await again.text()).toContain("[DONE]");
    },
  );

  it("repeated requests make one turn of a session", async () => {
    const { rhone } = await chat({ messages: [user("one")] });
    const body = { model: "demo", messages: [user("two")], rhone: { session_id: rhone.session_id } };
    const headers = fresh();
    const [a, b] = await Promise.all([post(body, headers), post(body, headers)]);
    expect(await a.json()).toEqual(await b.json());
    await (await post(body, headers)).text();
    const calls = await (await request(`/v1/sessions/${rhone.session_id}/calls`)).json<{ data: unknown[] }>();
    expect(calls.data).toHaveLength(2);
  });

  it("an idempotency key is separate for each API key and organisation, and is refused on another path", async () => {
    const headers = fresh();
    const body = { model: "demo", messages };
    const first = await post(body, headers);
    const made = await send("/v1/keys", { name: "other", ttl_s: 600, scopes: ["inference"] });
    const { secret } = await made.json<{ secret: string }>();
    const other = await send("/v1/chat/completions", body, headers, secret);
    expect([other.status, replayed(other)]).toEqual([200, null]);
    expect(idOf(other)).not.toBe(idOf(first));
    const { id } = await (await send("/v1/organizations", { name: "elsewhere" })).json<{ id: string }>();
    const elsewhere = await post(body, { ...headers, "x-rhone-organization": id });
    expect([elsewhere.status, replayed(elsewhere)]).toEqual([200, null]);
    expect((await send("/v1/calls", { model: "demo", input: "x" }, headers)).status).toBe(409);
  });

  it("repeated requests with a form are the same although their boundaries differ", async () => {
    const form = (): FormData => {
      const made = new FormData();
      made.set("model", "oai/whisper");
      made.set("file", new Blob(["sound"], { type: "audio/wav" }), "a.wav");
      return made;
    };
    const headers = fresh();
    const ask = () => request("/v1/audio/transcriptions", { method: "POST", body: form(), headers });
    const first = await ask();
    const told = await first.text();
    const again = await ask();
    expect([first.status, again.status, replayed(again), await again.text()]).toEqual([200, 200, "true", told]);
  });

  it("a repeated request gets an answer of any length", async () => {
    const headers = fresh();
    const body = { model: "fake/mirror", messages: [user("long ".repeat(400_000))] };
    const told = await Promise.all([post(body, headers), post(body, headers)].map(async (one) => (await one).text()));
    await evictDurableObject(objectOf(headers));
    const later = await (await post(body, headers)).text();
    expect([told[0]!.length > 2_000_000, told[1] === told[0], later === told[0]]).toEqual([true, true, true]);
  });

  it("repeated requests make one session, and not two", async () => {
    const headers = fresh();
    const made = await Promise.all([send("/v1/sessions", {}, headers), send("/v1/sessions", {}, headers)]);
    const [a, b] = await Promise.all(made.map((response) => response.json<{ id: string }>()));
    expect([made[0].status, a!.id]).toEqual([made[1].status, b!.id]);
  });
});

describe("a first answer that failed", () => {
  it.each(["500-once", "429-bare"])("a first answer that failed is not repeated: %s", async (fault) => {
    const headers = fresh();
    const body = { model: `fake/fault-${fault}.once`, messages, rhone: { routing: { retries: { max: 0 } } } };
    const failed = await post(body, headers);
    await failed.text();
    expect(failed.status).toBeGreaterThan(428);
    const again = await post(body, headers);
    expect([again.status, replayed(again)]).toEqual([200, null]);
  });

  it.each(["stateful", "stateless"])(
    "a first answer that broke in the middle of its %s stream is not repeated",
    async (mode) => {
      const model = `fault-cut.once-${mode}`;
      const headers = fresh({ "x-rhone-context-mode": mode });
      const ask = () => SURFACES.chat(`fake/${model}`, true, headers);
      expect(await (await ask()).text()).toContain('"error"');
      const again = await ask();
      expect(replayed(again)).toBeNull();
      await again.text();
      expect(await triesOf(model)).toBe(2);
    },
  );

  it("a first answer whose object died is not repeated", async () => {
    const headers = fresh();
    const ask = () => SURFACES.chat("fake/slow", true, headers);
    const first = await ask();
    await runInDurableObject(objectOf(headers), (_, state) => state.abort("crash")).catch(() => {});
    await expect(first.text()).rejects.toThrow("crash");
    const again = await ask();
    expect(replayed(again)).toBeNull();
    expect(await again.text()).toContain("[DONE]");
  });

  it("the refusal of a wrong request is repeated", async () => {
    const headers = fresh();
    const wrong = { model: "demo", messages: "none" };
    expect((await post(wrong, headers)).status).toBe(400);
    const again = await post(wrong, headers);
    expect([again.status, replayed(again)]).toEqual([400, "true"]);
  });
});

describe("an idempotency key", () => {
  it.each(Object.keys(SURFACES) as Surface[])(
    "an idempotency key with another body is refused in the surface's shape: %s",
    async (surface) => {
      const headers = fresh();
      await (await SURFACES[surface]("demo", false, headers)).text();
      const other = await SURFACES[surface]("fake/say", false, headers);
      const { error } = await other.json<{ error: Said }>();
      expect(other.status).toBe(409);
      expect(JSON.stringify(error)).toContain(
        "idempotency-key: expected the same request as the first one with this key",
      );
    },
  );

  it.each(["", "é", "x".repeat(256)])("an invalid idempotency key is refused by name: %j", async (key) => {
    const response = await post({ model: "demo", messages }, { "idempotency-key": key });
    expect([response.status, (await errorOf(response)).param]).toEqual([400, "idempotency-key"]);
  });

  it("the secret of a new API key is not stored for its idempotency key", async () => {
    const headers = fresh();
    const body = { name: "secret", ttl_s: 600, scopes: ["inference"] };
    const [a, b] = await Promise.all([send("/v1/keys", body, headers), send("/v1/keys", body, headers)]);
    expect(await a.json()).toEqual(await b.json());
    const again = await send("/v1/keys", body, headers);
    expect([again.status, await again.text()]).toEqual([409, expect.stringMatching(/secret, which is not stored/)]);
  });

  it("an idempotency key is free again after a day", async () => {
    const headers = fresh();
    const first = await post({ model: "demo", messages }, headers);
    await first.text();
    await runDurableObjectAlarm(objectOf(headers));
    const later = await post({ model: "fake/say", messages }, headers);
    expect([later.status, replayed(later)]).toEqual([200, null]);
  });

  it("a call without an idempotency key creates no object", async () => {
    const before = await listDurableObjectIds(env.IDEMPOTENCY);
    await chat({ messages });
    expect(await listDurableObjectIds(env.IDEMPOTENCY)).toHaveLength(before.length);
  });
});
