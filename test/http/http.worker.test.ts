import { createExecutionContext } from "cloudflare:test";
import { env } from "cloudflare:workers";
import { describe, expect, it } from "vitest";
import { readText } from "../../src/surfaces/body.ts";
import { toByteStream } from "../../src/wire/bytes.ts";
import worker from "../../src/worker.ts";
import { chat, errorOf, get, KEY, post, request, user } from "../support/worker/client.ts";

describe("a method that a path does not have", () => {
  it.each([
    ["GET", "/v1/chat/completions", "POST"],
    ["DELETE", "/v1/embeddings", "POST"],
    ["PUT", "/v1/responses", "GET, POST"],
    ["PATCH", "/v1/compat/openai/chat/completions", "POST"],
  ])("a method that a path does not have is refused in OpenAI's shape: %s %s", async (method, path, allow) => {
    const response = await request(path, { method });
    expect([response.status, response.headers.get("allow")]).toEqual([405, allow]);
    const { type, param, message } = await errorOf(response);
    expect({ type, param, message }).toEqual({
      type: "invalid_request_error",
      param: "method",
      message: `method: expected ${allow.replace(", ", " or ")}`,
    });
  });

  it("a method that a path does not have is refused in the shape of Anthropic, Google and the gateway itself", async () => {
    const said = async (method: string, path: string): Promise<unknown> => {
      const response = await request(path, { method });
      expect(response.status).toBe(405);
      return response.json();
    };
    expect(await said("GET", "/v1/messages")).toMatchObject({
      type: "error",
      error: { type: "invalid_request_error" },
    });
    expect(await said("PUT", "/v1beta/models")).toMatchObject({ error: { code: 405, status: "INVALID_ARGUMENT" } });
    expect(await said("PUT", "/v1/sessions/sess_x")).toMatchObject({ error: { code: "request.invalid" } });
    const head = await request("/v1/messages", { method: "HEAD" });
    expect([head.status, head.headers.get("allow")]).toEqual([405, "POST"]);
  });

  it("a wrong method is not reported without a key, nor on a path that does not exist", async () => {
    expect((await request("/v1/chat/completions", { key: null })).status).toBe(401);
    expect((await request("/v1/nothing", { method: "PUT" })).status).toBe(404);
  });
});

it.each([
  "/v1/keys?after=zzz",
  "/v1/keys?after=key_zzz",
  "/v1/sessions/SESSION/calls?after=x",
  "/v1/sessions/SESSION/runs?after=x",
])("a place in a list that does not exist is refused: %s", async (path) => {
  const { rhone } = await chat({ messages: [user("x")] });
  const response = await request(path.replace("SESSION", rhone.session_id));
  expect(response.status).toBe(400);
  expect(await response.json()).toMatchObject({
    error: { code: "request.invalid", message: "after: expected the last_id of the previous page" },
  });
});

it("a list of calls goes on behind one of them", async () => {
  const { rhone } = await chat({ messages: [user("x")] });
  const next = await chat({ messages: [user("y")], rhone: { session_id: rhone.session_id } });
  const { data } = await get(`/v1/sessions/${rhone.session_id}/calls?after=${rhone.call_id}`);
  expect(data).toMatchObject([{ id: next.rhone.call_id }]);
});

describe("a compressed body", () => {
  it.each([
    ["/v1/chat/completions", "gzip"],
    ["/v1/audio/transcriptions", "br"],
    ["/v1/keys", "GZIP, identity"],
  ])("a compressed body is refused: %s", async (path, encoding) => {
    const headers = { "content-encoding": encoding, "content-type": "application/json" };
    const response = await request(path, { method: "POST", headers, body: "x" });
    expect(response.status).toBe(415);
    const { error } = (await response.json()) as { error: { message: string } };
    expect(error.message).toContain("content-encoding: expected an uncompressed body");
  });

  it("a body with the content encoding identity is accepted", async () => {
    const body = { model: "demo", messages: [user("x")] };
    expect((await post(body, { "content-encoding": "Identity" })).status).toBe(200);
  });
});

it("a client that sends slowly is waited for as long as it sends", async () => {
  const body = toByteStream(
    (async function* () {
      for (const part of "slow") {
        yield part;
        await new Promise((resolve) => setTimeout(resolve, 300));
      }
    })(),
  );
  const request = new Request("https://gateway.test/", { method: "POST", body });
  // All of it takes longer than it may be silent.
  expect(await readText(request, 1_000)).toBe("slow");
});

