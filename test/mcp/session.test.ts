import { describe, expect, it, vi } from "vitest";
import { callTool } from "../../src/mcp/call-tool.ts";
import { McpError } from "../../src/mcp/mcp-error.ts";
import { PREPARATION_MS } from "../../src/mcp/preparation.ts";
import { createMcpSession } from "../../src/mcp/session.ts";
import { listTools } from "../../src/mcp/tools.ts";
import {
  call,
  encodeEvents,
  legacy,
  modern,
  never,
  openSession,
  toError,
  toEvents,
  toJson,
  toResult,
} from "../support/mcp/fake-server.ts";

const TEXT = { content: [{ type: "text", text: "hi" }] };
const methodsOf = (received: { method: string | undefined }[]): (string | undefined)[] => received.map((m) => m.method);

describe("a connection to a modern server", () => {
  it("sends all that the protocol requires with each request", async () => {
    const { session, received } = openSession(
      modern(({ id }) => toJson(toResult(id, { resultType: "complete", ...TEXT }))),
      { authorization: "Bearer secret", "mcp-method": "mine" },
    );
    await callTool(session, call, never());
    expect(methodsOf(received)).toEqual(["server/discover", "tools/call"]);
    for (const { params } of received)
      expect(params["_meta"]).toMatchObject({
        "io.modelcontextprotocol/protocolVersion": "2026-07-28",
        "io.modelcontextprotocol/clientInfo": { name: "rhone" },
        "io.modelcontextprotocol/clientCapabilities": {
          elicitation: { form: {}, url: {} },
          extensions: { "io.modelcontextprotocol/tasks": {} },
        },
      });
    const { headers, params } = received[1]!;
    expect(Object.fromEntries(headers)).toMatchObject({
      accept: "application/json, text/event-stream",
      authorization: "Bearer secret",
      "content-type": "application/json",
      "mcp-method": "tools/call",
      "mcp-name": "echo",
      "mcp-protocol-version": "2026-07-28",
    });
    expect(headers.has("mcp-session-id")).toBe(false);
    expect(params["_meta"]).toMatchObject({ idempotencyKey: "tex_1", progressToken: "tex_1" });
  });

  it("sends arguments byte for byte", async () => {
    const { session, received } = openSession(modern(({ id }) => toJson(toResult(id, TEXT))));
    const args = '{ "a": 1.0, "a": 12345678901234567890 ,"b":"\\u0041"}';
    await callTool(session, { ...call, args: `\n${args} ` }, never());
    expect(received[1]!.text).toContain(`"arguments":${args}}`);
  });

  it("refuses arguments that are no object", async () => {
    const { session, received } = openSession(modern(({ id }) => toJson(toResult(id, TEXT))));
    for (const args of ["[]", "1", "{", '{},"name":"other"', "{} {}"])
      await expect(callTool(session, { ...call, args }, never())).rejects.toThrow("no JSON object");
    expect(received).toEqual([]);
  });

  it("uses a version that both have, and says which versions a server has if there is none", async () => {
    const refuse = (supported: string[]) =>
      openSession(({ id, method }) =>
        method === "server/discover"
          ? toJson(toError(id, -32022, "no", { supported }), 400)
          : toJson(toResult(id, TEXT)),
      );
    const { session, received } = refuse(["2030-01-01", "2026-07-28"]);
    await callTool(session, call, never());
    expect(methodsOf(received)).toEqual(["server/discover", "tools/call"]);
    await expect(callTool(refuse(["2030-01-01"]).session, call, never())).rejects.toThrow(
      /speaks MCP 2030-01-01; the gateway speaks 2026-07-28/,
    );
  });

  it("reports an unknown method, and keeps the connection", async () => {
    const { session, received } = openSession(modern(({ id }) => toJson(toError(id, -32601), 404)));
    for (let i = 0; i < 2; i++)
      await expect(callTool(session, call, never())).rejects.toMatchObject({ code: -32601, status: 404 });
    expect(methodsOf(received)).toEqual(["server/discover", "tools/call", "tools/call"]);
  });

  it("takes a server without server/discover for modern if it answers as modern servers do", async () => {
    const { session, received } = openSession(({ id, method }) =>
      method === "server/discover" ? toJson(toError(id, -32601), 404) : toJson(toResult(id, TEXT)),
    );
    await callTool(session, call, never());
    expect(methodsOf(received)).toEqual(["server/discover", "tools/call"]);
  });

  it("does not repeat a request whose headers a server refuses", async () => {
    const { session, received } = openSession(modern(({ id }) => toJson(toError(id, -32020), 400)));
    await expect(callTool(session, call, never())).rejects.toMatchObject({ code: -32020 });
    expect(received).toHaveLength(2);
  });

  it("agrees on a version again when the server no longer has it", async () => {
    let refusals = 0;
    const { session, received } = openSession(
      modern(({ id }) => (refusals++ === 0 ? toJson(toError(id, -32022), 400) : toJson(toResult(id, TEXT)))),
    );
    await callTool(session, call, never());
    expect(methodsOf(received)).toEqual(["server/discover", "tools/call", "server/discover", "tools/call"]);
  });

  it("asks for the protocol again after an answer that no modern server gives", async () => {
    let answers = 0;
    const { session, received } = openSession(
      modern(({ id }) => (answers++ === 0 ? toJson("<html>", 404) : toJson(toResult(id, TEXT)))),
    );
    await expect(callTool(session, call, never())).rejects.toThrow("status 404");
    await callTool(session, call, never());
    expect(methodsOf(received)).toEqual(["server/discover", "tools/call", "server/discover", "tools/call"]);
  });
});

