import { env } from "cloudflare:workers";
import { describe, expect, it } from "vitest";
import { readYaml } from "../../../src/wire/yaml.ts";
import type { Json } from "../../support/runs/client.ts";
import {
  answered,
  create,
  findVersion,
  keyWith,
  newOrganization,
  PATH,
  refusalOf,
  send,
} from "../../support/runs/harness-client.ts";
import { request } from "../../support/worker/client.ts";

const YAML = `
# Helps customers.
name: support
routing: { model: smart-general }
instructions: |
  Help customers of ACME.
  Be brief.
servers:
  crm: { url: https://mcp.tools.example.com/mcp, trust_annotations: true }
tools:
  - native: web_fetch
    hosts: ["*.acme.example"]
  - mcp: crm
    only: ["get_*", refund]
  - http: notify
    url: https://tools.example.com/notify
    parameters: { type: object, properties: { at: { const: 2026-11-30 } } }
    effect: idempotent
policy:
  - { tool: "crm__get_*", do: allow }
  - { tool: crm__refund, when: { field: amount_cents, op: lte, value: 2000 }, do: allow }
  - { tool: "*", do: deny }
limits: { max_turns: 12, max_cost_micros_usd: 500000 }
unattended: deny
`;

describe("a harness", () => {
  it("is stored in versions, read, listed and deleted, and its numbers are not given again", async () => {
    const first = await create({ name: "crud", model: "demo" });
    expect(first).toEqual({
      id: "harness_crud_v1",
      object: "harness",
      name: "crud",
      version: 1,
      created_at: expect.stringMatching(/^\d{4}-.*Z$/),
      model: "demo",
    });
    const second = await answered("PUT", `${PATH}/harness_crud`, {
      body: { model: "demo", instructions: "Be brief." },
    });
    expect(second).toMatchObject({ id: "harness_crud_v2", instructions: "Be brief." });
    expect(await answered("GET", `${PATH}/harness_crud`)).toEqual(second);
    expect(await answered("GET", `${PATH}/harness_crud_v1`)).toEqual(first);
    const versions = await answered("GET", `${PATH}/harness_crud/versions`);
    expect(versions).toEqual({ object: "list", data: [second, first], has_more: false, last_id: "harness_crud_v1" });
    expect((await answered("GET", `${PATH}?after=harness_crtc`)).data).toEqual([second]);
    expect((await send("DELETE", `${PATH}/harness_crud`)).status).toBe(204);
    for (const path of ["harness_crud", "harness_crud_v1", "harness_crud_v2", "harness_crud/versions"])
      expect((await send("GET", `${PATH}/${path}`)).status).toBe(404);
    expect((await send("DELETE", `${PATH}/harness_crud`)).status).toBe(404);
    expect((await create({ name: "crud", model: "demo" })).id).toBe("harness_crud_v3");
    expect((await send("GET", `${PATH}/harness_crud_v1`)).status).toBe(404);
  });

  it("is the same in YAML and in JSON, with tools in short and in long form", async () => {
    const made = await answered("POST", PATH, { yaml: YAML }, 201);
    expect(made).toMatchObject({
      id: "harness_support_v1",
      instructions: "Help customers of ACME.\nBe brief.\n",
      tools: [
        { type: "native", name: "web_fetch" },
        { type: "mcp", server: "crm", only: ["get_*", "refund"] },
        { type: "http", name: "notify", parameters: { properties: { at: { const: "2026-11-30" } } } },
      ],
      limits: { max_turns: 12, max_cost_micros_usd: 500_000 },
    });
    const { id: _, object: __, version: ___, created_at: ____, ...definition } = made;
    expect(await answered("PUT", `${PATH}/harness_support`, { body: definition })).toEqual(made);
    for (const type of ["application/x-yaml", "text/yaml; charset=utf-8", "Text/X-YAML"])
      expect(await answered("POST", PATH, { yaml: YAML, headers: { "content-type": type } }, 201)).toEqual(made);
    const read = await send("GET", `${PATH}/harness_support`, { headers: { accept: "application/yaml, */*" } });
    expect(read.headers.get("content-type")).toBe("application/yaml");
    expect(await readYaml(await read.text())).toEqual(made);
    const listed = await send("GET", PATH, { headers: { accept: "text/yaml" } });
    expect(await readYaml(await listed.text())).toMatchObject({ object: "list", has_more: false });
    const asJson = await send("GET", `${PATH}/harness_support`, { headers: { accept: "application/json, text/yaml" } });
    expect(await asJson.json()).toEqual(made);
  });

  it("with the same body again has no new version, and another order of its members is the same", async () => {
    const body = { name: "same", model: "demo", limits: { max_turns: 3 } };
    const made = await create(body);
    expect(await answered("PUT", `${PATH}/harness_same`, { body })).toEqual(made);
    expect(await create({ limits: body.limits, model: "demo", name: "same" })).toEqual(made);
    expect(((await answered("GET", `${PATH}/harness_same/versions`)).data as Json[]).length).toBe(1);
  });

  it("that was read may be changed and stored as it is", async () => {
    const first = await create({ name: "edited", model: "demo" });
    const second = await answered("PUT", `${PATH}/harness_edited`, { body: { ...first, instructions: "Be brief." } });
    expect(second).toMatchObject({ id: "harness_edited_v2", model: "demo", instructions: "Be brief." });
  });

  it("gets a version from each of two requests at once", async () => {
    const made = await Promise.all(
      ["one", "two"].map((instructions) => answered("PUT", `${PATH}/harness_race`, { body: { instructions } })),
    );
    expect(made.map(({ version }) => version as number).toSorted((a, b) => a - b)).toEqual([1, 2]);
    for (const one of made) expect(await answered("GET", `${PATH}/${one.id as string}`)).toEqual(one);
  });

  it("is listed in pages", async () => {
    for (const name of ["page-a", "page-b", "page-c"]) await create({ name, model: "demo" });
    const first = await answered("GET", `${PATH}?after=harness_page&limit=2`);
    expect([(first.data as Json[]).map(({ id }) => id), first.has_more]).toEqual([
      ["harness_page-a_v1", "harness_page-b_v1"],
      true,
    ]);
    const second = await answered("GET", `${PATH}?after=${first.last_id as string}&limit=1`);
    expect((second.data as Json[]).map(({ id }) => id)).toEqual(["harness_page-c_v1"]);
    await answered("PUT", `${PATH}/harness_page-a`, { body: { model: "other" } });
    const versions = await answered("GET", `${PATH}/harness_page-a/versions?limit=1`);
    expect([versions.last_id, versions.has_more]).toEqual(["harness_page-a_v2", true]);
    const older = await answered("GET", `${PATH}/harness_page-a/versions?limit=1&after=harness_page-a_v2`);
    expect([older.last_id, older.has_more]).toEqual(["harness_page-a_v1", false]);
    expect(await refusalOf(send("GET", `${PATH}?after=page-a`))).toEqual([
      400,
      "after",
      expect.stringMatching(/last_id/),
    ]);
  });

  it("keeps numbers that a double cannot represent", async () => {
    const yaml = "name: numbers\noutput: { type: json_schema, schema: { maximum: 12345678901234567890 } }";
    const response = await send("POST", PATH, { yaml });
    expect(await response.text()).toContain('"maximum":12345678901234567890');
  });

  it("is audited without its definition", async () => {
    await create({ name: "audited", instructions: "private-words" });
    await answered("PUT", `${PATH}/harness_audited`, { body: { instructions: "other-words" } });
    await send("DELETE", `${PATH}/harness_audited`);
    const { results } = await env.DB.prepare(
      "SELECT action, details, actor FROM audit_events WHERE target = 'harness_audited' ORDER BY id",
    ).all();
    expect(results.map(({ action }) => action)).toEqual(["harness.created", "harness.changed", "harness.deleted"]);
    expect(JSON.stringify(results)).not.toContain("words");
  });
});

