import { createHash, createHmac } from "node:crypto";
import { describe, expect, it } from "vitest";
import { encodeFrame } from "../../src/providers/aws-event-stream.ts";
import { concatBytes, encodeUtf8 } from "../../src/wire/bytes.ts";
import { decodeSse } from "../../src/wire/sse.ts";
import { ask, network, withNetwork } from "../support/worker/network.ts";
import { EVENTS, MESSAGE, MESSAGES } from "../support/worker/provider-answers.ts";

withNetwork();

const frame = (payload: object, headers: Record<string, string>): Uint8Array =>
  encodeFrame({ headers, payload: encodeUtf8(JSON.stringify(payload)) });
const chunk = (event: object): Uint8Array =>
  frame(
    { bytes: Buffer.from(JSON.stringify(event)).toString("base64"), p: "abc" },
    { ":event-type": "chunk", ":content-type": "application/json", ":message-type": "event" },
  );
const framed = (...frames: Uint8Array[]): Response =>
  new Response(concatBytes(frames), { headers: { "content-type": "application/vnd.amazon.eventstream" } });

const eventsIn = (text: string): (string | undefined)[] => decodeSse(encodeUtf8(text)).map(({ event }) => event);

describe("bedrock", () => {
  const AWS = { AWS_ACCESS_KEY_ID: "AKIDEXAMPLE", AWS_SECRET_ACCESS_KEY: "secret", AWS_REGION: "eu-west-3" };
  const VERSION = { "anthropic-version": "2023-06-01" };
  const ID = "global.anthropic.claude-sonnet-4-5-20250929-v1:0";
  const body = { model: `bedrock/${ID}`, max_tokens: 5, messages: MESSAGES };

  it("a call of Bedrock is signed with SigV4, over the bytes that are sent", async () => {
    network.answers = () => Response.json(MESSAGE);
    const { status } = await ask(
      AWS,
      "/v1/messages",
      { ...body, stream: false },
      { ...VERSION, "anthropic-beta": "context-1m-2025-08-07" },
    );
    expect(status).toBe(200);
    const { url, headers, body: said } = network.sent[0]!;
    const path = `/model/${encodeURIComponent(ID)}/invoke`;
    expect(url).toBe(`https://bedrock-runtime.eu-west-3.amazonaws.com${path}`);
    expect(said).toBe(
      '{"max_tokens":5,"messages":[{"role":"user","content":"Hi"}],"anthropic_version":"bedrock-2023-05-31","anthropic_beta":["context-1m-2025-08-07"]}',
    );
    expect(headers).not.toHaveProperty("anthropic-version");
    expect(headers).not.toHaveProperty("anthropic-beta");
    const at = headers["x-amz-date"]!;
    const scope = `${at.slice(0, 8)}/eu-west-3/bedrock/aws4_request`;
    // AWS, "Create a signed request": every service but S3 has the path escaped twice.
    const canonical = [
      "POST",
      path.replaceAll("%", "%25"),
      "",
      "host:bedrock-runtime.eu-west-3.amazonaws.com",
      `x-amz-date:${at}`,
      "",
      "host;x-amz-date",
      createHash("sha256").update(said).digest("hex"),
    ].join("\n");
    const text = ["AWS4-HMAC-SHA256", at, scope, createHash("sha256").update(canonical).digest("hex")].join("\n");
    const hmac = (key: string | Buffer, data: string): Buffer => createHmac("sha256", key).update(data).digest();
    const key = scope.split("/").reduce<string | Buffer>(hmac, "AWS4secret");
    expect(headers.authorization).toBe(
      `AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/${scope}, SignedHeaders=host;x-amz-date, Signature=${hmac(key as Buffer, text).toString("hex")}`,
    );
  });

  it("a Bedrock API key is used instead of a signature", async () => {
    network.answers = () => Response.json(MESSAGE);
    await ask({ ...AWS, BEDROCK_API_KEY: "bedrock-key" }, "/v1/messages", body, VERSION);
    expect(network.sent[0]!.headers.authorization).toBe("Bearer bedrock-key");
    expect(network.sent[0]!.url).toMatch(/^https:\/\/bedrock-runtime\.eu-west-3\.amazonaws\.com\//);
  });

  it("Bedrock's stream of frames becomes Anthropic's own events, for its client and for others", async () => {
    network.answers = () => framed(...EVENTS.map(chunk));
    const own = await ask(AWS, "/v1/messages", { ...body, stream: true }, VERSION);
    expect(network.sent[0]!.url).toMatch(/\/invoke-with-response-stream$/);
    expect(JSON.parse(network.sent[0]!.body)).not.toHaveProperty("stream");
    expect(own.headers.get("content-type")).toContain("text/event-stream");
    expect(eventsIn(own.text)).toEqual(EVENTS.map(({ type }) => type));
    const chat = await ask(AWS, "/v1/chat/completions", { model: body.model, stream: true, messages: MESSAGES });
    expect(chat.text).toContain('"content":"Hello"');
    expect(chat.text).toContain("[DONE]");
    // (1000 × 3 + 100 × 15) micro-dollars: the global profile costs what Anthropic asks.
    expect(chat.text).toContain('"cost_micros_usd":4500');
  });

  it("an exception in Bedrock's stream, and a stream that is damaged or cut, end with an error", async () => {
    const head = EVENTS.slice(0, 3).map(chunk);
    const exception = { ":message-type": "exception", ":exception-type": "throttlingException" };
    network.answers = () => framed(...head, frame({ message: "Too many requests" }, exception));
    const throttled = await ask(AWS, "/v1/messages", { ...body, stream: true }, VERSION);
    expect(eventsIn(throttled.text).at(-1)).toBe("error");
    expect(throttled.text).toContain("rate_limit_error");
    expect(throttled.text).not.toContain("message_stop");
    const damaged = chunk(EVENTS[3]!);
    damaged[20]! ^= 1;
    for (const last of [damaged, chunk(EVENTS[3]!).slice(0, -3)]) {
      network.answers = () => framed(...head, last);
      const broken = await ask(AWS, "/v1/messages", { ...body, stream: true }, VERSION);
      // Before its first word it is an answer of its own, afterwards an event.
      expect([broken.status, eventsIn(broken.text).at(-1)]).toEqual([
        expect.toSatisfy((status: number) => status === 200 || status >= 429),
        broken.status === 200 ? "error" : undefined,
      ]);
      expect(broken.text).toContain('"error"');
      expect(broken.text).not.toContain("message_stop");
    }
  });

  it("a refusal of Bedrock is returned in the caller's shape", async () => {
    const message = "The provided model identifier is invalid.";
    network.answers = () =>
      Response.json({ message }, { status: 400, headers: { "x-amzn-errortype": "ValidationException" } });
    const { status, json } = await ask(AWS, "/v1/messages", body, VERSION);
    expect([status, json]).toEqual([
      400,
      expect.objectContaining({ error: expect.objectContaining({ type: "invalid_request_error", message }) as object }),
    ]);
  });
});
