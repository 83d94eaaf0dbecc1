import * as zlib from "node:zlib";
import { createExecutionContext } from "cloudflare:test";
import { env } from "cloudflare:workers";
import { describe, expect, it } from "vitest";
import { routes } from "../../src/http/app.ts";
import { readText } from "../../src/surfaces/body.ts";
import { toByteStream } from "../../src/wire/bytes.ts";
import worker from "../../src/worker.ts";
import { chat, errorOf, get, KEY, post, request, user } from "../support/worker/client.ts";

describe("a method that a path does not have", () => {
  it.each([
    ["PUT", "/v1/chat/completions", "GET, POST"],
    ["GET", "/v1/completions", "POST"],
    ["DELETE", "/v1/embeddings", "POST"],
    ["PUT", "/v1/responses", "GET, POST"],
    ["PATCH", "/v1/compat/openai/chat/completions", "GET, POST"],
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
  const compressed = (text: string): Record<string, Uint8Array> => {
    const bytes = Buffer.from(text);
    return {
      gzip: zlib.gzipSync(bytes),
      "X-GZIP": zlib.gzipSync(bytes),
      deflate: zlib.deflateSync(bytes),
      "deflate, identity": zlib.deflateRawSync(bytes),
      br: zlib.brotliCompressSync(bytes),
      zstd: zlib.zstdCompressSync(bytes),
    };
  };
  const send = (path: string, encoding: string, body: Uint8Array | string): Promise<Response> =>
    request(path, {
      method: "POST",
      headers: { "content-encoding": encoding, "content-type": "application/json" },
      body,
    });

  it.each(Object.keys(compressed("")))("a body in the coding %s is read, on every kind of route", async (encoding) => {
    const asked = JSON.stringify({ model: "demo", messages: [user("péché")] });
    const answered = await send("/v1/chat/completions", encoding, compressed(asked)[encoding]!);
    expect([answered.status, await answered.text()]).toEqual([200, expect.stringContaining("péché")]);
    const embedded = JSON.stringify({ model: "demo", input: "x" });
    expect((await send("/v1/embeddings", encoding, compressed(embedded)[encoding]!)).status).toBe(200);
    const made = JSON.stringify({ metadata: { a: "b" } });
    expect((await send("/v1/conversations", encoding, compressed(made)[encoding]!)).status).toBe(200);
  });

  it.each(["/v1/chat/completions", "/v1/embeddings", "/v1/conversations"])(
    "a body that is too large when decompressed is refused: %s",
    async (path) => {
      const zeros = "\0".repeat(33 * 1024 * 1024);
      for (const [encoding, bomb] of Object.entries(compressed(zeros))) {
        const response = await send(path, encoding, bomb);
        const { message } = await errorOf(response);
        expect([encoding, response.status, message]).toEqual([encoding, 413, "body: expected at most 32 MiB"]);
      }
    },
  );

  it("a coding that the gateway does not read, and data of another coding, are refused by name", async () => {
    const unknown = await send("/v1/chat/completions", "compress", "x");
    expect([unknown.status, (await errorOf(unknown)).param]).toEqual([415, "content-encoding"]);
    const form = await request("/v1/audio/transcriptions", {
      method: "POST",
      headers: { "content-encoding": "gzip", "content-type": "multipart/form-data; boundary=x" },
      body: zlib.gzipSync("--x--"),
    });
    expect([form.status, (await errorOf(form)).param]).toEqual([415, "content-encoding"]);
    const wrong = await send("/v1/chat/completions", "gzip", "not gzip");
    expect([wrong.status, (await errorOf(wrong)).param]).toEqual([400, "body"]);
  });

  it("a body with the content encoding identity is accepted", async () => {
    const body = { model: "demo", messages: [user("x")] };
    expect((await post(body, { "content-encoding": "Identity" })).status).toBe(200);
  });
});

describe("a body over the limit", () => {
  // Two take forms only, which are piped through, and refuse anything else unread.
  const POSTS = routes().filter(
    ({ method, path }) => method === "POST" && !path.includes(":") && !/audio\/trans/.test(path),
  );

  it.each(POSTS.map(({ path }) => path))("a body over the limit is refused, declared or not: %s", async (path) => {
    const large = new Uint8Array(33 * 1024 * 1024).fill(0x20);
    const headers = { "content-type": "application/json", "anthropic-version": "2023-06-01" };
    const declared = await request(path, { method: "POST", headers, body: large });
    expect(declared.status).toBe(413);
    const chunked = toByteStream(
      (async function* () {
        for (let at = 0; at < 33; at++) yield new Uint8Array(1024 * 1024).fill(0x20);
      })(),
    );
    expect((await request(path, { method: "POST", headers, body: chunked })).status).toBe(413);
  });

  it("a form's content type does not lift the limit of a route that takes none", async () => {
    const headers = { "content-type": "multipart/x; boundary=x" };
    for (const path of ["/v1/keys/key_x:rotate", "/v1/conversations/conv_x", "/v1/sessions/sess_x:fork"]) {
      const response = await request(path, { method: "POST", headers, body: new Uint8Array(33 * 1024 * 1024) });
      expect([path, response.status]).toEqual([path, 413]);
    }
  });
});

describe("contents that are no text", () => {
  const BAD: unknown[] = [5, true, { type: "text", text: "a bare part" }, ["a", "list", "of texts"], [5]];
  const message = (content: unknown): object => ({ role: "user", content });
  const FORMS: [path: string, field: string, body: (content: unknown) => object][] = [
    ["/v1/chat/completions", "messages[1].content", (content) => ({ messages: [user("x"), message(content)] })],
    ["/v1/responses", "input[0].content", (content) => ({ input: [message(content)] })],
    ["/v1/responses/compact", "input[0].content", (content) => ({ input: [message(content)] })],
    ["/v1/responses/input_tokens", "input[0].content", (content) => ({ input: [message(content)] })],
    ["/v1/messages", "messages[0].content", (content) => ({ max_tokens: 5, messages: [message(content)] })],
    ["/v1/messages/count_tokens", "messages[0].content", (content) => ({ messages: [message(content)] })],
    ["/v1/conversations", "items[0].content", (content) => ({ items: [message(content)] })],
  ];

  it.each(FORMS)("contents that are no text are refused by name: %s", async (path, field, body) => {
    for (const content of BAD) {
      const response = await request(path, {
        method: "POST",
        headers: { "content-type": "application/json", "anthropic-version": "2023-06-01" },
        body: JSON.stringify({ ...(path !== "/v1/conversations" && { model: "demo" }), ...body(content) }),
      });
      const { message: text } = await errorOf(response);
      expect([content, response.status, text]).toEqual([content, 400, expect.stringContaining(field)]);
    }
  });
});

describe("a wrong base URL", () => {
  it.each([
    "/chat/completions",
    "/v1//chat/completions",
    "/v1/chat/completions/",
    "/v1/v1/chat/completions",
    "//v1/chat/completions",
  ])("a missing, doubled or trailing part of the path is no error: %s", async (path) => {
    const body = JSON.stringify({ model: "demo", messages: [user("x")] });
    expect((await request(path, { method: "POST", body })).status).toBe(200);
  });

  it("a path that does not exist is refused in the shape of the SDK that sends it", async () => {
    const refusal = async (headers: Record<string, string>): Promise<unknown> => {
      const response = await request("/v2/nothing", { method: "POST", headers });
      expect(response.status).toBe(404);
      return await response.json();
    };
    expect(await refusal({ "anthropic-version": "2026-10-21" })).toMatchObject({
      type: "error",
      error: { type: "not_found_error" },
    });
    expect(await refusal({ "x-goog-api-client": "google-genai-sdk/1" })).toMatchObject({
      error: { code: 404, status: "NOT_FOUND" },
    });
    expect(await refusal({ "x-stainless-lang": "js" })).toMatchObject({ error: { type: "invalid_request_error" } });
    expect(await refusal({})).toMatchObject({ error: { code: "route.not_found" } });
  });
});

describe("a credential", () => {
  const status = async (headers: Record<string, string>): Promise<number> =>
    (await request("/v1/models", { key: null, headers })).status;

  it("a credential is read from the header of each SDK, with a space behind its scheme", async () => {
    for (const name of ["x-api-key", "x-goog-api-key", "api-key"])
      expect([name, await status({ [name]: KEY })]).toEqual([name, 200]);
    expect(await status({ authorization: `Bearer ${KEY}` })).toBe(200);
    expect(await status({ authorization: `bearer  ${KEY}` })).toBe(200);
    expect(await status({ authorization: `Bearer${KEY}` })).toBe(401);
    expect(await status({ authorization: `Basic ${KEY}` })).toBe(401);
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

it.each([
  [{ assessment: false }, "rhone.assessment"],
  [{ harness: "x" }, "rhone.harness"],
])("what the gateway cannot do yet is refused by name, and not ignored: %j", async (rhone, param) => {
  for (const mode of ["stateful", "stateless"]) {
    const response = await post({ model: "demo", messages: [user("x")], rhone: { ...rhone, context_mode: mode } });
    expect([response.status, (await errorOf(response)).param]).toEqual([400, param]);
  }
});

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
          "access-control-allow-methods": "GET, POST",
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
    expect((await preflight("/v1/chat%252fcompletions")).status).toBe(404);
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
