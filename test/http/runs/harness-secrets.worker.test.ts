import { beforeAll, describe, expect, it } from "vitest";
import type { Json } from "../../support/runs/client.ts";
import { answered, create, newOrganization, PATH, refusalOf, send } from "../../support/runs/harness-client.ts";

describe("the secrets that a harness names", () => {
  const hosts = ["tools.example.com"];
  const tool = (secret: string, url = "https://tools.example.com/a"): Json => ({
    tools: [{ http: "a", url, headers: { authorization: { secret, prefix: "Bearer " } } }],
  });
  const server = (auth: Json, url = "https://tools.example.com/mcp"): Json => ({ servers: { crm: { url, auth } } });
  let other: { org: string; headers: Record<string, string> };

  beforeAll(async () => {
    other = await newOrganization();
    await answered("PUT", "/v1/secrets/OWN_TOKEN", { body: { value: "own", hosts } });
    await answered("PUT", "/v1/secrets/OTHER_TOKEN", { body: { value: "other", hosts }, headers: other.headers });
  });

  it.each<[string, Json]>([
    ["in a header", tool("OWN_TOKEN")],
    ["to sign with", { tools: [{ http: "a", url: "https://tools.example.com/", secret: "OWN_TOKEN" }] }],
    ["of a server", server({ secret: "OWN_TOKEN" })],
    ["for tokens, from where the server says", server({ client_id: "a", client_secret: { secret: "OWN_TOKEN" } })],
    ["that the deployment gives to tools", tool("SHARED_TOOL_TOKEN")],
  ])("may be sent: %s", async (_, body) => {
    expect(await create({ name: "usable", ...body })).toMatchObject(body.servers === undefined ? {} : body);
  });

  it.each<[string, Json, string, RegExp]>([
    ["is not there", tool("NONE"), "tools[0].headers.authorization.secret", /there is no secret NONE/],
    ["is another organisation's", server({ secret: "OTHER_TOKEN" }), "servers.crm.auth.secret", /there is no secret/],
    [
      "may not be sent to a tool",
      tool("OWN_TOKEN", "https://b.example/"),
      "tools[0].headers.authorization.secret",
      /only/,
    ],
    [
      "may not be sent to a server",
      server({ secret: "OWN_TOKEN" }, "https://b.example/"),
      "servers.crm.auth.secret",
      /only/,
    ],
    [
      "may not be sent to where tokens are",
      server({ client_id: "a", client_secret: { secret: "OWN_TOKEN" }, token_url: "https://b.example/token" }),
      "servers.crm.auth.client_secret.secret",
      /OWN_TOKEN may be sent to tools.example.com only/,
    ],
    [
      "is the deployment's, for another host",
      tool("SHARED_TOOL_TOKEN", "https://b.example/"),
      "tools[0].headers.authorization.secret",
      /only/,
    ],
    ["is listed and not set", tool("UNSET_TOOL_TOKEN"), "tools[0].headers.authorization.secret", /there is no secret/],
    ["is the deployment's own", tool("PRIVATE_TOKEN"), "tools[0].headers.authorization.secret", /there is no secret/],
    ["is the bootstrap key", tool("RHONE_ADMIN_KEY"), "tools[0].headers.authorization.secret", /there is no secret/],
    ["is a binding", tool("DB"), "tools[0].headers.authorization.secret", /there is no secret/],
    ["is a name of all objects", tool("constructor"), "tools[0].headers.authorization.secret", /there is no secret/],
  ])("one is refused that %s", async (_, body, field, message) => {
    expect(await refusalOf(send("POST", PATH, { body: { name: "unusable", ...body } }))).toEqual([
      400,
      field,
      expect.stringMatching(message),
    ]);
  });

  it("an organisation's own secret comes before the deployment's of the same name", async () => {
    const put = { body: { value: "mine", hosts: ["b.example"] }, headers: other.headers };
    await answered("PUT", "/v1/secrets/SHARED_TOOL_TOKEN", put);
    const sent = (url: string): Promise<Response> =>
      send("POST", PATH, { body: { name: "own", ...tool("SHARED_TOOL_TOKEN", url) }, headers: other.headers });
    expect((await sent("https://b.example/")).status).toBe(201);
    expect(await refusalOf(sent("https://tools.example.com/"))).toEqual([
      400,
      "tools[0].headers.authorization.secret",
      expect.stringMatching(/b.example only/),
    ]);
  });
});
