import { describe, expect, it } from "vitest";
import { callTool } from "../../src/mcp/call-tool.ts";
import { McpError } from "../../src/mcp/mcp-error.ts";
import {
  call,
  callFor,
  legacy,
  modern,
  never,
  openSession,
  QUESTION,
  toError,
  toJson,
  toResult,
} from "../support/mcp/fake-server.ts";

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