describe("a definition that is refused", () => {
  it.each<[string, unknown, string, RegExp]>([
    ["an unknown member", { tolls: [] }, "tolls", /there is no such member/],
    ["an unknown member inside", { limits: { max_turn: 3 } }, "limits.max_turn", /there is no such member/],
    ["a name with a version", { name: "a_v2" }, "name", /without a version/],
    ["a name in capitals", { name: "Support" }, "name", /a-z 0-9/],
    ["a pattern that is none", { policy: [{ tool: "", do: "deny" }] }, "policy[0].tool", /at least 1 character/],
    [
      "an order of nothing",
      { policy: [{ tool: "*", when: { field: "a", op: "~" }, do: "deny" }] },
      "policy[0].when.op",
      /one of/,
    ],
    ["a server that is not there", { tools: [{ mcp: "crm" }] }, "tools[0].server", /expected one of servers/],
    ["an address", { servers: { crm: { url: "https://10.0.0.1/mcp" } } }, "servers.crm.url", /by its name/],
    ["no encryption", { servers: { crm: { url: "http://a.example/mcp" } } }, "servers.crm.url", /https/],
    [
      "a place of tokens in the machine",
      {
        servers: {
          crm: {
            url: "https://a.example/mcp",
            auth: { client_id: "a", client_secret: { secret: "A" }, token_url: "https://localhost/token" },
          },
        },
      },
      "servers.crm.auth.token_url",
      /public internet/,
    ],
    ["a tool in the machine", { tools: [{ http: "a", url: "https://localhost/" }] }, "tools[0].url", /public internet/],
  ])("%s", async (_, body, field, message) => {
    expect(await refusalOf(send("POST", PATH, { body: { name: "refused", ...(body as Json) } }))).toEqual([
      400,
      field,
      expect.stringMatching(message),
    ]);
    expect((await send("GET", `${PATH}/harness_refused`)).status).toBe(404);
  });

  it.each([
    [
      "a key that is there twice",
      "name: a\nmodel: b\nmodel: c",
      /invalid YAML: line 3, column 1: expected each key once/,
    ],
    ["a tag", "name: a\nmodel: !env SECRET", /line 2, column 8: expected no tag/],
    [
      "aliases of aliases",
      [
        "name: a",
        "a0: &a0 [x]",
        ...Array.from({ length: 9 }, (_, i) => `a${i + 1}: &a${i + 1} [${Array(9).fill(`*a${i}`).join(",")}]`),
      ].join("\n"),
      /with all aliases/,
    ],
    ["nesting", "[".repeat(50_000), /levels/],
    ["no object", "- a", /expected an object/],
  ])("YAML with %s", async (_, yaml, message) => {
    expect(await refusalOf(send("POST", PATH, { yaml }))).toEqual([400, "body", expect.stringMatching(message)]);
  });

  it("JSON that is none, and bodies that are too large", async () => {
    expect(await refusalOf(request(PATH, { method: "POST", body: "name: a" }))).toEqual([
      400,
      "body",
      expect.stringMatching(/invalid JSON/),
    ]);
    const body = { name: "large", instructions: "x".repeat(256 * 1024) };
    expect(await refusalOf(send("POST", PATH, { body }))).toEqual([
      413,
      "body",
      expect.stringMatching(/at most 256 KiB/),
    ]);
  });

  it("another name than the path's, and a change of a version", async () => {
    await create({ name: "named", model: "demo" });
    const path = `${PATH}/harness_named`;
    expect((await answered("PUT", path, { body: { name: "named", model: "b" } })).version).toBe(2);
    expect(await refusalOf(send("PUT", path, { body: { name: "other", model: "b" } }))).toEqual([
      400,
      "name",
      expect.stringMatching(/expected named/),
    ]);
    for (const method of ["PUT", "DELETE"])
      expect(await refusalOf(send(method, `${path}_v1`, { body: { model: "b" } }))).toEqual([
        400,
        "id",
        expect.stringMatching(/expected harness_named/),
      ]);
    expect(await refusalOf(send("PUT", `${PATH}/named`, { body: { model: "b" } }))).toEqual([
      400,
      "id",
      expect.stringMatching(/as in harness_support/),
    ]);
    expect((await answered("GET", path)).version).toBe(2);
  });
});

