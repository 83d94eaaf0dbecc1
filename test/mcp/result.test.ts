import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { callTool } from "../../src/mcp/call-tool.ts";
import { McpError } from "../../src/mcp/mcp-error.ts";
import type { McpOutcome } from "../../src/mcp/messages.ts";
import { cancelTask, getTask, updateTask } from "../../src/mcp/tasks.ts";
import { listTools } from "../../src/mcp/tools.ts";
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

const MEMBERS = (
  "jsonrpc id method params result error code message data resultType content structuredContent isError type text mimeType resource " +
  "blob uri name inputRequests requestState mode requestedSchema url taskId status statusMessage createdAt ttlMs pollIntervalMs tools " +
  "inputSchema annotations nextCursor properties x-mcp-header progressToken progress total elicitations __proto__"
).split(" ");

const callFor = (result: unknown): Promise<McpOutcome> =>
  callTool(openSession(modern(({ id }) => toJson(toResult(id, result)))).session, call, never());

const QUESTION = {
  method: "elicitation/create",
  params: { message: "Deploy?", requestedSchema: { type: "object", properties: { yes: { type: "boolean" } } } },
};

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

describe("input that a call requires", () => {
  it("is questions, and a state that is sent back unchanged with the answers", async () => {
    const state = 'opaque "\u2028 state';
    const { session, received } = openSession(
      modern(({ id, params }) =>
        toJson(
          toResult(
            id,
            params["inputResponses"] === undefined
              ? {
                  resultType: "input_required",
                  requestState: state,
                  inputRequests: {
                    deploy: QUESTION,
                    login: { ...QUESTION, params: { mode: "url", message: "Log in", url: "https://example.com/" } },
                    ["__proto__"]: QUESTION,
                  },
                }
              : { content: [], structuredContent: params["inputResponses"] },
          ),
        ),
      ),
    );
    const outcome = await callTool(session, call, never());
    expect(outcome).toMatchObject({
      kind: "input",
      state,
      questions: [
        { key: "deploy", message: "Deploy?", schema: QUESTION.params.requestedSchema },
        { key: "login", message: "Log in", url: "https://example.com/" },
        { key: "__proto__" },
      ],
    });
    const answers = {
      deploy: { action: "accept" as const, content: { yes: true } },
      login: { action: "decline" as const },
    };
    const done = await callTool(session, { ...call, answered: { state, answers } }, never());
    expect(done).toMatchObject({
      text: '{"deploy":{"action":"accept","content":{"yes":true}},"login":{"action":"decline"}}',
    });
    expect(received[2]!.params["requestState"]).toBe(state);
    expect(received[2]!.id).not.toBe(received[1]!.id);
  });

  it("may be a state alone, or questions without one", async () => {
    expect(await callFor({ resultType: "input_required", requestState: "s" })).toEqual({
      kind: "input",
      questions: [],
      state: "s",
    });
    const { session, received } = openSession(
      modern(({ id }) => toJson(toResult(id, { resultType: "input_required", inputRequests: { a: QUESTION } }))),
    );
    expect(await callTool(session, call, never())).not.toHaveProperty("state");
    await callTool(session, { ...call, answered: { answers: { a: { action: "cancel" } } } }, never());
    expect(received[2]!.params).not.toHaveProperty("requestState");
  });

  it("of another kind than a question is not supported", async () => {
    for (const method of ["sampling/createMessage", "roots/list"])
      await expect(
        callFor({ resultType: "input_required", inputRequests: { a: QUESTION, b: { method, params: {} } } }),
      ).rejects.toThrow(`the gateway does not support requests of the kind "${method}"`);
  });

  it("may be pages that a legacy server wants opened first", async () => {
    const openWith = (data: unknown) =>
      openSession(legacy(({ id }) => toJson(toError(id, -32042, "open", data)))).session;
    const elicitations = [{ mode: "url", elicitationId: "e-1", url: "https://example.com/", message: "Log in" }];
    expect(await callTool(openWith({ elicitations }), call, never())).toEqual({
      kind: "input",
      questions: [{ key: "e-1", message: "Log in", url: "https://example.com/" }],
    });
    for (const data of [undefined, {}, { elicitations: [] }, { elicitations: [1] }])
      await expect(callTool(openWith(data), call, never())).rejects.toThrow(McpError);
  });
});

