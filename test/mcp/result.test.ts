import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { callTool } from "../../src/mcp/call-tool.ts";
import { McpError } from "../../src/mcp/mcp-error.ts";
import { getTask } from "../../src/mcp/tasks.ts";
import { listTools } from "../../src/mcp/tools.ts";
import { OutboundError } from "../../src/outbound/bounded-fetch.ts";
import {
  call,
  callFor,
  encodeEvents,
  legacy,
  modern,
  never,
  openSession,
  QUESTION,
  toError,
  toEvents,
  toJson,
} from "../support/mcp/fake-server.ts";

const MEMBERS = (
  "jsonrpc id method params result error code message data resultType content structuredContent isError type text mimeType resource " +
  "blob uri name inputRequests requestState mode requestedSchema url taskId status statusMessage createdAt ttlMs pollIntervalMs tools " +
  "inputSchema annotations nextCursor properties x-mcp-header progressToken progress total elicitations __proto__"
).split(" ");

describe("the result of a tool", () => {
  it("is text and media, in the order of its items", async () => {
    const content = [
      { type: "text", text: "one" },
      { type: "image", mimeType: "image/png", data: "AAAA" },
      { type: "resource", resource: { uri: "file:///a", text: "two" } },
      { type: "resource_link", uri: "file:///b", name: "b.txt" },
      { type: "audio", mimeType: "audio/wav", data: "BBBB" },
      { type: "resource", resource: { uri: "file:///c", blob: "CCCC" } },
      { type: "resource", resource: { uri: "file:///d", mimeType: "application/gzip", blob: "DDDD" } },
      { type: "hologram", x: 1 },
    ];
    expect(await callFor({ resultType: "complete", content, structuredContent: { a: 1 } })).toEqual({
      kind: "result",
      text: 'one\ntwo\nb.txt (file:///b)\n{"type":"hologram","x":1}',
      media: [
        { mimeType: "image/png", data: "AAAA" },
        { mimeType: "audio/wav", data: "BBBB" },
        { mimeType: "application/octet-stream", data: "CCCC" },
        { mimeType: "application/gzip", data: "DDDD" },
      ],
      isError: false,
    });
  });

  it("is its structured content where there is no text, with numbers as they are", async () => {
    const body = '{"jsonrpc":"2.0","id":2,"result":{"content":[],"structuredContent":[12345678901234567890,null]}}';
    const { session } = openSession(modern(() => toJson(body)));
    expect(await callTool(session, call, never())).toMatchObject({ text: "[12345678901234567890,null]" });
    expect(await callFor({ structuredContent: null })).toMatchObject({ text: "null" });
    expect(await callFor({ content: [{ type: "text", text: "" }], structuredContent: 1 })).toMatchObject({ text: "" });
  });

  it("may be an error of the tool", async () => {
    const content = [{ type: "text", text: "no such file" }];
    expect(await callFor({ content, isError: true })).toMatchObject({ text: "no such file", isError: true });
    expect(await callFor({ content, isError: "true" })).toMatchObject({ isError: false });
  });

  it("may be an error of the protocol", async () => {
    const { session } = openSession(modern(({ id }) => toJson(toError(id, -32602, "Unknown tool"))));
    const thrown: unknown = await callTool(session, call, never()).catch((e: unknown) => e);
    expect(thrown).toBeInstanceOf(McpError);
    expect(thrown).toMatchObject({ code: -32602, message: "Unknown tool", status: undefined });
    const long = openSession(modern(({ id }) => toJson(toError(id, 1, "x".repeat(100_000)))));
    await expect(callTool(long.session, call, never())).rejects.toMatchObject({
      message: expect.stringMatching(/^x{2000} …$/) as string,
    });
  });
});

