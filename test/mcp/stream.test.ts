import fc from "fast-check";
import { describe, expect, it, vi } from "vitest";
import { callTool } from "../../src/mcp/call-tool.ts";
import { MAX_ANSWER_BYTES } from "../../src/mcp/exchange.ts";
import type { McpProgress, McpQuestion } from "../../src/mcp/messages.ts";
import { OutboundError } from "../../src/outbound/bounded-fetch.ts";
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

const TEXT = { content: [{ type: "text", text: "grüße 👋" }] };
const progress = (params: object): unknown => ({ jsonrpc: "2.0", method: "notifications/progress", params });

describe("a stream of events", () => {
  const answer = (id: unknown): string =>
    [
      "\uFEFF: a comment\r\n\r\n",
      "id: 1\r\ndata:\r\n\r\n",
      "event: ping\ndata: nothing\n\n",
      encodeEvents(toResult(String(id), {}), toResult(Number(id) + 1, {}), toError(Number(id) + 2, 1)),
      encodeEvents({ jsonrpc: "2.0", method: "notifications/message", params: { data: "log" } }),
      `data: ${JSON.stringify(progress({ progressToken: "tex_1", progress: 1, total: 2, message: "é" }))}\r\r`,
      encodeEvents(progress({ progressToken: "another", progress: 9 }), progress({ progressToken: "tex_1" })),
      `data: {"jsonrpc":"2.0","id":${String(id)},\ndata: "result":${JSON.stringify(TEXT)}}\n\n`,
      "data: what follows is not read",
    ].join("");

  const run = async (cut: (bytes: Uint8Array) => Uint8Array[]) => {
    const seen: McpProgress[] = [];
    const { session } = openSession(
      modern(({ id }) => toEvents(cut(new TextEncoder().encode(answer(id))), { isOpen: true })),
    );
    const outcome = await callTool(session, call, { ...never(), onProgress: (each) => seen.push(each) });
    return { outcome, seen };
  };

  it("is read up to the response, however it is cut", async () => {
    const whole = await run((bytes) => [bytes]);
    expect(whole).toEqual({
      outcome: { kind: "result", text: "grüße 👋", media: [], isError: false },
      seen: [{ progress: 1, total: 2, message: "é" }],
    });
    expect(await run((bytes) => Array.from(bytes, (byte) => Uint8Array.of(byte)))).toEqual(whole);
    await fc.assert(
      fc.asyncProperty(fc.array(fc.nat(1_200)), async (cuts) => {
        const cut = (bytes: Uint8Array): Uint8Array[] => {
          const at = [0, ...cuts.filter((c) => c < bytes.length).toSorted((a, b) => a - b), bytes.length];
          return at.slice(1).map((end, i) => bytes.subarray(at[i], end));
        };
        expect(await run(cut)).toEqual(whole);
      }),
      { numRuns: 50 },
    );
  });

  it("is left at the response", async () => {
    let isCancelled = false;
    const { session, received } = openSession(
      modern(({ id }) => {
        const body = new ReadableStream<Uint8Array>({
          start: (controller) => controller.enqueue(new TextEncoder().encode(encodeEvents(toResult(id, TEXT)))),
          cancel: () => void (isCancelled = true),
        });
        return new Response(body, { headers: { "content-type": "text/event-stream; charset=utf-8" } });
      }),
    );
    await callTool(session, call, never());
    expect(isCancelled).toBe(true);
    expect(received.at(-1)!.signal.aborted).toBe(true);
  });

  it.each([
    ["at once", []],
    ["after other messages", [encodeEvents(progress({ progressToken: "tex_1", progress: 1 }))]],
    ["within the response", ['data: {"jsonrpc":"2.0","id":2,"resu']],
  ])("that ends without a response is an error of a request that was sent: %s", async (_, chunks) => {
    const { session } = openSession(modern(() => toEvents(chunks)));
    const thrown: unknown = await callTool(session, call, never()).catch((e: unknown) => e);
    expect(thrown).toBeInstanceOf(OutboundError);
    expect(thrown).toMatchObject({ isSent: true });
  });

  it("that breaks is an error of a request that was sent", async () => {
    const body = () => new ReadableStream({ pull: (controller) => controller.error(new Error("reset")) });
    const { session } = openSession(
      modern(() => new Response(body(), { headers: { "content-type": "text/event-stream" } })),
    );
    await expect(callTool(session, call, never())).rejects.toMatchObject({
      message: "the answer broke off",
      isSent: true,
    });
  });

  it("ends with the caller's signal", async () => {
    const abort = new AbortController();
    const { session } = openSession(
      modern(() => toEvents([encodeEvents(progress({ progressToken: "tex_1", progress: 1 }))], { isOpen: true })),
    );
    const onProgress = (): void => abort.abort(new Error("given up"));
    await expect(callTool(session, call, { signal: abort.signal, onProgress })).rejects.toThrow("given up");
  });

  it("ends with an error of the caller's own", async () => {
    const { session } = openSession(
      modern(() => toEvents([encodeEvents(progress({ progressToken: "tex_1", progress: 1 }))], { isOpen: true })),
    );
    const onProgress = (): void => {
      throw new Error("the disk is full");
    };
    await expect(callTool(session, call, { ...never(), onProgress })).rejects.toThrow("the disk is full");
  });

  it("is read up to a limit, over all its events", async () => {
    const filler = `: ${"x".repeat(99_997)}\n`.concat("\n");
    let sent = 0;
    const endless = () =>
      new ReadableStream<Uint8Array>({
        pull(controller) {
          sent += filler.length;
          controller.enqueue(new TextEncoder().encode(filler));
        },
      });
    for (const type of ["text/event-stream", "application/json"]) {
      sent = 0;
      const { session } = openSession(modern(() => new Response(endless(), { headers: { "content-type": type } })));
      await expect(callTool(session, call, never())).rejects.toThrow(`more than ${MAX_ANSWER_BYTES} bytes`);
      expect(sent).toBeLessThan(MAX_ANSWER_BYTES + 10 * filler.length);
    }
  });
});

