import { describe, expect, it } from "vitest";
import { ACCESS } from "../../../src/http/admission/access.ts";
import { routes } from "../../../src/http/app.ts";
import { SCOPES } from "../../../src/keys/scopes.ts";
import { KEY, request } from "../../support/worker/client.ts";

/** Middleware answers every method; the rest are routes. */
const all = routes().filter(({ method }) => method !== "ALL");
const named = [...new Set(all.map(({ method, path }) => `${method} ${path}`))];

async function keyWith(scopes: readonly string[]): Promise<string> {
  const response = await request("/v1/keys", {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify({ name: "matrix", ttl_s: 600, scopes }),
  });
  expect(response.status).toBe(201);
  const { secret }: { secret: string } = await response.json();
  return secret;
}

/** A path of that pattern. Nothing there exists, and nothing that is sent is right: only who may come in is looked at. */
const pathOf = (pattern: string): string =>
  pattern
    .replace(":call{.+}", "nobody:generateContent")
    .replace(":call{.+:[a-z-]+}", "sess_x:pause")
    .replace(":call{.+:[a-z]+}", "x:cancel")
    .replace("/keys/:call", "/keys/key_x:revoke")
    .replace(/\/:\w+\{\.\+:([a-z]+)\}/, "/x:$1")
    .replace(/\/:\w+(\{[^/]*\})?/g, "/x");

async function enter(route: string, key: string | null): Promise<number> {
  const [method, pattern] = route.split(" ") as [string, string];
  const body = method === "POST" || method === "PATCH" || method === "PUT" ? { body: "{}" } : {};
  const headers = { "content-type": "application/json", "anthropic-version": "2023-06-01" };
  const response = await request(pathOf(pattern), { method, key, headers, ...body });
  await response.body?.cancel();
  return response.status;
}

describe("the access to routes", () => {
  it("every route has its access declared, and no access is declared for another path", () => {
    expect(named.filter((route) => !(route in ACCESS))).toEqual([]);
    expect(Object.keys(ACCESS).filter((route) => !named.includes(route))).toEqual([]);
  });

  it("a request without a key gets nothing except from public routes", async () => {
    for (const route of named) {
      const status = await enter(route, null);
      if (ACCESS[route] === "public") expect([route, status]).toEqual([route, 200]);
      else expect([route, status]).toEqual([route, 401]);
    }
  });

  it.each(SCOPES)("a key with the scope %s alone gets only the routes of this scope", async (scope) => {
    const key = await keyWith([scope]);
    for (const route of named) {
      if (ACCESS[route] === "public") continue;
      const status = await enter(route, key);
      if (ACCESS[route] === scope || ACCESS[route] === "authenticated")
        expect([route, status]).not.toEqual([route, 403]);
      else expect([route, status]).toEqual([route, 403]);
    }
  });
});

it("a key without inference cannot call a model by way of a session's verbs", async () => {
  const key = await keyWith(["sessions:write"]);
  for (const verb of ["compact", "replay"])
    expect((await request(`/v1/sessions/sess_x:${verb}`, { method: "POST", key })).status).toBe(403);
});

describe("a credential", () => {
  const look = { method: "GET", key: null } as const;
  const long = "a".repeat(1024 * 1024);

  it.each([
    ["no scheme", { authorization: KEY.replace("test", "nope") }],
    ["another scheme", { authorization: "Basic cmhvbmU6dGVzdA==" }],
    ["nothing behind the scheme", { authorization: "Bearer " }],
    ["SQL", { authorization: "Bearer ' OR 1=1 --" }],
    ["SQL in a secret's clothes", { authorization: `Bearer rhone_sk_${"0".repeat(52)}'; DROP TABLE key; --` }],
    ["a place of nobody's", { authorization: `Bearer rhone_sk_${"0".repeat(52)}${"A".repeat(43)}` }],
    ["two at once", { authorization: `Bearer ${KEY}, Bearer ${KEY}` }],
    ["a folded header", { authorization: `Bearer wrong\t ${KEY}` }],
    ["letters that look alike", { authorization: `Bearer ${KEY.replace("o", "\u00f6")}` }],
    ["a token of nobody's", { authorization: "Bearer rhone_ct_e30.AAAA" }],
    ["a key that is right but for its case", { authorization: `Bearer ${KEY.toUpperCase()}` }],
    ["a beginning of the key", { authorization: `Bearer ${KEY.slice(0, -1)}` }],
    ["a hash of the key", { authorization: "Bearer 9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08" }],
    ["another's header", { "x-api-key": "rhone_sk_wrong" }],
    ["Google's header", { "x-goog-api-key": "rhone_sk_wrong" }],
  ])("a wrong credential is refused: %s", async (_, headers) => {
    const response = await request("/v1/models", { ...look, headers });
    expect(response.status).toBe(401);
    expect(response.headers.get("www-authenticate")).toContain("Bearer");
    expect(await response.text()).not.toMatch(/stack|SQL|sqlite|DurableObject/i);
  });

  it("a credential of a mebibyte is refused like any other", async () => {
    const response = await request("/v1/models", { ...look, headers: { authorization: `Bearer ${long}` } });
    expect(response.status).toBe(401);
  });

  it("a credential in the query counts on Gemini's paths only", async () => {
    expect((await request(`/v1/sessions/sess_x?key=${KEY}`, look)).status).toBe(401);
    expect((await request(`/v1beta/models?key=${KEY}`, look)).status).toBe(200);
  });

  it.each([
    "/v1/keys%2F..%2Fmodels",
    "/v1/..%2Fhealthz/../v1/keys",
    "//v1/keys",
    "/v1//keys",
    "/v1/keys%00",
    "/v1/keys/.",
    "/V1/KEYS",
    "/healthz/../v1/keys",
    "/healthz%2f..%2fv1%2fkeys",
    "/v1/keys;.healthz",
    "/openapi.json/../v1/keys",
    "/v1/keys%252F",
    "/v1\\keys",
  ])("a credential is required however the path is written: %s", async (path) => {
    const none = await request(path, look);
    await none.body?.cancel();
    expect([401, 404]).toContain(none.status);
  });
});