describe("an answer that is none of the protocol", () => {
  const deep = `${'{"a":'.repeat(5_000)}1${"}".repeat(5_000)}`;
  it.each([
    ["an empty body", "", "empty answer"],
    ["no JSON", "<html>", "no JSON"],
    ["a batch", '[{"jsonrpc":"2.0","id":2,"result":{}}]', "batch"],
    ["a text", '"hi"', "no JSON-RPC message"],
    ["another protocol", '{"id":2,"result":{}}', "no JSON-RPC message"],
    ["another id", '{"jsonrpc":"2.0","id":3,"result":{}}', "does not answer"],
    ["an id of another type", '{"jsonrpc":"2.0","id":"2","result":{}}', "does not answer"],
    ["an id that is an object", '{"jsonrpc":"2.0","id":{},"result":{}}', "neither text nor number"],
    ["a method that is a number", '{"jsonrpc":"2.0","id":2,"method":1}', "method is no text"],
    ["a request", '{"jsonrpc":"2.0","id":2,"method":"ping"}', "does not answer"],
    ["neither result nor error", '{"jsonrpc":"2.0","id":2}', "without an object"],
    ["a result that is no object", '{"jsonrpc":"2.0","id":2,"result":[]}', "without an object"],
    ["an error without a code", '{"jsonrpc":"2.0","id":2,"error":{"message":"x"}}', "without code or text"],
    ["deep nesting", `{"jsonrpc":"2.0","id":2,"result":${deep}}`, "nested deeper"],
  ])("%s", async (_, body, text) => {
    const { session } = openSession(modern(() => toJson(body)));
    const thrown: unknown = await callTool(session, call, never()).catch((e: unknown) => e);
    expect(thrown).toBeInstanceOf(McpError);
    expect((thrown as Error).message).toContain(text);
  });

  it("is bytes that are no UTF-8", async () => {
    const { session } = openSession(modern(() => new Response(new Uint8Array([0x22, 0xff, 0x22]))));
    await expect(callTool(session, call, never())).rejects.toThrow("no UTF-8");
  });

  it.each([
    ["an unknown type", { resultType: "surprise", content: [] }, "unknown type"],
    ["a type that is a number", { resultType: 1, content: [] }, "unknown type"],
    ["no content", { resultType: "complete" }, "no content"],
    ["content that is no array", { content: "hi" }, "no array"],
    ["an item that is no object", { content: ["hi"] }, "no object"],
    ["a text that is a number", { content: [{ type: "text", text: 1 }] }, "text is no text"],
    ["an image without data", { content: [{ type: "image", mimeType: "image/png" }] }, "data is no text"],
    ["a resource that is no object", { content: [{ type: "resource", resource: 1 }] }, "no object"],
    ["a resource without content", { content: [{ type: "resource", resource: { uri: "x" } }] }, "text is no text"],
    ["input without questions and state", { resultType: "input_required" }, "does not say which"],
    ["a state that is an object", { resultType: "input_required", requestState: {} }, "no text"],
    ["questions that are an array", { resultType: "input_required", inputRequests: [QUESTION] }, "no object"],
    ["a question that is a text", { resultType: "input_required", inputRequests: { a: "x" } }, "does not support"],
    [
      "a question without a text",
      { resultType: "input_required", inputRequests: { a: { ...QUESTION, params: {} } } },
      "without a text",
    ],
    [
      "a question without a schema",
      { resultType: "input_required", inputRequests: { a: { ...QUESTION, params: { message: "x" } } } },
      "without a schema",
    ],
    [
      "a question of an unknown mode",
      { resultType: "input_required", inputRequests: { a: { ...QUESTION, params: { message: "x", mode: "voice" } } } },
      "voice",
    ],
    [
      "more questions than a person answers",
      {
        resultType: "input_required",
        inputRequests: Object.fromEntries(Array.from({ length: 101 }, (_, i) => [i, QUESTION])),
      },
      "more than 100 questions",
    ],
    ["a task without an id", { resultType: "task", status: "working" }, "without an id"],
    ["a task of an unknown status", { resultType: "task", taskId: "t", status: "asleep" }, "unknown status"],
  ])("is %s", async (_, result, text) => {
    const thrown: unknown = await callFor(result).catch((e: unknown) => e);
    expect(thrown).toBeInstanceOf(McpError);
    expect((thrown as Error).message).toContain(text);
  });
});

describe("any answer", () => {
  /** JSON with the members that the protocol knows, of any type. */
  const { value } = fc.letrec<{ value: unknown }>((tie) => ({
    value: fc.oneof(
      { maxDepth: 4 },
      fc.jsonValue({ maxDepth: 2 }),
      fc.constantFrom(
        "text",
        "image",
        "resource",
        "task",
        "working",
        "completed",
        "input_required",
        "form",
        "url",
        "object",
        "string",
      ),
      fc.constantFrom("2.0", "elicitation/create", "notifications/progress", "tex_1", "https://example.com/", 2),
      fc.array(tie("value"), { maxLength: 3 }),
      fc.dictionary(fc.constantFrom(...MEMBERS), tie("value"), { maxKeys: 6 }),
    ),
  }));

  it("is an outcome or an error of the protocol", async () => {
    const message = fc.oneof(
      value.map((any) => () => any),
      value.map((result) => (id: unknown) => ({ jsonrpc: "2.0", id, result })),
      value.map((error) => (id: unknown) => ({ jsonrpc: "2.0", id, error })),
      value.map((params) => () => ({ jsonrpc: "2.0", id: 2, method: "elicitation/create", params })),
    );
    const unexpected: unknown[] = [];
    const note = (reason: unknown): void => {
      if (!(reason instanceof McpError) && !(reason instanceof OutboundError)) unexpected.push(reason);
    };
    await fc.assert(
      fc.asyncProperty(
        fc.array(message, { maxLength: 3 }),
        fc.boolean(),
        fc.boolean(),
        async (all, isStream, isLegacy) => {
          const answer = ({ id }: { id: unknown }): Response => {
            const messages = all.map((messageFor) => messageFor(id));
            return isStream ? toEvents([encodeEvents(...messages)]) : toJson(messages[0] ?? "");
          };
          const { session } = openSession((isLegacy ? legacy : modern)(answer));
          const onQuestion = async () => ({ action: "cancel" as const });
          await callTool(session, call, { ...never(), onQuestion }).catch(note);
          await listTools(session, never()).catch(note);
          await getTask(session, "t", never()).catch(note);
        },
      ),
      { numRuns: 500 },
    );
    expect(unexpected).toEqual([]);
  });
});
