import { createVerify, generateKeyPairSync } from "node:crypto";
import { describe, expect, it } from "vitest";
import { ask, network, type Said, withNetwork } from "../support/worker/network.ts";
import { EVENTS, GENERATED, MESSAGE, MESSAGES } from "../support/worker/provider-answers.ts";

withNetwork();

describe("vertex", () => {
  const { privateKey, publicKey } = generateKeyPairSync("rsa", { modulusLength: 2048 });
  const account = (email: string): string =>
    JSON.stringify({
      type: "service_account",
      project_id: "proj",
      private_key_id: "kid1",
      private_key: privateKey.export({ type: "pkcs8", format: "pem" }),
      client_email: email,
      token_uri: "https://oauth2.test/token",
    });
  const google = (answer: () => Response) => (request: Request) =>
    request.url === "https://oauth2.test/token"
      ? Response.json({ access_token: "ya29.token", expires_in: 3599, token_type: "Bearer" })
      : answer();
  const AT = "https://europe-west1-aiplatform.googleapis.com/v1/projects/proj/locations/europe-west1";

  it("a signed statement is exchanged for a token of Vertex, once for many calls", async () => {
    network.answers = google(() => Response.json(GENERATED));
    const settings = { VERTEX_API_KEY: account("one@proj.test"), VERTEX_LOCATION: "europe-west1" };
    const body = { contents: [{ role: "user", parts: [{ text: "Hi" }] }] };
    const call = (): Promise<Said> =>
      ask(settings, "/v1/publishers/google/models/vertex%2Fgemini-2.5-pro:generateContent", body);
    const all = await Promise.all([call(), call(), call()]);
    expect((await call()).status).toBe(200);
    expect(all.map(({ status }) => status)).toEqual([200, 200, 200]);
    const exchanges = network.sent.filter(({ url }) => url === "https://oauth2.test/token");
    expect(exchanges).toHaveLength(1);
    const form = new URLSearchParams(exchanges[0]!.body);
    expect(form.get("grant_type")).toBe("urn:ietf:params:oauth:grant-type:jwt-bearer");
    const [head, claims, signature] = form.get("assertion")!.split(".");
    const isSigned = createVerify("RSA-SHA256").update(`${head}.${claims}`).verify(publicKey, signature!, "base64url");
    expect(isSigned).toBe(true);
    expect(JSON.parse(Buffer.from(head!, "base64url").toString())).toMatchObject({ alg: "RS256", kid: "kid1" });
    expect(JSON.parse(Buffer.from(claims!, "base64url").toString())).toMatchObject({
      iss: "one@proj.test",
      aud: "https://oauth2.test/token",
      scope: "https://www.googleapis.com/auth/cloud-platform",
    });
    const asked = network.sent.filter(({ url }) => url !== "https://oauth2.test/token");
    expect(asked).toHaveLength(4);
    for (const { url, headers, body: said } of asked) {
      expect(url).toBe(`${AT}/publishers/google/models/gemini-2.5-pro:generateContent`);
      expect(headers.authorization).toBe("Bearer ya29.token");
      expect(said).toBe(JSON.stringify(body));
    }
  });

  it("Claude on Vertex gets Anthropic's bytes, except for the model and the version", async () => {
    network.answers = google(() => Response.json(MESSAGE));
    const settings = { VERTEX_API_KEY: "ya29.given", VERTEX_PROJECT: "proj", VERTEX_LOCATION: "europe-west1" };
    const body =
      '{ "model": "claude-sonnet-4-5", "max_tokens":5,"messages":[{"role":"user","content":"\\u00e9"}], "x":12345678901234567890}';
    const headers = {
      "anthropic-version": "2023-06-01",
      "anthropic-beta": "context-1m-2025-08-07,claude-code-20250219",
    };
    const { status, json } = await ask(settings, "/v1/messages", body, headers);
    expect(status).toBe(200);
    expect(network.sent[0]!.url).toBe(`${AT}/publishers/anthropic/models/claude-sonnet-4-5%4020250929:rawPredict`);
    expect(network.sent[0]!.body).toBe(
      '{ "max_tokens":5,"messages":[{"role":"user","content":"\\u00e9"}], "x":12345678901234567890,"anthropic_version":"vertex-2023-10-16"}',
    );
    expect(network.sent[0]!.headers).toMatchObject({
      authorization: "Bearer ya29.given",
      "anthropic-beta": "context-1m-2025-08-07",
    });
    expect(network.sent[0]!.headers).not.toHaveProperty("anthropic-version");
    expect(json).toMatchObject({ rhone: { losses: [{ at: "anthropic-beta.claude-code-20250219", what: "dropped" }] } });
  });

  it("Claude on Vertex streams to a chat client", async () => {
    const stream = EVENTS.map((event) => `event: ${event.type}\ndata: ${JSON.stringify(event)}\n\n`).join("");
    network.answers = google(() => new Response(stream, { headers: { "content-type": "text/event-stream" } }));
    const settings = { VERTEX_API_KEY: "ya29.given", VERTEX_PROJECT: "proj" };
    const body = { model: "vertex/claude-opus-9", stream: true, messages: MESSAGES };
    const { text } = await ask(settings, "/v1/chat/completions", body);
    expect(network.sent[0]!.url).toMatch(/publishers\/anthropic\/models\/claude-opus-9:streamRawPredict$/);
    expect(JSON.parse(network.sent[0]!.body)).toMatchObject({ stream: true, anthropic_version: "vertex-2023-10-16" });
    expect(text).toContain('"content":"Hello"');
    expect(text).toContain("[DONE]");
  });

  it("the error names the cause when Google gives no token", async () => {
    network.answers = () => Response.json({ error: "invalid_grant" }, { status: 400 });
    const call = (key: string): Promise<Said> =>
      ask({ VERTEX_API_KEY: key, VERTEX_PROJECT: "p" }, "/v1/chat/completions", {
        model: "vertex/gemini-x",
        messages: MESSAGES,
      });
    const refused = await call(account("two@proj.test"));
    expect([refused.status, refused.text]).toEqual([502, expect.stringContaining("invalid_grant")]);
    const broken = await call(JSON.stringify({ client_email: "a@b", private_key: "nonsense" }));
    expect([broken.status, broken.text]).toEqual([502, expect.stringContaining("private key cannot be read")]);
    expect(network.sent).toHaveLength(1);
  });
});