describe("a connection to a legacy server", () => {
  const refusals: [string, (id: unknown) => Response][] = [
    ["400 without a body", () => new Response(null, { status: 400 })],
    ["400 with an older error", (id) => toJson(toError(id, -32000), 400)],
    ["400 with an error that has no id", () => toJson(toError(null, -32600), 400)],
    ["404 with a page", () => new Response("<html>not found</html>", { status: 404 })],
    ["405", () => new Response("no", { status: 405 })],
    [
      "400 with a stream that stays open",
      () => new Response(new ReadableStream(), { status: 400, headers: { "content-type": "text/event-stream" } }),
    ],
    ["200 with an older error", (id) => toJson(toError(id, -32601))],
    ["an older error in a stream", (id) => toEvents([encodeEvents(toError(id, -32602))])],
    ["200 with a result that lists no versions", (id) => toJson(toResult(id, {}))],
    [
      "an unsupported version, with legacy ones",
      (id) => toJson(toError(id, -32022, "no", { supported: ["2025-06-18"] }), 400),
    ],
    ["500 with an error", (id) => toJson(toError(id, -32603), 500)],
  ];

  it.each(refusals)("is opened after %s", async (_, refuse) => {
    const answer = legacy(({ id }) => toJson(toResult(id, TEXT)));
    const { session, received } = openSession((message) =>
      message.method === "server/discover" ? refuse(message.id) : answer(message),
    );
    expect(await callTool(session, call, never())).toMatchObject({ kind: "result", text: "hi" });
    const [, initialize, initialized, called] = received;
    expect(methodsOf(received).slice(1)).toEqual(["initialize", "notifications/initialized", "tools/call"]);
    expect(initialize!.params).toMatchObject({
      protocolVersion: "2025-11-25",
      capabilities: { elicitation: { form: {}, url: {} } },
      clientInfo: { name: "rhone" },
    });
    expect(initialize!.headers.has("mcp-protocol-version")).toBe(false);
    expect(initialized!.id).toBeUndefined();
    for (const { headers } of [initialized!, called!]) {
      expect(headers.get("mcp-session-id")).toBe("s-1");
      expect(headers.get("mcp-protocol-version")).toBe("2025-11-25");
      expect(headers.has("mcp-method")).toBe(false);
    }
    expect(called!.params["_meta"]).toEqual({ idempotencyKey: "tex_1", progressToken: "tex_1" });
  });

  it.each(["2025-11-25", "2025-06-18", "2025-03-26"])("speaks %s if the server wants to", async (version) => {
    const { session, received } = openSession(legacy(({ id }) => toJson(toResult(id, TEXT)), { version }));
    await callTool(session, call, never());
    expect(received.at(-1)!.headers.get("mcp-protocol-version")).toBe(version);
  });

  it("says which version a server has that is too old", async () => {
    const { session } = openSession(legacy(() => toJson({}), { version: "2024-11-05" }));
    await expect(callTool(session, call, never())).rejects.toThrow("the server speaks MCP 2024-11-05");
  });

  it("is shared by requests at the same time, of which one may be given up", async () => {
    const { session, received } = openSession(legacy(({ id }) => toJson(toResult(id, TEXT))));
    const first = new AbortController();
    const calls = [callTool(session, call, first), callTool(session, call, never()), callTool(session, call, never())];
    first.abort(new Error("given up"));
    const [given, ...others] = await Promise.allSettled(calls);
    expect(given).toMatchObject({ status: "rejected", reason: { message: "given up" } });
    expect(others.map(({ status }) => status)).toEqual(["fulfilled", "fulfilled"]);
    expect(methodsOf(received).filter((method) => method === "initialize")).toHaveLength(1);
  });

  it.each([
    ["404", () => new Response(null, { status: 404 })],
    [
      "400 as official examples do",
      (id: unknown) => toJson(toError(id, -32000, "Bad Request: No valid session ID provided"), 400),
    ],
  ])("is opened anew once when the server has forgotten it: %s", async (_, forget) => {
    const known = new Set(["s-1"]);
    let opened = 0;
    const answer = ({ id, headers }: { id: unknown; headers: Headers }): Response =>
      known.has(headers.get("mcp-session-id")!) ? toJson(toResult(id, TEXT)) : forget(id);
    const { session, received } = openSession((message) => {
      if (message.method === "initialize") known.add(`s-${++opened}`);
      return legacy(answer, { sessionId: `s-${opened}` })(message);
    });
    await callTool(session, call, never());
    known.clear();
    const calls = await Promise.all([callTool(session, call, never()), callTool(session, call, never())]);
    expect(calls).toMatchObject([{ text: "hi" }, { text: "hi" }]);
    expect(methodsOf(received).filter((method) => method === "initialize")).toHaveLength(2);
    expect(received.filter(({ method }) => method === "initialize")[1]!.headers.has("mcp-session-id")).toBe(false);
  });

  it("is not opened anew a second time for one request", async () => {
    const { session, received } = openSession(legacy(() => new Response(null, { status: 404 })));
    await expect(callTool(session, call, never())).rejects.toMatchObject({ status: 404 });
    expect(methodsOf(received).filter((method) => method === "initialize")).toHaveLength(2);
  });

  it("says that a request is given up", async () => {
    const abort = new AbortController();
    const sent = Promise.withResolvers<void>();
    const { session, received } = openSession(
      legacy(({ id, method, signal }) => {
        if (method === "notifications/cancelled") sent.resolve();
        if (id === undefined) return new Response(null, { status: 202 });
        queueMicrotask(() => abort.abort(new Error("given up")));
        return new Promise((_, reject) => signal.addEventListener("abort", () => reject(signal.reason as Error)));
      }),
    );
    await expect(callTool(session, call, abort)).rejects.toThrow("given up");
    await sent.promise;
    expect(received.at(-1)!.params).toEqual({ requestId: received.at(-2)!.id });
  });
});

