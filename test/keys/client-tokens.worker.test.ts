import { env } from "cloudflare:workers";
import { expect, it, vi } from "vitest";
import { issueToken } from "../../src/keys/client-token.ts";
import { chat, KEY, post, request, user } from "../support/worker/client.ts";

type Given = { token: string; scopes: string[]; expires_at: string; session_id: string };

const ask = (session: string, body: object = {}, key: string = KEY): Promise<Response> =>
  request(`/v1/sessions/${session}:token`, {
    method: "POST",
    body: JSON.stringify(body),
    headers: { "content-type": "application/json" },
    key,
  });

const give = async (session: string, body: object = {}): Promise<Given> => {
  const response = await ask(session, body);
  expect(response.status).toBe(200);
  return await response.json();
};

const upgrade = (token: string, query = ""): Promise<Response> =>
  request(`/v1/ws${query}`, {
    key: null,
    headers: { upgrade: "websocket", "sec-websocket-protocol": `rhone.ws.v1, rhone.token.${token}` },
  });

const as = (token: string, path: string, init: RequestInit = {}): Promise<Response> =>
  request(path, { ...init, key: token });
const callAs = (token: string, body: object): Promise<Response> =>
  as(token, "/v1/chat/completions", {
    method: "POST",
    body: JSON.stringify({ model: "demo", messages: [user("x")], ...body }),
  });
const codeOf = async (response: Response): Promise<unknown[]> => {
  const { error } = await response.json<{ error: { code: string } }>();
  return [response.status, error.code];
};

const begin = async (): Promise<string> => (await chat({ messages: [user("My name is Alice.")] })).rhone.session_id;

it("a client token opens its session over WebSocket and HTTP, as far as its scopes go", async () => {
  const session = await begin();
  const { token, scopes, expires_at } = await give(session, { ttl_s: 60 });
  expect(scopes).toEqual(["inference", "sessions:read"]);
  expect(Date.parse(expires_at)).toBeGreaterThan(Date.now() + 50_000);
  const { status, headers, webSocket } = await upgrade(token);
  expect([status, headers.get("sec-websocket-protocol")]).toEqual([101, "rhone.ws.v1"]);
  const heard: string[] = [];
  webSocket!.addEventListener("message", ({ data }) => void heard.push(data as string));
  webSocket!.accept();
  webSocket!.send(JSON.stringify({ type: "session.bind" }));
  const request_ = { model: "demo", messages: [user("What's my name?")] };
  webSocket!.send(JSON.stringify({ type: "call.create", id: "c", surface: "chat", request: request_ }));
  await vi.waitFor(() => expect(heard.join("")).toContain("call.completed"), 5_000);
  expect(heard.join("")).toContain("Alice");
  webSocket!.close();
  for (const path of ["", "/blocks", "/timeline"])
    expect((await as(token, `/v1/sessions/${session}${path}`)).status).toBe(200);
  const answer = await callAs(token, { rhone: { session_id: session } });
  expect(answer.status).toBe(200);
  const call = answer.headers.get("x-rhone-call-id")!;
  expect((await as(token, `/v1/calls/${call}`)).status).toBe(200);
  expect(await codeOf(await as(token, `/v1/sessions/${session}:pause`, { method: "POST" }))).toEqual([
    403,
    "auth.forbidden",
  ]);
  expect(await codeOf(await as(token, `/v1/calls/${call}:cancel`, { method: "POST" }))).toEqual([
    403,
    "auth.forbidden",
  ]);
});

it("a client token opens nothing else", async () => {
  const session = await begin();
  const other = await chat({ messages: [user("Hi")] });
  const { token } = await give(session, { scopes: ["inference", "sessions:read", "sessions:write"] });
  const forbidden = [
    as(token, `/v1/sessions/${other.rhone.session_id}`),
    as(token, `/v1/sessions/${session}:x`),
    as(token, `/v1/calls/${other.rhone.call_id}`),
    as(token, `/v1/runs/${other.rhone.run_id}`),
    as(token, "/v1/sessions"),
    as(token, "/v1/models"),
    as(token, "/v1/keys"),
    as(token, `/v1/sessions/${session}:token`, {
      method: "POST",
      body: "{}",
      headers: { "content-type": "application/json" },
    }),
    callAs(token, {}),
    callAs(token, { rhone: { session_id: other.rhone.session_id } }),
    callAs(token, { rhone: { context_mode: "stateless" } }),
    upgrade(token, `?session_id=${other.rhone.session_id}`),
  ];
  for (const answer of await Promise.all(forbidden)) expect(await codeOf(answer)).toEqual([403, "auth.forbidden"]);
});

it("a client token that reads makes no calls", async () => {
  const session = await begin();
  const { token } = await give(session, { scopes: ["sessions:read"] });
  expect(await codeOf(await callAs(token, { rhone: { session_id: session } }))).toEqual([403, "auth.forbidden"]);
  const { webSocket } = await upgrade(token);
  const heard: string[] = [];
  webSocket!.addEventListener("message", ({ data }) => void heard.push(data as string));
  webSocket!.accept();
  webSocket!.send(JSON.stringify({ type: "session.bind" }));
  webSocket!.send(
    JSON.stringify({ type: "call.create", surface: "chat", request: { model: "demo", messages: [user("x")] } }),
  );
  await vi.waitFor(() => expect(heard.join("")).toContain("auth.forbidden"), 5_000);
  await post({ model: "demo", messages: [user("x")], rhone: { session_id: session } });
  await vi.waitFor(() => expect(heard.join("")).toContain("call.completed"), 5_000);
  webSocket!.close();
});

it("a client token that is wrong, expired or another deployment's opens nothing", async () => {
  const session = await begin();
  const { token } = await give(session);
  const claims = { org: "org_default", session, scopes: ["sessions:read" as const], keyId: "key_admin" };
  const expired = issueToken(env.RHONE_ADMIN_KEY!, { ...claims, expiresAt: Date.now() - 1 });
  const foreign = issueToken("another secret", { ...claims, expiresAt: Date.now() + 60_000 });
  const dead = issueToken(env.RHONE_ADMIN_KEY!, { ...claims, keyId: "key_gone", expiresAt: Date.now() + 60_000 });
  for (const [bad, code] of [
    [expired, "auth.expired"],
    [foreign, "auth.invalid"],
    [dead, "auth.invalid"],
    [`${token}x`, "auth.invalid"],
    ["rhone_ct_", "auth.invalid"],
  ] as const) {
    expect(await codeOf(await upgrade(bad))).toEqual([401, code]);
    expect(await codeOf(await as(bad, `/v1/sessions/${session}`))).toEqual([401, code]);
  }
});

it.each<[object, string]>([
  [{ ttl_s: 3_601 }, "ttl_s"],
  [{ ttl_s: 0 }, "ttl_s"],
  [{ scopes: [] }, "scopes"],
  [{ scopes: ["keys:write"] }, "scopes[0]"],
  [{ ttl: 5 }, "ttl"],
])("a token with wrong settings is refused by name: %j", async (body, param) => {
  const response = await ask(await begin(), body);
  expect([response.status, await response.json()]).toMatchObject([400, { error: { details: { param } } }]);
});

it("a token for a session that was never made is refused", async () => {
  expect(await codeOf(await ask("sess_nope"))).toEqual([404, "session.not_found"]);
});