describe("who may use a harness", () => {
  it("a harness is its organisation's alone", async () => {
    const { headers, org } = await newOrganization();
    await create({ name: "private", model: "demo" });
    for (const [method, path] of [
      ["GET", "harness_private"],
      ["GET", "harness_private_v1"],
      ["GET", "harness_private/versions"],
      ["DELETE", "harness_private"],
    ] as const)
      expect((await send(method, `${PATH}/${path}`, { headers })).status).toBe(404);
    expect(await findVersion("harness_private", org)).toBeUndefined();
    expect((await answered("GET", PATH, { headers })).data).toEqual([]);
    const own = await answered("POST", PATH, { body: { name: "private" }, headers }, 201);
    expect(own.id).toBe("harness_private_v1");
    expect((await answered("GET", `${PATH}/harness_private`)).model).toBe("demo");
  });

  it("reading and writing have scopes of their own", async () => {
    await create({ name: "scoped", model: "demo" });
    const [reader, writer, neither] = [
      await keyWith("harnesses:read"),
      await keyWith("harnesses:write"),
      await keyWith("runs:read", "runs:write", "tools:remote"),
    ];
    const statuses = async (key: string): Promise<number[]> => [
      (await send("GET", `${PATH}/harness_scoped`, { key })).status,
      (await send("PUT", `${PATH}/harness_scoped`, { key, body: { model: "demo" } })).status,
    ];
    expect(await statuses(reader)).toEqual([200, 403]);
    expect(await statuses(writer)).toEqual([403, 200]);
    expect(await statuses(neither)).toEqual([403, 403]);
  });
});