describe("a request of a legacy server", () => {
  const QUESTION = {
    jsonrpc: "2.0",
    id: "q-1",
    method: "elicitation/create",
    params: { message: "Which colour?", requestedSchema: { type: "object", properties: {} } },
  };

  /** A server that sends these requests on the stream of a call, and its response once it has as many answers. */
  const openAsking = (...requests: object[]) => {
    const answers: unknown[] = [];
    let stream: ReadableStreamDefaultController<Uint8Array> | undefined;
    let calling: unknown;
    const write = (message: unknown): void => stream!.enqueue(new TextEncoder().encode(encodeEvents(message)));
    const opened = openSession(
      legacy(({ id, method, text }) => {
        if (method === undefined) {
          answers.push(JSON.parse(text));
          if (answers.length === requests.length) write(toResult(calling, TEXT));
          return new Response(null, { status: 202 });
        }
        calling = id;
        const body = new ReadableStream<Uint8Array>({ start: (controller) => void (stream = controller) });
        for (const request of requests) write(request);
        return new Response(body, { headers: { "content-type": "text/event-stream" } });
      }),
    );
    return { ...opened, answers };
  };

  it("is answered: a question by the caller, a ping, and nothing else", async () => {
    const { session, answers, received } = openAsking(
      QUESTION,
      { ...QUESTION, id: 7, method: "ping" },
      { ...QUESTION, id: 8, method: "sampling/createMessage" },
      { ...QUESTION, id: 9, method: "roots/list" },
    );
    const asked: McpQuestion[] = [];
    const onQuestion = async (question: McpQuestion) => {
      asked.push(question);
      // The other requests do not wait for a person.
      await vi.waitUntil(() => answers.length === 3);
      return { action: "accept" as const, content: { colour: "blue" } };
    };
    expect(await callTool(session, call, { ...never(), onQuestion })).toMatchObject({ kind: "result" });
    expect(asked).toEqual([{ key: "q-1", message: "Which colour?", schema: QUESTION.params.requestedSchema }]);
    expect(answers).toEqual([
      { jsonrpc: "2.0", id: 7, result: {} },
      { jsonrpc: "2.0", id: 8, error: { code: -32601, message: "sampling/createMessage is not supported" } },
      { jsonrpc: "2.0", id: 9, error: { code: -32601, message: "roots/list is not supported" } },
      { jsonrpc: "2.0", id: "q-1", result: { action: "accept", content: { colour: "blue" } } },
    ]);
    expect(received.at(-1)!.headers.get("mcp-session-id")).toBe("s-1");
  });

  it("to open a page has its address", async () => {
    const url = "https://example.com/login";
    const { session } = openAsking({ ...QUESTION, params: { mode: "url", message: "Log in", url } });
    const onQuestion = vi.fn(async (_: McpQuestion) => ({ action: "decline" as const }));
    await callTool(session, call, { ...never(), onQuestion });
    expect(onQuestion.mock.calls[0]![0]).toEqual({ key: "q-1", message: "Log in", url });
  });

  it("is cancelled if the caller answers none", async () => {
    const { session, answers } = openAsking(QUESTION);
    await callTool(session, call, never());
    expect(answers).toEqual([{ jsonrpc: "2.0", id: "q-1", result: { action: "cancel" } }]);
  });

  it("ends the call if it is no question that a person can answer", async () => {
    const { session } = openAsking({
      ...QUESTION,
      params: { mode: "url", message: "x", url: "javascript:alert(1)" },
    });
    const onQuestion = async () => ({ action: "cancel" as const });
    await expect(callTool(session, call, { ...never(), onQuestion })).rejects.toThrow("no web page");
  });

  it("no longer needs an answer once the server has responded", async () => {
    let until: AbortSignal | undefined;
    const { session, received } = openSession(
      legacy(({ id }) => toEvents([encodeEvents(QUESTION), encodeEvents(toResult(id, TEXT))])),
    );
    const answered = Promise.withResolvers<{ action: "cancel" }>();
    const onQuestion = (_: McpQuestion, signal: AbortSignal) => {
      until = signal;
      return answered.promise;
    };
    await callTool(session, call, { ...never(), onQuestion });
    expect(until!.aborted).toBe(true);
    answered.resolve({ action: "cancel" });
    await answered.promise;
    expect(received.filter(({ method }) => method === undefined)).toEqual([]);
  });

  it("is not answered if a modern server sends it", async () => {
    const { session, received } = openSession(
      modern(({ id }) => toEvents([encodeEvents(QUESTION, { ...QUESTION, method: "ping" }, toResult(id, TEXT))])),
    );
    await callTool(session, call, never());
    expect(received).toHaveLength(2);
  });

  it("is an error if there are too many", async () => {
    const pings = encodeEvents(...Array.from({ length: 1_001 }, (_, id) => ({ jsonrpc: "2.0", id, method: "ping" })));
    const { session } = openSession(
      legacy(({ method }) =>
        method === undefined ? new Response(null, { status: 202 }) : toEvents([pings], { isOpen: true }),
      ),
    );
    await expect(callTool(session, call, never())).rejects.toThrow("more than 1000 requests");
  });

  it("fails the call if the server does not take the answer", async () => {
    const { session } = openSession(
      legacy(({ method }) =>
        method === undefined ? toJson("no", 400) : toEvents([encodeEvents(QUESTION)], { isOpen: true }),
      ),
    );
    await expect(callTool(session, call, never())).rejects.toThrow("refused a message with status 400");
  });
});
