import fc from "fast-check";
import { expect, it } from "vitest";
import { canonicalRequest } from "../../../src/http/request/canonical-path.ts";

const pathOf = (path: string): string | undefined => {
  try {
    return new URL(canonicalRequest(new Request(`https://gateway.test${path}?key=x`)).url).pathname;
  } catch {
    return undefined;
  }
};

const segment = fc.constantFrom(
  "v1",
  "v1beta1",
  "compat",
  "openai",
  "gemini",
  "projects",
  "keys",
  "sess_1:a",
  ".",
  "..",
);
const path = fc.array(fc.oneof(segment, fc.constantFrom("", "...", ".x", "~", "a.b")), { minLength: 1 });

it("a path is the same whether its letters are escaped or not", () => {
  fc.assert(
    fc.property(path, (segments) => {
      const plain = `/${segments.join("/")}`;
      const escaped = plain.replace(/\w/g, (letter) => `%${letter.charCodeAt(0).toString(16)}`);
      expect(pathOf(escaped)).toBe(pathOf(plain));
    }),
  );
});

it.each([
  ["/v1/chat/completions", "/v1/chat/completions"],
  ["/v1/compat/openai/chat/completions", "/v1/chat/completions"],
  ["/v1/compat/gemini/models/x", "/v1beta/models/x"],
  ["/v1/compat/gemini/v1/models/x", "/v1/models/x"],
  ["/v1beta1/projects/p", "/v1/projects/p"],
  ["/v1beta1/models/x", "/v1beta1/models/x"],
  ["/v1/%6beys", "/v1/keys"],
  ["/v1/keys%252f", undefined],
  ["/v1//keys", "/v1/keys"],
  ["/v1/chat/completions/", "/v1/chat/completions"],
  ["/v1/v1/chat/completions", "/v1/chat/completions"],
  ["/v1/v1beta/models/x:generateContent", "/v1beta/models/x:generateContent"],
  ["/chat/completions", "/v1/chat/completions"],
  ["//messages/count_tokens/", "/v1/messages/count_tokens"],
  ["/models", "/v1/models"],
  ["/keys", "/keys"],
  ["/v1beta/acme/tower-1:generateContent", "/v1beta/models/acme/tower-1:generateContent"],
  ["/v1beta/acme/a/b:streamGenerateContent", "/v1beta/models/acme/a/b:streamGenerateContent"],
  ["/v1beta/ollama/llama3:8b:generateContent", "/v1beta/models/ollama/llama3:8b:generateContent"],
  ["/v1beta/models/acme/tower-1:generateContent", "/v1beta/models/acme/tower-1:generateContent"],
  ["/v1/keys%2f%2e%2e", undefined],
  ["/v1/keys\\x", "/v1/keys/x"],
])("the canonical path of %s is %s", (path, canonical) => {
  expect(pathOf(path)).toBe(canonical);
});

it("a request under its path's one form goes on as it is", () => {
  const request = new Request("https://gateway.test/v1/chat/completions");
  expect(canonicalRequest(request)).toBe(request);
});