describe("the default harness", () => {
  it("is an organisation's, until it is removed", async () => {
    const { org } = await newOrganization();
    const path = `/v1/organizations/${org}`;
    expect(await answered("PATCH", path, { body: { harness: "harness_support" } })).toMatchObject({
      harness: "harness_support",
    });
    expect(await refusalOf(send("PATCH", path, { body: { harness: "support" } }))).toEqual([
      400,
      "harness",
      expect.stringMatching(/as in harness_support/),
    ]);
    expect((await answered("PATCH", path, { body: { harness: null } })).harness).toBeNull();
  });

  it("is a key's and that of the keys below it", async () => {
    const scopes = ["keys:write", "keys:read", "inference"];
    const parent = await answered(
      "POST",
      "/v1/keys",
      { body: { name: "p", ttl_s: 600, scopes, defaults: { harness: "harness_support_v2" } } },
      201,
    );
    const child = { name: "c", ttl_s: 300, scopes: ["inference"] };
    const key = parent.secret as string;
    const made = await answered("POST", "/v1/keys", { key, body: child }, 201);
    expect(made.defaults).toEqual({ harness: "harness_support_v2" });
    const other = { ...child, defaults: { harness: "harness_other" } };
    expect(await refusalOf(send("POST", "/v1/keys", { key, body: other }))).toEqual([
      400,
      "defaults.harness",
      expect.stringMatching(/parent key/),
    ]);
    const wrong = { ...child, defaults: { harness: "other" } };
    expect(await refusalOf(send("POST", "/v1/keys", { body: wrong }))).toEqual([
      400,
      "defaults.harness",
      expect.stringMatching(/as in harness_support/),
    ]);
  });
});

describe("a look-up for a run", () => {
  it("finds the newest version or the named one, and a new one at once", async () => {
    expect(await findVersion("harness_found")).toBeUndefined();
    await create({ name: "found", model: "one" });
    expect(await findVersion("harness_found")).toEqual({
      id: "harness_found_v1",
      harness: { name: "found", model: "one" },
    });
    await answered("PUT", `${PATH}/harness_found`, { body: { model: "two" } });
    expect((await findVersion("harness_found"))?.harness.model).toBe("two");
    expect((await findVersion("harness_found_v1"))?.harness.model).toBe("one");
    expect([await findVersion("harness_found_v3"), await findVersion("found"), await findVersion("run_a")]).toEqual([
      undefined,
      undefined,
      undefined,
    ]);
  });

  it("finds no version that was deleted", async () => {
    await create({ name: "lost", model: "one" });
    expect(await findVersion("harness_lost_v1")).toBeDefined();
    await send("DELETE", `${PATH}/harness_lost`);
    expect([await findVersion("harness_lost"), await findVersion("harness_lost_v1")]).toEqual([undefined, undefined]);
  });
});
