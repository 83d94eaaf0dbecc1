import { describe, expect, it } from "vitest";
import { EMAIL, setProfile } from "../../support/shield/gateway.ts";
import { request, user } from "../../support/worker/client.ts";

describe("an endpoint", () => {
  it.each([
    ["/v1/embeddings", { model: "oai/embed", input: `I am ${EMAIL}.` }],
    ["/v1/moderations", { model: "oai/mod", input: [`I am ${EMAIL}.`] }],
    ["/v1/images/generations", { model: "oai/dall-e-2", prompt: `Draw ${EMAIL}.` }],
    ["/v1/audio/speech", { model: "oai/tts-1", input: `I am ${EMAIL}.`, voice: "alloy" }],
    ["/v1/completions", { model: "oai/gpt-3.5-turbo-instruct", prompt: `I am ${EMAIL}.` }],
    ["/v1/messages/count_tokens", { model: "ant/claude-x", messages: [user(`I am ${EMAIL}.`)] }],
    ["/v1/responses/input_tokens", { model: "resp/gpt-x", input: `I am ${EMAIL}.` }],
  ])("nothing of a value is sent by %s", async (path, body) => {
    await setProfile("deny-mail", { mode: "enforce", detectors: { email: { action: "block" } } });
    const response = await request(path, {
      method: "POST",
      body: JSON.stringify({ ...body, rhone: { safety: { profile: "deny-mail" } } }),
      headers: { "content-type": "application/json", "anthropic-version": "2023-06-01" },
    });
    expect([response.status, await response.text()]).toEqual([
      403,
      expect.stringContaining("denies what the request contains: email"),
    ]);
  });
});