describe("a server's refusal", () => {
  it.each([
    [401, "does not accept the credentials"],
    [403, "does not permit"],
    [307, "redirects"],
    [503, "status 503"],
  ])("with status %d is an error of its own, while connecting and later", async (status, text) => {
    const refusal = () => new Response("x", { status, headers: { location: "https://other.example.com/" } });
    const connecting = openSession(refusal);
    await expect(listTools(connecting.session, never())).rejects.toThrow(text);
    expect(connecting.received).toHaveLength(1);
    for (const era of [modern, legacy]) {
      const thrown: unknown = await listTools(openSession(era(refusal)).session, never()).catch((e: unknown) => e);
      expect(thrown).toBeInstanceOf(McpError);
      expect(thrown).toMatchObject({ status, message: expect.stringContaining(text) as string });
    }
  });

  it("to connect says that the request was not sent", async () => {
    const down = openSession(() => Promise.reject(new TypeError("connection refused")));
    await expect(callTool(down.session, call, never())).rejects.toMatchObject({
      message: "connecting to the server failed: mcp.example.com could not be reached",
      isSent: false,
    });
    const broken = openSession(modern(() => Promise.reject(new TypeError("connection reset"))));
    await expect(callTool(broken.session, call, never())).rejects.toMatchObject({ isSent: true });
  });

  it("is silence for too long while connecting", async () => {
    vi.useFakeTimers();
    try {
      const { session } = openSession(
        ({ signal }) =>
          new Promise((_, reject) => signal.addEventListener("abort", () => reject(signal.reason as Error))),
      );
      const calling = callTool(session, call, never()).catch((e: unknown) => e);
      await vi.advanceTimersByTimeAsync(PREPARATION_MS);
      expect(await calling).toMatchObject({
        message: "connecting to the server took longer than 30000 ms",
        isSent: false,
      });
    } finally {
      vi.useRealTimers();
    }
  });

  it("is not remembered", async () => {
    let isDown = true;
    const answer = modern(({ id }) => toJson(toResult(id, TEXT)));
    const { session } = openSession((message) => (isDown ? new Response(null, { status: 503 }) : answer(message)));
    await expect(callTool(session, call, never())).rejects.toThrow("status 503");
    isDown = false;
    expect(await callTool(session, call, never())).toMatchObject({ text: "hi" });
  });

  it("of a private address is the guard's", async () => {
    const fetching = (() => expect.unreachable()) as unknown as typeof fetch;
    const network = {
      reach: { own: new Set<string>(), registered: new Set<string>() },
      fetchPublic: fetching,
      fetchRegistered: fetching,
    };
    const session = createMcpSession({ url: "http://127.0.0.1:1/mcp", headers: {} }, { network });
    await expect(listTools(session, never())).rejects.toThrow("https://");
  });
});
