import { describe, expect, it } from "vitest";
import { request } from "../../support/worker/client.ts";

type Json = Record<string, unknown>;

const META = "io.modelcontextprotocol";

/** A request of a client that says all about itself. `more`: other members of `_meta`, or headers. */
async function modern(
  method: string,
  params: Json = {},
  { capabilities = {}, headers = {}, version = "2026-07-28", path = "/mcp", key }: Modern = {},
): Promise<{ status: number; body: Json }> {
  const meta = { [`${META}/protocolVersion`]: version, [`${META}/clientCapabilities`]: capabilities };
  const response = await request(path, {
    method: "POST",
    ...(key !== undefined && { key }),
    headers: {
      "content-type": "application/json",
      "mcp-protocol-version": version,
      "mcp-method": method,
      ...(typeof params.name === "string" && { "mcp-name": params.name }),
      ...headers,
    },
    body: JSON.stringify({ jsonrpc: "2.0", id: 1, method, params: { ...params, _meta: meta } }),
  });
  return { status: response.status, body: (await response.json()) as Json };
}

type Modern = { capabilities?: Json; headers?: Record<string, string>; version?: string; path?: string; key?: string };

const post = (body: unknown, headers: Record<string, string> = {}): Promise<Response> =>
  request("/mcp", {
    method: "POST",
    headers: { "content-type": "application/json", ...headers },
    body: typeof body === "string" ? body : JSON.stringify(body),
  });

describe("POST /mcp", () => {
  it("describes itself to a modern client, and opens no session for an older one", async () => {
    const { body } = await modern("server/discover");
    expect(body).toMatchObject({ id: 1, result: { supportedVersions: ["2026-07-28"], capabilities: { tools: {} } } });
    const opened = await post({
      jsonrpc: "2.0",
      id: "a",
      method: "initialize",
      params: { protocolVersion: "2025-06-18" },
    });
    expect(await opened.json()).toMatchObject({ id: "a", result: { protocolVersion: "2025-06-18" } });
    expect(opened.headers.has("mcp-session-id")).toBe(false);
    const notified = await post({ jsonrpc: "2.0", method: "notifications/initialized" });
    expect([notified.status, await notified.text()]).toEqual([202, ""]);
  });

  it("lists the tools of the gateway, sorted, with what only reads", async () => {
    const { body } = await modern("tools/list");
    const { tools } = body.result as { tools: Json[] };
    expect(tools.map(({ name }) => name)).toEqual(["time", "web_fetch"]);
    expect(tools[0]).toMatchObject({ inputSchema: { type: "object" }, annotations: { readOnlyHint: true } });
    const legacy = await post(
      { jsonrpc: "2.0", id: 2, method: "tools/list" },
      { "mcp-protocol-version": "2025-11-25" },
    );
    expect((await legacy.json<{ result: { tools: Json[] } }>()).result.tools).toEqual(tools);
  });

  it("executes a call as a run that is recorded like every other", async () => {
    const { body } = await modern("tools/call", { name: "time", arguments: { time_zone: "Europe/Paris" } });
    expect(body).toMatchObject({
      result: {
        resultType: "complete",
        isError: false,
        content: [{ type: "text", text: expect.stringContaining("Paris") }],
      },
    });
    const list = async (path: string): Promise<Json[]> => {
      const response = await request(path);
      return response.ok ? (await response.json<{ data: Json[] }>()).data : [];
    };
    // Runs of earlier tests may still come into the list.
    const executions = async (): Promise<Json[]> => {
      const runs = await list("/v1/runs?limit=100");
      return (await Promise.all(runs.map(({ id }) => list(`/v1/runs/${id as string}/tool-executions`)))).flat();
    };
    await expect
      .poll(executions)
      .toContainEqual(
        expect.objectContaining({ name: "time", status: "succeeded", arguments: '{"time_zone":"Europe/Paris"}' }),
      );
  });

  it("gives arguments that do not fit as an error that the model reads", async () => {
    const { body } = await modern("tools/call", { name: "time", arguments: { zone: 1 } });
    expect(body).toMatchObject({ result: { isError: true, content: [{ text: expect.stringContaining("schema") }] } });
  });

  it.each([
    ["a method that there is none of", "nothing/here", {}, {}, 404, -32601],
    ["a tool that there is none of", "tools/call", { name: "nothing" }, {}, 200, -32602],
    ["a call without a name", "tools/call", {}, { "mcp-name": "" }, 400, -32020],
    ["a header that says something else", "tools/list", {}, { "mcp-method": "tools/call" }, 400, -32020],
    [
      "a name in a header that says something else",
      "tools/call",
      { name: "time" },
      { "mcp-name": "web_fetch" },
      400,
      -32020,
    ],
    ["another version in the header", "tools/list", {}, { "mcp-protocol-version": "2025-11-25" }, 400, -32020],
    ["a state that is none", "tools/call", { name: "time", requestState: "x" }, {}, 200, -32602],
  ])("refuses %s", async (_, method, params, headers, status, code) => {
    const answer = await modern(method, params, { headers });
    expect([answer.status, (answer.body.error as Json | undefined)?.code]).toEqual([status, code]);
  });

  it.each(["constructor", "toString", "valueOf", "hasOwnProperty", "__proto__"])(
    "has no method that an object has by itself: %s",
    async (method) => {
      const answer = await post({ jsonrpc: "2.0", id: 1, method });
      expect([answer.status, (await answer.json<{ error: Json }>()).error.code]).toEqual([200, -32601]);
    },
  );

  it("names its versions to a client that has none of them", async () => {
    const { status, body } = await modern("tools/list", {}, { version: "2099-01-01" });
    expect([status, body.error]).toMatchObject([
      400,
      { code: -32022, data: { supported: expect.arrayContaining(["2026-07-28"]) } },
    ]);
  });

  it.each([
    ["no JSON", "{", -32700],
    ["a batch", [], -32600],
    ["no JSON-RPC", { id: 1, method: "ping" }, -32600],
    ["an id of another type", { jsonrpc: "2.0", id: {}, method: "ping" }, -32600],
    ["a method of another type", { jsonrpc: "2.0", id: 1, method: 2 }, -32600],
    [
      "deep nesting",
      `{"jsonrpc":"2.0","id":1,"method":"ping","params":${"[".repeat(5_000)}${"]".repeat(5_000)}}`,
      -32700,
    ],
  ])("refuses %s", async (_, body, code) => {
    const answer = await post(body);
    expect([answer.status, (await answer.json<{ error: Json }>()).error.code]).toEqual([400, code]);
  });

  it("is for keys only, for pages of allowed origins, and has no stream of its own", async () => {
    expect((await request("/mcp", { method: "POST", key: "rhone_sk_wrong", body: "{}" })).status).toBe(401);
    expect((await post({ jsonrpc: "2.0", id: 1, method: "ping" }, { origin: "https://evil.example" })).status).toBe(
      403,
    );
    const stream = await request("/mcp");
    expect([stream.status, stream.headers.get("allow")]).toEqual([405, "POST"]);
  });
});
