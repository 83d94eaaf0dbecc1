import { expect, it } from "vitest";
import { ADMIN_KEY_ID } from "../../../src/keys/authenticate.ts";
import { SCOPES } from "../../../src/keys/scopes.ts";
import { chat, KEY, request, user } from "../../support/worker/client.ts";
import type { Json } from "../../support/worker/session-client.ts";

async function send(path: string, body: unknown, headers: Record<string, string> = {}): Promise<Json> {
  const response = await request(path, {
    method: "POST",
    body: JSON.stringify(body),
    headers: { "content-type": "application/json", ...headers },
  });
  expect(response.status).toBeLessThan(300);
  return await response.json();
}

async function me(key: string, headers: Record<string, string> = {}): Promise<Json> {
  const response = await request("/v1/me", { key, headers });
  expect(response.status).toBe(200);
  return await response.json();
}

it("GET /v1/me describes the bootstrap key", async () => {
  expect(await me(KEY)).toEqual({
    object: "me",
    type: "bootstrap",
    key_id: ADMIN_KEY_ID,
    name: "bootstrap key",
    organization: { id: "org_default", name: "Default" },
    scopes: SCOPES,
    allowed_models: null,
    allowed_surfaces: null,
    limits: {},
    budgets: [],
    expires_at: null,
    features: ["shield"],
  });
});

it("GET /v1/me describes a key in its organisation, with the state of its budgets", async () => {
  const { id: org } = await send("/v1/organizations", { name: "Research" });
  const policy = {
    name: "support bot",
    ttl_s: 600,
    scopes: ["inference"],
    allowed_models: ["fake/*"],
    allowed_surfaces: ["chat"],
    limits: { requests_per_minute: 600 },
    budgets: [{ period: "daily", limit_micros_usd: 1_000_000 }],
  };
  const key = await send("/v1/keys", policy, { "x-rhone-organization": org });
  const body = { model: "fake/paid", max_tokens: 16, messages: [user("x")] };
  const answered = await request("/v1/chat/completions", {
    method: "POST",
    key: key.secret,
    body: JSON.stringify(body),
  });
  expect(answered.status).toBe(200);
  await answered.text();
  const found = await me(key.secret);
  const [budget, ...others] = found.budgets;
  expect(others).toEqual([]);
  expect(budget).toMatchObject({ period: "daily", hard: true, limit_micros_usd: 1_000_000 });
  expect(budget.spent_micros_usd + budget.reserved_micros_usd).toBeGreaterThan(0);
  expect(found).toMatchObject({
    type: "key",
    key_id: key.id,
    name: "support bot",
    organization: { id: org, name: "Research" },
    scopes: ["inference"],
    allowed_models: ["fake/*"],
    allowed_surfaces: ["chat"],
    limits: { requests_per_minute: 600 },
    expires_at: key.expires_at,
  });
});

it("GET /v1/me describes a client token with its session and scopes, and without its key's budgets", async () => {
  const { rhone } = await chat({ messages: [user("x")] });
  const token = await send(`/v1/sessions/${rhone.session_id}:token`, { ttl_s: 60, scopes: ["sessions:read"] });
  const found = await me(token.token);
  expect(found).toMatchObject({
    type: "client_token",
    key_id: ADMIN_KEY_ID,
    session_id: rhone.session_id,
    scopes: ["sessions:read"],
    expires_at: token.expires_at,
  });
  expect(found).not.toHaveProperty("budgets");
});

it("GET /v1/me acts in the organisation of the header, and needs a key", async () => {
  const { id } = await send("/v1/organizations", { name: "Elsewhere" });
  expect((await me(KEY, { "x-rhone-organization": id })).organization).toEqual({ id, name: "Elsewhere" });
  expect((await request("/v1/me", { key: null })).status).toBe(401);
  expect((await request("/v1/me", { key: "rhone_sk_wrong" })).status).toBe(401);
});