describe("a task", () => {
  const TASK = {
    taskId: "t-1",
    status: "working",
    createdAt: "2026-01-01T00:00:00Z",
    ttlMs: 60_000,
    pollIntervalMs: 2_000,
  };
  const getFor = (task: unknown): Promise<McpOutcome> =>
    getTask(openSession(modern(({ id }) => toJson(toResult(id, task)))).session, "t-1", never());

  it("is what a call may become", async () => {
    expect(await callFor({ resultType: "task", ...TASK, statusMessage: "queued" })).toEqual({
      kind: "task",
      id: "t-1",
      pollMs: 2_000,
      endsAt: Date.UTC(2026, 0, 1, 0, 1),
      questions: [],
      message: "queued",
    });
    for (const [pollIntervalMs, pollMs] of [
      [undefined, 5_000],
      [-1, 100],
      [1e300, 3_600_000],
      ["1", 5_000],
    ])
      expect(await callFor({ resultType: "task", taskId: "t", status: "working", pollIntervalMs })).toEqual({
        kind: "task",
        id: "t",
        pollMs,
        questions: [],
      });
    expect(await callFor({ resultType: "task", ...TASK, ttlMs: null })).not.toHaveProperty("endsAt");
    expect(await callFor({ resultType: "task", ...TASK, createdAt: "yesterday" })).not.toHaveProperty("endsAt");
  });

  it("may be over before it is asked after", async () => {
    const result = { content: [{ type: "text", text: "done" }] };
    expect(await callFor({ resultType: "task", ...TASK, status: "completed", result })).toMatchObject({
      kind: "result",
      text: "done",
    });
    expect(await callFor({ resultType: "task", ...TASK, status: "completed" })).toMatchObject({
      kind: "task",
      pollMs: 100,
    });
    expect(await callFor({ resultType: "task", ...TASK, status: "input_required" })).toMatchObject({
      kind: "task",
      questions: [],
    });
  });

  it("is its status", async () => {
    expect(await getFor(TASK)).toMatchObject({ kind: "task", id: "t-1", questions: [] });
    expect(await getFor({ ...TASK, status: "input_required", inputRequests: { a: QUESTION } })).toMatchObject({
      kind: "task",
      questions: [{ key: "a", message: "Deploy?" }],
    });
    const result = { content: [{ type: "text", text: "done" }], isError: true };
    expect(await getFor({ ...TASK, status: "completed", result })).toEqual({
      kind: "result",
      text: "done",
      media: [],
      isError: true,
    });
    await expect(
      getFor({ ...TASK, status: "failed", error: { code: -32603, message: "out of quota" } }),
    ).rejects.toMatchObject({
      code: -32603,
      message: "the task has failed: out of quota",
    });
    await expect(getFor({ ...TASK, status: "cancelled", statusMessage: "by an operator" })).rejects.toThrow(
      "the task has been cancelled: by an operator",
    );
    await expect(getFor({ ...TASK, status: "completed" })).rejects.toThrow("has no result");
    await expect(getFor({ ...TASK, status: "input_required" })).rejects.toThrow("does not say which");
    const sampling = { a: { method: "sampling/createMessage", params: {} } };
    await expect(getFor({ ...TASK, status: "input_required", inputRequests: sampling })).rejects.toThrow(
      "does not support",
    );
  });

  it("is asked after, answered and cancelled by its id", async () => {
    const { session, received } = openSession(
      modern(({ id }) => toJson(toResult(id, { resultType: "complete", ...TASK, taskId: "tâche" }))),
    );
    await getTask(session, "tâche", never());
    await updateTask(session, { id: "tâche", answers: { a: { action: "accept", content: { yes: true } } } }, never());
    await cancelTask(session, "tâche", never());
    expect(received.slice(1).map(({ method, params: { _meta, ...params } }) => [method, params])).toEqual([
      ["tasks/get", { taskId: "tâche" }],
      ["tasks/update", { taskId: "tâche", inputResponses: { a: { action: "accept", content: { yes: true } } } }],
      ["tasks/cancel", { taskId: "tâche" }],
    ]);
    for (const { headers } of received.slice(1)) expect(headers.get("mcp-name")).toBe("=?base64?dMOiY2hl?=");
  });

  it("that the server does not know is an error", async () => {
    const { session } = openSession(modern(({ id }) => toJson(toError(id, -32602, "Task not found"))));
    await expect(getTask(session, "t", never())).rejects.toMatchObject({ code: -32602 });
    await expect(updateTask(session, { id: "t", answers: {} }, never())).rejects.toMatchObject({ code: -32602 });
    await expect(cancelTask(session, "t", never())).rejects.toMatchObject({ code: -32602 });
  });
});
