import { describe, expect, it } from "vitest";
import { type McpAuthorization, createAuthorization } from "../../src/mcp/authorization.ts";
import { callTool } from "../../src/mcp/call-tool.ts";
import type { ClientCredentials } from "../../src/mcp/client-credentials.ts";
import { McpError } from "../../src/mcp/mcp-error.ts";
import { createMcpSession } from "../../src/mcp/session.ts";
import { OutboundError, type OutboundNetwork } from "../../src/outbound/bounded-fetch.ts";
import { UrlRefusal } from "../../src/outbound/public-url.ts";
import { call, modern, never, openSession, toJson, toResult, URL_OF_SERVER } from "../support/mcp/fake-server.ts";

type Seen = { url: string; method: string; headers: Headers; form: Record<string, string> };
type Answers = Record<string, (seen: Seen) => Response>;

const AUTH = "https://auth.example.com";
const TOKENS = `${AUTH}/token`;
const METADATA = { issuer: AUTH, token_endpoint: TOKENS };
const RESOURCE = { resource: URL_OF_SERVER, authorization_servers: [AUTH] };
const PRM = "https://mcp.example.com/.well-known/oauth-protected-resource";
const RFC8414 = `${AUTH}/.well-known/oauth-authorization-server`;
const CREDENTIALS: ClientCredentials = {
  clientId: "rhone:1",
  clientSecret: "s/3 cret",
  hosts: ["*.example.com"],
};

/** Authorization with servers that answer so; all other URLs do not exist. */
function open(answers: Answers, credentials: Partial<ClientCredentials> = {}) {
  const seen: Seen[] = [];
  const clock = { now: 1_700_000_000_000 };
  const fetching = (async (url: string, init: RequestInit) => {
    const form = Object.fromEntries(new URLSearchParams((init.body ?? "") as string));
    seen.push({ url, method: init.method!, headers: new Headers(init.headers), form });
    return answers[url]?.(seen.at(-1)!) ?? new Response("no such page", { status: 404 });
  }) as typeof fetch;
  const network: OutboundNetwork = {
    reach: { own: new Set(), registered: new Set() },
    fetchPublic: fetching,
    fetchRegistered: fetching,
  };
  const options = { url: URL_OF_SERVER, network, now: () => clock.now };
  return { authorization: createAuthorization({ ...CREDENTIALS, ...credentials }, options), seen, clock };
}

let tokens = 0;
const giveToken =
  (more: object = {}) =>
  () =>
    toJson({ access_token: `token-${++tokens}`, token_type: "Bearer", expires_in: 3_600, ...more });
const WORKING: Answers = {
  [`${PRM}/mcp`]: () => toJson(RESOURCE),
  [RFC8414]: () => toJson(METADATA),
  [TOKENS]: giveToken(),
};