it.each([{}, { "x-rhone-context-mode": "stateless" }])(
  "an unknown value of x-rhone-annotate is refused by name: %o",
  async (mode) => {
    const said = { model: "demo", messages: [user("x")] };
    const response = await post(said, { ...mode, "x-rhone-annotate": "trailers" });
    expect([response.status, (await errorOf(response)).param]).toEqual([400, "x-rhone-annotate"]);
    const plain = await post(said, { ...mode, "x-rhone-annotate": "headers" });
    expect(await plain.json()).not.toHaveProperty("rhone");
  },
);

describe("a page of another origin", () => {
  const PAGE = "https://app.example";
  const open = { ...env, RHONE_CONFIG: JSON.stringify({ cors: { origins: [PAGE, "http://localhost:5173"] } }) };

  const ask = (
    path: string,
    { origin = PAGE, ...init }: { origin?: string; method?: string; headers?: object; body?: string },
    given: Cloudflare.Env = open,
  ): Promise<Response> => {
    const headers = { origin, ...init.headers };
    return worker.fetch(
      new Request(`https://gateway.test${path}`, { ...init, headers }),
      given,
      createExecutionContext(),
    );
  };
  const preflight = (path: string, origin?: string, given?: Cloudflare.Env): Promise<Response> => {
    const headers = {
      "access-control-request-method": "POST",
      "access-control-request-headers": "authorization,content-type,x-stainless-os",
    };
    return ask(path, { ...(origin !== undefined && { origin }), method: "OPTIONS", headers }, given);
  };

  it("a preflight from a listed origin is answered without a key, under every name of a route", async () => {
    for (const path of ["/v1/chat/completions", "/v1/compat/openai/chat/completions", "/v1/chat/%63ompletions"]) {
      const response = await preflight(path);
      expect([response.status, Object.fromEntries(response.headers)]).toMatchObject([
        204,
        {
          "access-control-allow-origin": PAGE,
          "access-control-allow-methods": "POST",
          "access-control-allow-headers": "authorization,content-type,x-stainless-os",
          "access-control-max-age": "600",
          vary: "origin",
        },
      ]);
      expect(response.headers.has("access-control-allow-credentials")).toBe(false);
    }
    const session = await preflight("/v1/sessions/sess_x", "http://localhost:5173");
    expect(session.headers.get("access-control-allow-methods")).toBe("GET, PATCH, DELETE");
  });

  it("a preflight gets no CORS headers if the deployment does not list the origin, or the path does not exist", async () => {
    for (const [origin, given] of [
      ["https://evil.example", open],
      ["https://app.example.evil.example", open],
      ["null", open],
      [PAGE, env],
    ] as const) {
      const response = await preflight("/v1/chat/completions", origin, given);
      expect(response.status).toBe(401);
      expect([...response.headers.keys()].filter((name) => name.startsWith("access-control-"))).toEqual([]);
    }
    expect((await preflight("/v1/nothing")).headers.has("access-control-allow-methods")).toBe(false);
    expect((await preflight("/v1/chat//completions")).status).toBe(404);
  });

  it.each(["stateful", "stateless"])(
    "a page of a listed origin can read answers and errors with their headers: %s",
    async (mode) => {
      const body = JSON.stringify({ model: "demo", messages: [user("x")], rhone: { context_mode: mode } });
      const said = { method: "POST", body, headers: { "content-type": "application/json" } };
      const keyed = { ...said, headers: { ...said.headers, authorization: `Bearer ${KEY}` } };
      const answers = [
        await ask("/v1/chat/completions", keyed),
        await ask("/v1/chat/completions", said),
        await ask("/v1/chat/completions", { ...keyed, body: "{" }),
        await ask("/v1/nothing", keyed),
      ];
      expect(answers.map(({ status }) => status)).toEqual([200, 401, 400, 404]);
      for (const answer of answers)
        expect(Object.fromEntries(answer.headers)).toMatchObject({
          "access-control-allow-origin": PAGE,
          "access-control-expose-headers": "*",
          vary: "origin",
          "x-request-id": expect.any(String),
        });
      const once = { ...keyed, headers: { ...keyed.headers, "idempotency-key": `page-${mode}` } };
      for (const origin of [PAGE, "http://localhost:5173"]) {
        const { headers } = await ask("/v1/chat/completions", { ...once, origin });
        expect([headers.get("access-control-allow-origin"), headers.get("vary")]).toEqual([origin, "origin"]);
      }
      const other = await ask("/v1/chat/completions", { ...keyed, origin: "https://evil.example" });
      expect([other.status, other.headers.has("access-control-allow-origin")]).toEqual([200, false]);
    },
  );
});
