import { env } from "cloudflare:workers";
import { eq } from "drizzle-orm";
import { drizzle } from "drizzle-orm/d1";
import { describe, expect, it, vi } from "vitest";
import { auditEvents } from "../../src/store/schema.ts";
import { KEY, request } from "../support/worker/client.ts";

type Said = Record<string, unknown>;
type Made = { id: string; secret: string } & Said;

const send = async (method: string, path: string, body?: unknown, key = KEY, headers = {}): Promise<Response> =>
  request(path, {
    method,
    key,
    headers: { "content-type": "application/json", ...headers },
    ...(body !== undefined && { body: JSON.stringify(body) }),
  });

async function made(policy: Said = {}, key = KEY): Promise<Made> {
  const response = await send("POST", "/v1/keys", { name: "test", ttl_s: 3600, ...policy }, key);
  const text = await response.text();
  expect(response.status, text).toBe(201);
  return JSON.parse(text) as Made;
}

const chat = (key: string, body: Said = {}, headers = {}): Promise<Response> =>
  send(
    "POST",
    "/v1/chat/completions",
    { model: "demo", messages: [{ role: "user", content: "x" }], ...body },
    key,
    headers,
  );

const codeOf = async (response: Response): Promise<unknown> => (await errorOf(response)).code;

async function errorOf(response: Response): Promise<Said> {
  const { error }: { error: Said } = await response.json();
  return error;
}

