import { describe, expect, it } from "vitest";
import { createAuthorization } from "../../src/mcp/authorization.ts";
import { callTool } from "../../src/mcp/call-tool.ts";
import { listTools } from "../../src/mcp/tools.ts";
import {
  call,
  encodeEvents,
  legacy,
  modern,
  never,
  openSession,
  toEvents,
  toJson,
  toResult,
} from "../support/mcp/fake-server.ts";

const TEXT = { content: [{ type: "text", text: "hi" }] };

describe("a session in the runtime", () => {
  it("reads streams, and leaves them at the response", async () => {
    const question = {
      jsonrpc: "2.0",
      id: "q",
      method: "elicitation/create",
      params: { message: "?", requestedSchema: {} },
    };
    let stream: ReadableStreamDefaultController<Uint8Array> | undefined;
    let calling: unknown;
    let isCancelled = false;
    const write = (message: unknown): void => stream!.enqueue(new TextEncoder().encode(encodeEvents(message)));
    const { session } = openSession(
      legacy(({ id, method }) => {
        if (method === undefined) {
          write(toResult(calling, TEXT));
          return new Response(null, { status: 202 });
        }
        calling = id;
        const body = new ReadableStream<Uint8Array>({
          start: (controller) => void (stream = controller),
          cancel: () => void (isCancelled = true),
        });
        write(question);
        return new Response(body, { headers: { "content-type": "text/event-stream" } });
      }),
    );
    const onQuestion = async () => ({ action: "decline" as const });
    expect(await callTool(session, call, { ...never(), onQuestion })).toMatchObject({ text: "hi" });
    expect(isCancelled).toBe(true);
  });

  it("ends with the caller's signal", async () => {
    const abort = new AbortController();
    const progress = {
      jsonrpc: "2.0",
      method: "notifications/progress",
      params: { progressToken: "tex_1", progress: 1 },
    };
    const { session } = openSession(modern(() => toEvents([encodeEvents(progress)], { isOpen: true })));
    const onProgress = (): void => abort.abort(new Error("given up"));
    await expect(callTool(session, call, { signal: abort.signal, onProgress })).rejects.toThrow("given up");
  });

  it("lists tools", async () => {
    const { session } = openSession(
      modern(({ id }) => toJson(toResult(id, { tools: [{ name: "a", inputSchema: {} }] }))),
    );
    expect((await listTools(session, never())).tools).toHaveLength(1);
  });

  it("gets a token", async () => {
    const { network } = openSession(() => toJson({}));
    const urls: string[] = [];
    const fetching = (async (url: string, init: RequestInit) => {
      urls.push(url);
      if (url.includes("protected-resource"))
        return toJson({ resource: "https://mcp.example.com/mcp", authorization_servers: ["https://auth.example.com"] });
      if (url.includes("authorization-server"))
        return toJson({ issuer: "https://auth.example.com", token_endpoint: "https://auth.example.com/token" });
      return toJson({
        access_token: (init.body as string).length > 0 ? "token" : "",
        token_type: "Bearer",
        expires_in: 60,
      });
    }) as typeof fetch;
    const authorization = createAuthorization(
      { clientId: "a", clientSecret: "b", hosts: ["*.example.com"] },
      { url: "https://mcp.example.com/mcp", network: { ...network, fetchPublic: fetching }, now: () => 0 },
    );
    expect(await authorization.getToken()).toBe("token");
    expect(urls).toHaveLength(3);
  });
});
