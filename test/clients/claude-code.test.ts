import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { PROJECT } from "../../scripts/settings.ts";
import { baseUrl, key } from "./gateway.ts";

/**
 * What Anthropic publishes for gateways in front of Claude Code ("Gateway protocol reference", code.claude.com): its
 * headers and bodies go on unchanged, streams come as they are, errors keep the words by which it recovers.
 */
const BETAS = "claude-code-20250219,interleaved-thinking-2025-05-14,not-known-yet-2027-01-01";

const post = (body: string, headers: Record<string, string> = {}, path = "/v1/messages?beta=true"): Promise<Response> =>
  fetch(`${baseUrl}${path}`, {
    method: "POST",
    body,
    headers: {
      authorization: `Bearer ${key}`,
      "content-type": "application/json",
      "anthropic-version": "2023-06-01",
      "anthropic-beta": BETAS,
      "user-agent": "claude-cli/3.0.0 (external, cli)",
      "x-app": "cli",
      "x-claude-code-session-id": "2b0f0a3e-6a2c-4d0e-9f7d-0c7f7a4c1a11",
      "x-rhone-annotate": "headers",
      ...headers,
    },
  });

const asking = (model: string, more: object = {}): string =>
  JSON.stringify({ model, max_tokens: 32, messages: [{ role: "user", content: "hello" }], ...more });

async function textOf(response: Response): Promise<string> {
  const { content } = (await response.json()) as { content: { text: string }[] };
  return content[0]!.text;
}

const MODES = [{ "x-rhone-context-mode": "stateful" }, { "x-rhone-context-mode": "stateless" }];

describe.each(MODES)("$x-rhone-context-mode calls of Claude Code", (mode) => {
  it("version and betas reach the provider, and no credential of ours does", async () => {
    const seen = await textOf(await post(asking("fakeanth/headers"), mode));
    expect(JSON.parse(seen)).toMatchObject({
      "anthropic-version": "2023-06-01",
      "anthropic-beta": BETAS,
      "x-api-key": "fake-key",
    });
    expect(seen).not.toContain(key);
  });

  it("the body goes on as it is, down to its spaces, but for the model", async () => {
    const body = `{ "model":"fakeanth/mirror",  "max_tokens": 64000, "metadata": {"user_id": "user_1_session_2"},
      "thinking": {"type":"adaptive"}, "context_management": {"edits": [{"type": "clear_thinking_20251015", "keep": "all"}]},
      "output_config": {"effort": "xhigh"}, "not_known_yet": {"n": 12345678901234567890, "f": 1.0},
      "system": [{"type": "text", "text": "x-anthropic-billing-header: cc_version=3"}, {"type":"text","text":"Ü\\u00fc","cache_control":{"type":"ephemeral","ttl":"1h"}}],
      "tools": [{"name":"Bash","input_schema":{"type":"object"},"defer_loading":true}, {"type":"tool_search_tool_regex_20251119","name":"tool_search"}],
      "messages": [{"role":"user","content":[{"type":"text","text":"hello","cache_control":{"type":"ephemeral"}}]}] }`;
    expect(await textOf(await post(body, mode))).toBe(body.replace("fakeanth/mirror", "mirror"));
  });

  it.each(["redacted-thinking-stream", "document-citations-stream", "refusal-stream"])(
    "a stream comes as the provider sent it, pings included: %s",
    async (name) => {
      const response = await post(asking(`fakeanth/fixture-${name}`, { stream: true }), mode);
      expect(response.headers.get("content-type")).toContain("text/event-stream");
      const file = join(PROJECT, "test/fixtures/anthropic", name, "response.sse");
      expect(await response.text()).toBe(await readFile(file, "utf8"));
    },
  );

  it.each([
    ["refuse", 400, "invalid_request_error", "max_tokens is too large"],
    ["limited", 429, "rate_limit_error", "Slow down"],
    ["broken", 500, "api_error", "Internal trouble"],
  ])("an error is the provider's own: %s", async (script, status, type, message) => {
    for (const stream of [false, true]) {
      const response = await post(asking(`fakeanth/${script}`, { stream }), mode);
      expect([response.status, response.headers.get("request-id")]).toEqual([status, "req_fake_anthropic"]);
      const error = { type: "error", error: { type, message }, request_id: "req_fake_anthropic" };
      expect(await response.text()).toBe(JSON.stringify(error));
      if (status === 429) expect(response.headers.get("retry-after")).toBe("7");
    }
  });

  it("the request's id is the provider's", async () => {
    const { headers } = await post(asking("fakeanth/say"), mode);
    expect(headers.get("request-id")).toBe("req_fake_anthropic");
    expect(headers.has("set-cookie")).toBe(false);
  });

  it("a model of another provider answers in the same shape", async () => {
    const response = await post(asking("fakegem/say", { stream: true }), mode);
    expect(response.headers.get("request-id")).toMatch(/\w/);
    const events = [...(await response.text()).matchAll(/^event: (.+)$/gm)].map(([, name]) => name);
    expect([events[0], ...events.slice(-3)]).toEqual([
      "message_start",
      "content_block_stop",
      "message_delta",
      "message_stop",
    ]);
  });
});

it.each([
  [{ authorization: "Bearer wrong" }, 401, "authentication_error"],
  [{ authorization: "", "x-api-key": "wrong" }, 401, "authentication_error"],
])("our own refusals have Anthropic's shape: %o", async (headers, status, type) => {
  const response = await post(asking("demo"), headers);
  const body = (await response.json()) as { request_id: string };
  expect([response.status, body]).toMatchObject([status, { type: "error", error: { type } }]);
  expect(response.headers.get("request-id")).toBe(body.request_id);
});

it("tokens are counted, and models are listed for its picker", async () => {
  const counted = await post(asking("demo"), {}, "/v1/messages/count_tokens?beta=true");
  expect(await counted.json()).toMatchObject({ input_tokens: expect.any(Number) as number });
  const headers = { authorization: `Bearer ${key}`, "anthropic-version": "2023-06-01" };
  const listed = await fetch(`${baseUrl}/v1/models?limit=1000`, { headers });
  const { data } = (await listed.json()) as { data: object[] };
  expect(data).toContainEqual(expect.objectContaining({ type: "model", id: "demo" }));
});
