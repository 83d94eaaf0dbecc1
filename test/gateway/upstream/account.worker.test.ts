import { expect, it } from "vitest";
import { request, user } from "../../support/worker/client.ts";

/** Each surface, asked of a provider that does not take the gateway's credential. */
const CALLS: [path: string, body: object][] = [
  ["/v1/chat/completions", { model: "fake/fault-bad-key.chat", messages: [user("x")] }],
  ["/v1/chat/completions", { model: "fake/fault-bad-key.stream", messages: [user("x")], stream: true }],
  ["/v1/chat/completions", { model: "fakeanth/fault-bad-key.across", messages: [user("x")] }],
  ["/v1/responses", { model: "fakeresp/fault-bad-key.responses", input: "x" }],
  ["/v1/messages", { model: "fakeanth/fault-bad-key.messages", messages: [user("x")], max_tokens: 9 }],
  ["/v1beta/models/fakegem/fault-bad-key.gemini:generateContent", { contents: [{ parts: [{ text: "x" }] }] }],
  ["/v1/calls", { model: "fake/fault-bad-key.native", input: "x" }],
  ["/v1/embeddings", { model: "oai/bad-key", input: "x" }],
];

it.each(CALLS)(
  "a provider's refusal of the gateway's own credential is not reported as one of the caller's: %s",
  async (path, body) => {
    const headers = { "anthropic-version": "2023-06-01" };
    const response = await request(path, { method: "POST", body: JSON.stringify(body), headers });
    const { error } = (await response.json()) as { error: { message: string; type?: string; status?: string } };
    expect([response.status, response.headers.get("x-should-retry")]).toEqual([502, "false"]);
    expect(error.message).toBe("the provider rejected the gateway's credential");
    expect([error.type, error.status]).not.toEqual(expect.arrayContaining([expect.stringMatching(/auth/i)]));
    expect(JSON.stringify(error)).toMatch(/"(upstream_)?status":"?401/);
  },
);
