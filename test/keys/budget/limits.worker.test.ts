import { expect, it } from "vitest";
import { request, user } from "../../support/worker/client.ts";

const post = (path: string, body: object): Promise<Response> =>
  request(path, { method: "POST", body: JSON.stringify(body), headers: { "anthropic-version": "2023-06-01" } });

const gemini = (member: string, config: string) => (limit: unknown) => ({
  contents: [{ parts: [{ text: "x" }] }],
  [config]: { [member]: limit },
});

/** Where each surface says how long an answer may be, and what a limit that is none is called there. */
const SURFACES: [path: string, param: string, body: (limit: unknown) => object][] = [
  ["/v1/chat/completions", "max_tokens", (max_tokens) => ({ model: "demo", messages: [user("x")], max_tokens })],
  [
    "/v1/chat/completions",
    "max_completion_tokens",
    (max_completion_tokens) => ({ model: "demo", messages: [user("x")], max_completion_tokens }),
  ],
  ["/v1/responses", "max_output_tokens", (max_output_tokens) => ({ model: "demo", input: "x", max_output_tokens })],
  ["/v1/messages", "max_tokens", (max_tokens) => ({ model: "demo", messages: [user("x")], max_tokens })],
  [
    "/v1beta/models/demo:generateContent",
    "generationConfig.maxOutputTokens",
    gemini("maxOutputTokens", "generationConfig"),
  ],
  [
    "/v1beta/models/demo:generateContent",
    "generation_config.max_output_tokens",
    gemini("max_output_tokens", "generation_config"),
  ],
  ["/v1/calls", "max_output_tokens", (max_output_tokens) => ({ model: "demo", input: "x", max_output_tokens })],
  ["/v1/completions", "max_tokens", (max_tokens) => ({ model: "demo", prompt: "x", max_tokens })],
];

it.each(SURFACES)(
  "%s takes a whole number of tokens as %s, and says so of anything else",
  async (path, param, body) => {
    for (const limit of [-4, 1.5, "a", 1e300]) {
      const response = await post(path, body(limit));
      const { error } = (await response.json()) as { error: { message: string } };
      expect([limit, response.status]).toEqual([limit, 400]);
      expect(error.message).toMatch(new RegExp(`^${param}: expected `));
    }
  },
);

/** Anthropic takes 0, to fill its cache; the old completions do, to be told of the prompt. */
it.each(SURFACES.filter(([path]) => !/messages|\/completions$/.test(path) || path.includes("chat")))(
  "%s does not take 0 as %s",
  async (path, param, body) => {
    const response = await post(path, body(0));
    expect([response.status, await response.text()]).toEqual([400, expect.stringContaining(`${param}: expected `)]);
  },
);
