import { describe, expect, it } from "vitest";
import { encodeUtf8 } from "../../src/wire/bytes.ts";
import { errorOf, post, request, user } from "../support/worker/client.ts";

const say = { model: "fake/say", messages: [user("x")] };

describe("bad input", () => {
  const nested = (depth: number): string =>
    `{"model":"demo","messages":[{"role":"user","content":"x"}],"deep":${"[".repeat(depth)}${"]".repeat(depth)}}`;

  it.each([
    ["not JSON", "{nope", "body"],
    ["an empty body", "", "body"],
    ["no object", "[1]", "body"],
    ["a text", '"x"', "body"],
    ["no messages", '{"model":"demo"}', "messages"],
    ["empty messages", '{"model":"demo","messages":[]}', "messages"],
    ["messages that are none", '{"model":"demo","messages":"hi"}', "messages"],
    ["a message that is none", '{"model":"demo","messages":[1]}', "messages[0]"],
    ["a role nobody knows", '{"model":"demo","messages":[{"role":"wizard","content":"x"}]}', "messages[0].role"],
    [
      "stream that is no boolean",
      '{"model":"demo","stream":"yes","messages":[{"role":"user","content":"x"}]}',
      "stream",
    ],
    ["no model", '{"messages":[{"role":"user","content":"x"}]}', "model"],
    ["a model of the wrong type", '{"model":5,"messages":[{"role":"user","content":"x"}]}', "model"],
    ["too many tools", JSON.stringify({ model: "demo", messages: [user("x")], tools: Array(257).fill({}) }), "tools"],
    ["deep nesting", nested(10_000), "body"],
    ["rhone that is no object", '{"model":"demo","messages":[{"role":"user","content":"x"}],"rhone":[]}', "rhone"],
    [
      "rhone with a wrong type",
      '{"model":"demo","messages":[{"role":"user","content":"x"}],"rhone":{"tags":"a"}}',
      "rhone.tags",
    ],
    [
      "rhone with a typo",
      '{"model":"demo","messages":[{"role":"user","content":"x"}],"rhone":{"sesion_id":"a"}}',
      "rhone.sesion_id",
    ],
    [
      "an odd session id",
      '{"model":"demo","messages":[{"role":"user","content":"x"}],"rhone":{"session_id":"sess_a b"}}',
      "rhone.session_id",
    ],
  ])("bad input is refused by name: %s", async (_, body, param) => {
    for (const headers of [{}, { "x-rhone-context-mode": "stateless" }]) {
      const response = await post(body, headers);
      const { error } = (await response.json()) as { error: { type: string; param: string; message: string } };
      expect([response.status, error.param, error.type]).toEqual([400, param, "invalid_request_error"]);
      expect(error.message.length).toBeGreaterThan(param.length + 5);
    }
  });

  it.each<[string, string, object, string]>([
    ["/v1/chat/completions", "fakeanth/say", { messages: [user("x")], temperature: "hot" }, "temperature"],
    ["/v1/chat/completions", "demo", { messages: [user("x")], stop: 5 }, "stop"],
    ["/v1/responses", "fakeanth/say", { input: "x", reasoning: { effort: 3 } }, "reasoning.effort"],
    ["/v1/messages", "fake/say", { messages: [user("x")], max_tokens: 9, top_k: "many" }, "top_k"],
  ])(
    "a value of the wrong type that no provider would judge is refused by name: %s to %s",
    async (path, model, body, param) => {
      for (const headers of [{}, { "x-rhone-context-mode": "stateless" }]) {
        const sent = JSON.stringify({ model, ...body });
        const sentHeaders = { ...headers, "anthropic-version": "2023-06-01" };
        const response = await request(path, { method: "POST", body: sent, headers: sentHeaders });
        const { error } = (await response.json()) as { error: { type: string; message: string } };
        expect([response.status, error.type]).toEqual([400, "invalid_request_error"]);
        expect(error.message).toContain(`${param}: expected`);
      }
    },
  );

  it("a value of the wrong type is left to a provider of the same dialect, also with a fallback to another one", async () => {
    for (const headers of [{}, { "x-rhone-context-mode": "stateless" }]) {
      const rhone = { routing: { fallbacks: ["fakeanth/say"] } };
      const response = await post({ ...say, temperature: "hot", rhone }, headers);
      const { rhone: told } = (await response.json()) as { rhone: { routing: object } };
      expect([response.status, told.routing]).toMatchObject([200, { provider: "fake", attempts: 1 }]);
    }
  });

  it.each([{}, { "x-rhone-context-mode": "stateless" }])(
    "a call in a thread of the provider is refused with the code by which Anthropic's SDK goes on without it: %o",
    async (mode) => {
      for (const thread of [{ type: "create" }, { type: "continue", previous_message_id: "msg_x" }]) {
        const body = JSON.stringify({ ...say, model: "fakeanth/say", max_tokens: 9, thread });
        const response = await request("/v1/messages", {
          method: "POST",
          body,
          headers: { ...mode, "anthropic-version": "2023-06-01" },
        });
        expect([response.status, await response.json()]).toMatchObject([
          400,
          {
            type: "error",
            error: { type: "invalid_request_error", details: { error_code: "thread_unsupported_request" } },
          },
        ]);
      }
    },
  );

  it.each([{}, { "x-rhone-context-mode": "stateless" }])(
    "what refers to state of the provider is found in any spelling: %o",
    async (mode) => {
      const headers = { ...mode, "anthropic-version": "2023-06-01" };
      const thread = String.raw`{"model":"fakeanth/say","max_tokens":9,"messages":[{"role":"user","content":"x"}],"thr\u0065ad":{"type":"create"}}`;
      const refused = await request("/v1/messages", { method: "POST", body: thread, headers });
      expect([refused.status, await refused.text()]).toEqual([
        400,
        expect.stringContaining("thread_unsupported_request"),
      ]);
      for (const item of [
        String.raw`{"type":"item\u005freference","id":"msg_other"}`,
        String.raw`{"\u0069d":"msg_other"}`,
        '{"id":"msg_other","status":"completed"}',
      ]) {
        const body = `{"model":"fakeresp/say","input":[${item}]}`;
        const response = await request("/v1/responses", { method: "POST", body, headers });
        expect([item, response.status, await response.text()]).toEqual([
          item,
          404,
          expect.stringContaining("Item with id 'msg_other' not found"),
        ]);
      }
    },
  );

  it("an error has the shape of its API on every path that leads there", async () => {
    for (const path of ["/v1/messages", "/v1/compat/anthropic/v1/messages", "/v1/%6dessages"]) {
      const response = await request(path, { method: "POST", body: "{nope" });
      expect([path, response.status, await response.json()]).toEqual([
        path,
        400,
        expect.objectContaining({ type: "error" }),
      ]);
    }
    const response = await request("/v1/compat/openai/v1/chat/completions", { method: "POST", body: "{nope" });
    expect(await response.json()).toMatchObject({ error: { type: "invalid_request_error", param: "body" } });
  });

  it("what is inside messages is the provider's to judge in a stateless relay, and the gateway's everywhere else", async () => {
    const odd = JSON.stringify({ model: "fake/refuse", messages: [{ role: "wizard", content: "x" }] });
    const stateless = { "x-rhone-context-mode": "stateless" };
    const relayed = await post(odd, stateless);
    const direct = await post({ ...say, model: "fake/refuse" }, stateless);
    expect([relayed.status, await relayed.text()]).toEqual([400, await direct.text()]);
    for (const headers of [{}, stateless]) {
      const model = headers === stateless ? "fakeanth/say" : "fake/say";
      const response = await post(odd.replace("fake/refuse", model), headers);
      const { error } = (await response.json()) as { error: { param: string } };
      expect([response.status, error.param]).toEqual([400, "messages[0].role"]);
    }
  });

  it("a body that is too large is refused, also without a length", async () => {
    const body = new ReadableStream({
      pull: (controller) => controller.enqueue(encodeUtf8(" ".repeat(1024 * 1024))),
    });
    const response = await request("/v1/chat/completions", { method: "POST", body });
    expect([response.status, (await errorOf(response)).code]).toEqual([413, "request.too_large"]);
  });

  it.each([
    ["nobody/has-it", 404, "model.not_found"],
    ["unheard-of", 404, "model.not_found"],
    ["openai/gpt-4o", 404, "model.not_found"],
    ["fake/", 404, "model.not_found"],
  ])("a model that cannot be had is refused by name: %s", async (model, status, code) => {
    const response = await post({ ...say, model });
    const { error } = (await response.json()) as { error: { code: string; param: string } };
    expect([response.status, error.code, error.param]).toEqual([status, code, "model"]);
  });

  it("a body that is no UTF-8 is refused", async () => {
    const response = await request("/v1/chat/completions", {
      method: "POST",
      body: new Uint8Array([0x22, 0xff, 0x22]),
    });
    expect(response.status).toBe(400);
  });
});