describe("a bearer token", () => {
  it("comes from the given URL, for the resource", async () => {
    const { authorization, seen } = open(
      { [TOKENS]: giveToken() },
      { tokenUrl: TOKENS, scope: "tools:read tools:call" },
    );
    expect(await authorization.getToken()).toMatch(/^token-/);
    expect(seen).toHaveLength(1);
    expect(seen[0]).toMatchObject({
      url: TOKENS,
      method: "POST",
      form: { grant_type: "client_credentials", resource: URL_OF_SERVER, scope: "tools:read tools:call" },
    });
    expect(seen[0]!.form).not.toHaveProperty("client_secret");
    // RFC 6749, section 2.3.1: both parts are encoded as a form.
    expect(seen[0]!.headers.get("authorization")).toBe(`Basic ${btoa("rhone%3A1:s%2F3+cret")}`);
  });

  it("comes from the authorization server that the resource names", async () => {
    const { authorization, seen } = open(WORKING);
    await authorization.getToken();
    expect(seen.map(({ url }) => url)).toEqual([`${PRM}/mcp`, RFC8414, TOKENS]);
    expect(seen[2]!.form["resource"]).toBe(URL_OF_SERVER);
  });

  it.each([
    ["the resource itself", URL_OF_SERVER],
    ["all of the host", "https://mcp.example.com"],
  ])("is found by metadata at the host, of %s", async (_, resource) => {
    const { authorization, seen } = open({
      ...WORKING,
      [`${PRM}/mcp`]: () => new Response(null, { status: 404 }),
      [PRM]: () => toJson({ ...RESOURCE, resource }),
    });
    await authorization.getToken();
    expect(seen.at(-1)!.form["resource"]).toBe(resource);
  });

  it("is found by the metadata of OpenID Connect", async () => {
    const { authorization } = open({
      ...WORKING,
      [RFC8414]: () => new Response(null, { status: 404 }),
      [`${AUTH}/.well-known/openid-configuration`]: () => toJson(METADATA),
    });
    expect(await authorization.getToken()).toMatch(/^token-/);
  });

  it("is asked for as the authorization server supports it", async () => {
    const { authorization, seen } = open({
      ...WORKING,
      [RFC8414]: () =>
        toJson({ ...METADATA, token_endpoint_auth_methods_supported: ["private_key_jwt", "client_secret_post"] }),
    });
    await authorization.getToken();
    expect(seen[2]!.form).toMatchObject({ client_id: "rhone:1", client_secret: "s/3 cret" });
    expect(seen[2]!.headers.has("authorization")).toBe(false);
  });

  it("is shared, and used until a minute before it expires", async () => {
    const { authorization, seen, clock } = open({ [TOKENS]: giveToken({ expires_in: 600 }) }, { tokenUrl: TOKENS });
    const [first, second] = await Promise.all([authorization.getToken(), authorization.getToken()]);
    expect(second).toBe(first);
    clock.now += 539_999;
    expect(await authorization.getToken()).toBe(first);
    clock.now += 1;
    expect(await authorization.getToken()).not.toBe(first);
    expect(seen).toHaveLength(2);
  });

  it("that is valid for less than a minute is used once", async () => {
    const { authorization } = open({ [TOKENS]: giveToken({ expires_in: 30 }) }, { tokenUrl: TOKENS });
    expect(await authorization.getToken()).not.toBe(await authorization.getToken());
  });

  it("that does not say how long it is valid is used for five minutes", async () => {
    const { authorization, clock } = open({ [TOKENS]: giveToken({ expires_in: undefined }) }, { tokenUrl: TOKENS });
    const first = await authorization.getToken();
    clock.now += 299_999;
    expect(await authorization.getToken()).toBe(first);
    clock.now += 1;
    expect(await authorization.getToken()).not.toBe(first);
  });

  const errorFor = (answers: Answers, credentials: Partial<ClientCredentials> = {}): Promise<unknown> =>
    open({ ...WORKING, ...answers }, credentials)
      .authorization.getToken()
      .catch((e: unknown) => e);
  const refuse = (body: object, status: number) => () => toJson(body, status);

  it.each([
    [
      "refused credentials",
      { [TOKENS]: refuse({ error: "invalid_client", error_description: "who?" }, 401) },
      "invalid_client (who?)",
    ],
    ["a server that is down", { [TOKENS]: refuse({}, 503) }, "there is no token"],
    ["a token of another type", { [TOKENS]: giveToken({ token_type: "mac" }) }, "there is no token"],
    [
      "a token that is a number",
      { [TOKENS]: () => toJson({ access_token: 1, token_type: "bearer" }) },
      "there is no token",
    ],
    ["no JSON", { [TOKENS]: () => new Response("<html>") }, "there is no token"],
    [
      "a redirect",
      { [TOKENS]: () => new Response(null, { status: 307, headers: { location: "https://a.example.com" } }) },
      "there is no token",
    ],
    [
      "a large answer",
      { [TOKENS]: () => toJson({ access_token: "x".repeat(300_000), token_type: "bearer" }) },
      "larger than",
    ],
    [
      "another resource",
      { [`${PRM}/mcp`]: () => toJson({ ...RESOURCE, resource: "https://evil.example.com" }) },
      "there is no token",
    ],
    [
      "another issuer",
      { [RFC8414]: () => toJson({ ...METADATA, issuer: "https://evil.example.com" }) },
      "there is no token",
    ],
    [
      "no authorization server",
      { [`${PRM}/mcp`]: () => toJson({ resource: URL_OF_SERVER }) },
      "names no authorization server",
    ],
    [
      "servers that are no URLs",
      { [`${PRM}/mcp`]: () => toJson({ ...RESOURCE, authorization_servers: [1] }) },
      "names no authorization server",
    ],
    ["no metadata", { [`${PRM}/mcp`]: () => new Response(null, { status: 404 }) }, "give the URL"],
    ["a server without tokens", { [RFC8414]: () => toJson({ issuer: AUTH }) }, "there is no token"],
  ] as [string, Answers, string][])("is not got from %s", async (_, answers, text) => {
    const thrown = await errorFor(answers);
    expect(thrown).toBeInstanceOf(McpError);
    expect((thrown as Error).message).toContain(text);
    expect((thrown as Error).message).not.toContain(CREDENTIALS.clientSecret);
  });

  it("is not got from a private address", async () => {
    expect(await errorFor({}, { tokenUrl: "https://127.0.0.1/token" })).toBeInstanceOf(UrlRefusal);
    expect(await errorFor({}, { tokenUrl: "http://auth.example.com/token" })).toBeInstanceOf(UrlRefusal);
    const inside = { ...METADATA, token_endpoint: "https://vault.internal/token" };
    expect(await errorFor({ [RFC8414]: () => toJson(inside) })).toBeInstanceOf(UrlRefusal);
  });

  it("is asked for again after an error, which says that the server has got no request", async () => {
    let isDown = true;
    const { authorization } = open(
      {
        [TOKENS]: () => {
          if (isDown) throw new TypeError("connection refused");
          return giveToken()();
        },
      },
      { tokenUrl: TOKENS },
    );
    const thrown: unknown = await authorization.getToken().catch((e: unknown) => e);
    expect(thrown).toBeInstanceOf(OutboundError);
    expect(thrown).toMatchObject({ isSent: false });
    isDown = false;
    expect(await authorization.getToken()).toMatch(/^token-/);
  });
});