describe("a key", () => {
  it("a key is made, used, read, changed, rotated and revoked", async () => {
    const key = await made({ name: "team a", metadata: { team: "a" } });
    expect(key.secret).toMatch(/^rhone_sk_[0-9a-hjkmnp-tv-z]{52}[A-Za-z0-9_-]{43}$/);
    const used = await chat(key.secret);
    expect(used.status).toBe(200);
    const { rhone } = (await used.json()) as { rhone: { call_id: string } };
    expect(await (await send("GET", `/v1/calls/${rhone.call_id}`)).json()).toMatchObject({ key_id: key.id });
    const read = (await (await send("GET", `/v1/keys/${key.id}`)).json()) as Said;
    expect(read).toMatchObject({ id: key.id, name: "team a", status: "active", organization: "org_default" });
    expect(JSON.stringify(read)).not.toContain(key.secret);
    const changed = await send("PATCH", `/v1/keys/${key.id}`, { name: "team b" });
    expect(await changed.json()).toMatchObject({ name: "team b", metadata: { team: "a" } });
    const rotated = (await (await send("POST", `/v1/keys/${key.id}:rotate`, { grace_s: 60 })).json()) as Made;
    expect(rotated.secret).not.toBe(key.secret);
    expect((await chat(rotated.secret)).status).toBe(200);
    expect((await chat(key.secret)).status).toBe(200);
    const again = (await (await send("POST", `/v1/keys/${key.id}:rotate`)).json()) as Made;
    // What was answered for before may still count, for four seconds.
    await vi.waitFor(async () => expect((await chat(rotated.secret)).status).toBe(401), {
      timeout: 6000,
      interval: 200,
    });
    const replaced = await vi.waitFor(
      async () => {
        const response = await chat(key.secret);
        expect(response.status).toBe(401);
        return response;
      },
      { timeout: 6000, interval: 200 },
    );
    expect((await errorOf(replaced)).code).toBe("auth.expired");
    expect((await send("POST", `/v1/keys/${key.id}:revoke`)).status).toBe(200);
    await vi.waitFor(async () => expect((await chat(again.secret)).status).toBe(401), { timeout: 5000, interval: 100 });
    const events = await drizzle(env.DB).select().from(auditEvents).where(eq(auditEvents.target, key.id));
    expect(events.map(({ action, actor }) => [action, actor])).toEqual([
      ["key.created", "key_admin"],
      ["key.changed", "key_admin"],
      ["key.rotated", "key_admin"],
      ["key.rotated", "key_admin"],
      ["key.revoked", "key_admin"],
    ]);
    expect(JSON.stringify(events)).not.toMatch(/rhone_sk_/);
  }, 20_000);

  it("a key is in its organisation's list, newest first, page by page", async () => {
    const { id: org } = (await (await send("POST", "/v1/organizations", { name: "Listed" })).json()) as Made;
    const inside = { "x-rhone-organization": org };
    for (const name of ["one", "two", "three"])
      expect((await send("POST", "/v1/keys", { name, ttl_s: 60 }, KEY, inside)).status).toBe(201);
    const first = (await (await send("GET", "/v1/keys?limit=2", undefined, KEY, inside)).json()) as Said;
    expect((first.data as Said[]).map(({ name }) => name)).toEqual(["three", "two"]);
    const next = await send("GET", `/v1/keys?limit=2&after=${first.last_id as string}`, undefined, KEY, inside);
    expect(await next.json()).toMatchObject({ data: [{ name: "one" }], has_more: false });
  });

  it("a key has no access to anything of another organisation", async () => {
    const { id: org } = (await (await send("POST", "/v1/organizations", { name: "Other" })).json()) as Made;
    const inside = { "x-rhone-organization": org };
    const all = ["inference", "sessions:read", "sessions:write", "keys:read", "keys:write", "organization:read"];
    const other = (await (
      await send("POST", "/v1/keys", { name: "other", ttl_s: 600, scopes: all }, KEY, inside)
    ).json()) as Made;
    const own = await made();
    const said = (await (await chat(own.secret)).json()) as { rhone: { session_id: string; call_id: string } };
    for (const [method, path] of [
      ["GET", `/v1/keys/${own.id}`],
      ["GET", `/v1/keys/${own.id}/usage`],
      ["PATCH", `/v1/keys/${own.id}`],
      ["POST", `/v1/keys/${own.id}:rotate`],
      ["POST", `/v1/keys/${own.id}:revoke`],
      ["GET", "/v1/organizations/org_default"],
      ["GET", `/v1/sessions/${said.rhone.session_id}`],
      ["GET", `/v1/calls/${said.rhone.call_id}`],
    ] as const) {
      const response = await send(method, path, method === "PATCH" ? { name: "mine" } : undefined, other.secret);
      expect([path, response.status]).toEqual([path, 404]);
    }
    const acting = await send("GET", "/v1/keys", undefined, other.secret, { "x-rhone-organization": "org_default" });
    expect(acting.status).toBe(404);
  });

  it("a key makes no key that may do more than itself", async () => {
    const maker = await made({
      scopes: ["inference", "keys:write", "keys:read"],
      allowed_models: ["demo"],
      allowed_surfaces: ["chat"],
      limits: { requests_per_minute: 10 },
    });
    const child = await made({ scopes: ["inference"], ttl_s: 600 }, maker.secret);
    expect(child).toMatchObject({
      allowed_models: ["demo"],
      allowed_surfaces: ["chat"],
      limits: { requests_per_minute: 10 },
      created_by: maker.id,
    });
    for (const [policy, field] of [
      [{ scopes: ["sessions:read"] }, "scopes[0]"],
      [{ scopes: ["inference"], allowed_models: ["fake/say"] }, "allowed_models"],
      [{ scopes: ["inference"], allowed_surfaces: ["messages"] }, "allowed_surfaces"],
      [{ scopes: ["inference"], limits: { requests_per_minute: 11 } }, "limits.requests_per_minute"],
      [{ scopes: ["inference"], ttl_s: 7200 }, "expires_at"],
    ] as const) {
      const response = await send("POST", "/v1/keys", { name: "more", ttl_s: 60, ...policy }, maker.secret);
      expect([response.status, ((await errorOf(response)).details as Said).param]).toEqual([400, field]);
    }
    const wide = await made();
    for (const verb of ["rotate", "revoke"])
      expect((await send("POST", `/v1/keys/${wide.id}:${verb}`, undefined, maker.secret)).status).toBe(403);
  });

  it.each([
    [{ expires_at: "2020-01-01T00:00:00Z", ttl_s: undefined }, "expires_at"],
    [{ ttl_s: undefined }, "expires_at"],
    [{ ttl_s: 0 }, "ttl_s"],
    [{ budgets: [{ period: "daily", limit_micros_usd: -1 }] }, "budgets[0].limit_micros_usd"],
    [{ budgets: [{ period: "daily", limit_micros_usd: 1.5 }] }, "budgets[0].limit_micros_usd"],
    [{ budgets: [{ period: "hourly", limit_micros_usd: 1 }] }, "budgets[0].period"],
    [{ limits: { requests_per_minute: 0 } }, "limits.requests_per_minute"],
    [{ scopes: ["everything"] }, "scopes[0]"],
    [{ scopes: [] }, "scopes"],
    [{ allowed_models: ["gpt-not-there-9"] }, "allowed_models[0]"],
    [{ allowed_models: ["*"] }, "allowed_models[0]"],
    [{ allowed_ips: ["10.0.0.0/33"] }, "allowed_ips[0]"],
    [{ allowed_surfaces: ["fax"] }, "allowed_surfaces[0]"],
    [{ time_zone: "Mars/Olympus" }, "time_zone"],
    [{ name: "" }, "name"],
    [{ colour: "red" }, "colour"],
  ])("a key is not made of %j", async (policy, field) => {
    const response = await send("POST", "/v1/keys", { name: "bad", ttl_s: 60, ...policy });
    const error = await errorOf(response);
    expect([response.status, (error.details as Said).param], JSON.stringify(error)).toEqual([400, field]);
  });

  it("a key is not rotated when it is revoked, nor for longer than it lives", async () => {
    const key = await made({ ttl_s: 60 });
    const long = await send("POST", `/v1/keys/${key.id}:rotate`, { grace_s: 61 });
    expect((await errorOf(long)).details).toEqual({ param: "grace_s" });
    await send("POST", `/v1/keys/${key.id}:revoke`);
    const dead = await send("POST", `/v1/keys/${key.id}:rotate`);
    expect([dead.status, (await errorOf(dead)).details]).toEqual([400, { param: "id" }]);
  });

  it("a key is bound to its models, in every way of naming them", async () => {
    const key = await made({ allowed_models: ["demo"] });
    expect((await chat(key.secret)).status).toBe(200);
    for (const body of [
      { model: "fake/say" },
      { rhone: { routing: { model: "fake/say" } } },
      { rhone: { context_mode: "stateless" }, model: "fake/say" },
    ]) {
      const response = await chat(key.secret, body);
      expect([response.status, (await errorOf(response)).code]).toEqual([403, "model.not_allowed"]);
    }
    const beside = await chat(key.secret, { rhone: { routing: { models: ["fake/say"] } } });
    expect(beside.headers.get("x-rhone-provider")).not.toBe("fake");
    const hedge = { after_ms: 1, model: "fake/say" };
    const hedged = await chat(key.secret, { rhone: { routing: { hedge } } });
    expect([hedged.status, await codeOf(hedged)]).toEqual([403, "model.not_allowed"]);
    const embedded = await send("POST", "/v1/embeddings", { model: "oai/embed", input: "x" }, key.secret);
    expect(embedded.status).toBe(403);
  });

  it("a key is bound to its surfaces and addresses", async () => {
    const key = await made({ allowed_surfaces: ["messages"], allowed_ips: ["203.0.113.0/24", "2001:db8::/32"] });
    const asked = async (path: string, address?: string): Promise<number> => {
      const body = { model: "demo", max_tokens: 5, messages: [{ role: "user", content: "x" }] };
      const headers = {
        "anthropic-version": "2023-06-01",
        ...(address !== undefined && { "cf-connecting-ip": address }),
      };
      return (await send("POST", path, body, key.secret, headers)).status;
    };
    expect(await asked("/v1/messages", "203.0.113.9")).toBe(200);
    expect(await asked("/v1/messages", "2001:db8:1::5")).toBe(200);
    expect(await asked("/v1/messages", "203.0.114.9")).toBe(403);
    expect(await asked("/v1/messages")).toBe(403);
    expect(await asked("/v1/chat/completions", "203.0.113.9")).toBe(403);
  });
});