describe("a session with authorization", () => {
  const valid = { token: "a" };
  const authorization = (): McpAuthorization & { forgotten: string[] } => {
    const forgotten: string[] = [];
    return {
      forgotten,
      getToken: async () => (forgotten.length === 0 ? "a" : "b"),
      forget: (token) => forgotten.push(token),
    };
  };
  const openAuthorized = (source: McpAuthorization) => {
    const { received, network } = openSession(
      modern(({ id, headers }) =>
        headers.get("authorization") === `Bearer ${valid.token}`
          ? toJson(toResult(id, { content: [{ type: "text", text: "hi" }] }))
          : new Response(null, { status: 401 }),
      ),
    );
    return {
      received,
      session: createMcpSession(
        { url: URL_OF_SERVER, headers: { Authorization: "Basic x" } },
        { network, authorization: source },
      ),
    };
  };

  it("sends its token, and a new one where the first is refused", async () => {
    const source = authorization();
    const { session, received } = openAuthorized(source);
    valid.token = "a";
    expect(await callTool(session, call, never())).toMatchObject({ text: "hi" });
    valid.token = "b";
    expect(await callTool(session, call, never())).toMatchObject({ text: "hi" });
    expect(received.map(({ headers }) => headers.get("authorization"))).toEqual(
      ["a", "a", "a", "b"].map((t) => `Bearer ${t}`),
    );
    expect(source.forgotten).toEqual(["a"]);
  });

  it("ends with the second refusal", async () => {
    const { session, received } = openAuthorized(authorization());
    valid.token = "c";
    await expect(callTool(session, call, never())).rejects.toMatchObject({ status: 401 });
    expect(received.filter(({ method }) => method === "tools/call")).toHaveLength(2);
  });
});
