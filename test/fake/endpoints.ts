import { createHash } from "node:crypto";

/**
 * A scripted provider of the endpoints that are no generation, of every dialect. The path says which; the model's name
 * chooses what happens, and `mirror` answers with what it was sent.
 */
export async function answerEndpoint(request: Request): Promise<Response> {
  const { pathname } = new URL(request.url);
  const type = request.headers.get("content-type") ?? "";
  const bytes = Buffer.from(await request.arrayBuffer());
  if (type.startsWith("multipart/")) return answerForm(pathname, request, bytes);
  const raw = bytes.toString("utf8");
  const body = JSON.parse(raw) as Body;
  const path = pathname.replace(/^\/v1/, "");
  const model = body.model ?? /\/models\/([^:]+):/.exec(path)?.[1] ?? "";
  if (model.endsWith("refuse")) return refusal(path);
  if (model.endsWith("bad-key"))
    return Response.json(
      { error: { message: "Incorrect API key: sk-1***9", code: "invalid_api_key" } },
      { status: 401 },
    );
  if (model.endsWith("reset")) return broken();
  if (model.endsWith("mirror")) return mirrored(path, request, raw);
  switch (path) {
    case "/embeddings":
      return Response.json(vectors(body, model), { headers: HEADERS });
    case "/completions":
      if (model === "slow") return slowly(completionEvents(model));
      return body.stream ? sse(completionEvents(model)) : Response.json(COMPLETION, { headers: HEADERS });
    case "/moderations":
      return new Response(
        '{ "id": "modr-1", "model": "m", "results": [{"flagged": false, "score": 1.00}] }',
        JSON_TYPE,
      );
    case "/audio/speech":
      if (body.stream_format === "sse") return sse(SPEECH_EVENTS);
      return new Response(noise(Number(/\d+/.exec(model)?.[0] ?? 1000)), { headers: { "content-type": "audio/mpeg" } });
    case "/images/generations":
    case "/images/edits":
      return body.stream ? sse(IMAGE_EVENTS) : Response.json(IMAGE, { headers: HEADERS });
    case "/messages/count_tokens":
      return Response.json({ input_tokens: raw.length });
    case "/responses/input_tokens":
      return Response.json({ object: "response.input_tokens", input_tokens: raw.length });
  }
  if (path.endsWith(":batchEmbedContents"))
    return Response.json({
      embeddings: (body.requests ?? []).map((_, i) => ({ values: [i, 0.5, -0.25] })),
      ...(model === "counted" && { usageMetadata: { promptTokenCount: 4 } }),
    });
  if (path.endsWith(":embedContent")) return Response.json({ embedding: { values: [0.1, 0.5, -0.25] } });
  if (path.endsWith(":countTokens"))
    return Response.json({
      totalTokens: raw.length,
      promptTokensDetails: [{ modality: "TEXT", tokenCount: raw.length }],
    });
  return new Response(`no such route: ${pathname}`, { status: 599 });
}

type Body = {
  model?: string;
  input?: string | string[];
  requests?: object[];
  stream?: boolean;
  stream_format?: string;
  encoding_format?: string;
};

/** Bytes with every value, always the same for a length: a test knows them without having kept them. */
export function noise(length: number): Uint8Array<ArrayBuffer> {
  const bytes = new Uint8Array(length);
  let seed = 1;
  for (let i = 0; i < length; i++) bytes[i] = (seed = (seed * 1_103_515_245 + 12_345) & 0x7fffffff) >> 16;
  return bytes;
}

const HEADERS = { "x-request-id": "req_endpoint", "set-cookie": "secret=1" };
const JSON_TYPE = { headers: { "content-type": "application/json", ...HEADERS } };

/** A form as it arrived: its model field, the digest of all its bytes, and how its length was said. */
function answerForm(path: string, request: Request, bytes: Buffer): Response {
  const text = bytes.toString("latin1");
  const model = /name="model"\r\n\r\n([^\r]*)\r\n/.exec(text)?.[1];
  if (model === "refuse") return refusal(path);
  if (text.includes('name="stream"\r\n\r\ntrue')) return sse(TRANSCRIPT_EVENTS(model === "cut"));
  return Response.json({
    text: "Said.",
    path,
    model,
    sha256: createHash("sha256").update(bytes).digest("hex"),
    length: request.headers.get("content-length"),
    authorization: request.headers.get("authorization"),
    usage: { type: "tokens", input_tokens: 37, output_tokens: 12, total_tokens: 49 },
  });
}

const refusal = (path: string): Response =>
  path.includes("/models/")
    ? Response.json({ error: { code: 404, message: "no such model", status: "NOT_FOUND" } }, { status: 404 })
    : path.startsWith("/messages")
      ? Response.json(
          { type: "error", error: { type: "not_found_error", message: "no such model" }, request_id: "req_x" },
          { status: 404, headers: { "request-id": "req_x" } },
        )
      : new Response('{"error": {"message": "no such model", "type": "odd", "param": "model", "code": "nope"}}', {
          status: 404,
          ...JSON_TYPE,
        });

/** A connection that breaks within an event. */
function broken(): Response {
  let isFirst = true;
  const body = new ReadableStream({
    async pull(controller) {
      if (isFirst) controller.enqueue(new TextEncoder().encode(`${completionEvents("cut")[0]}data: {"half`));
      else {
        await new Promise((resolve) => setTimeout(resolve, 50));
        controller.error(new Error("connection reset"));
      }
      isFirst = false;
    },
  });
  return new Response(body, { headers: { "content-type": "text/event-stream", ...HEADERS } });
}

/** A stream that repeats its first event for a second before it ends. */
function slowly([first, ...rest]: string[]): Response {
  const pieces = [...Array.from({ length: 20 }, () => first!), ...rest];
  const body = new ReadableStream({
    async pull(controller) {
      const piece = pieces.shift();
      if (piece === undefined) return controller.close();
      controller.enqueue(new TextEncoder().encode(piece));
      await new Promise((resolve) => setTimeout(resolve, 50));
    },
  });
  return new Response(body, { headers: { "content-type": "text/event-stream", ...HEADERS } });
}

/** What the provider was sent, in whatever shape its answer has a text. */
function mirrored(path: string, request: Request, raw: string): Response {
  return Response.json({ path, raw, headers: Object.fromEntries(request.headers) }, { headers: HEADERS });
}

function vectors(body: Body, model: string): object {
  const inputs = typeof body.input === "string" ? [body.input] : (body.input ?? []);
  const data = inputs.map((_, index) => ({
    object: "embedding",
    index,
    embedding:
      body.encoding_format === "base64"
        ? Buffer.from(Float32Array.from([index, 0.5, -0.25]).buffer).toString("base64")
        : [index, 0.5, -0.25],
  }));
  // Nothing says that they come in order.
  return { object: "list", data: data.toReversed(), model, usage: { prompt_tokens: 6, total_tokens: 6 } };
}

const COMPLETION = {
  id: "cmpl-1",
  object: "text_completion",
  created: 1_750_000_000,
  model: "m",
  choices: [{ text: " world", index: 0, logprobs: null, finish_reason: "stop" }],
  usage: { prompt_tokens: 2, completion_tokens: 1, total_tokens: 3 },
};
const IMAGE = {
  created: 1,
  data: [{ b64_json: Buffer.from(noise(300_000)).toString("base64") }],
  usage: { input_tokens: 14, output_tokens: 272, total_tokens: 286 },
};

const event = (data: object): string => `data: ${JSON.stringify(data)}\n\n`;
const completionEvents = (model: string): string[] => [
  event({ ...COMPLETION, usage: undefined, choices: [{ ...COMPLETION.choices[0], finish_reason: null }] }),
  ...(model === "cut"
    ? []
    : [event({ ...COMPLETION, choices: [{ text: "", index: 0, finish_reason: "stop" }] }), "data: [DONE]\n\n"]),
];
const SPEECH_EVENTS = [
  event({ type: "speech.audio.delta", audio: "AAAA" }),
  event({ type: "speech.audio.done", usage: { input_tokens: 3, output_tokens: 9, total_tokens: 12 } }),
];
const IMAGE_EVENTS = [
  event({ type: "image_generation.partial_image", b64_json: "AAAA" }),
  event({ type: "image_generation.completed", b64_json: IMAGE.data[0]!.b64_json, usage: IMAGE.usage }),
];
/** With CRLF, as OpenAI's recording has it. */
const TRANSCRIPT_EVENTS = (isCut: boolean): string[] => [
  'data: {"type":"transcript.text.delta","delta":"Ruby"}\r\n\r\n',
  ...(isCut
    ? []
    : [
        'data: {"type":"transcript.text.done","text":"Ruby","usage":{"type":"tokens","total_tokens":49,"input_tokens":37,"input_token_details":{"text_tokens":0,"audio_tokens":37},"output_tokens":12}}\r\n\r\n',
        "data: [DONE]\r\n\r\n",
      ]),
];

const sse = (events: string[]): Response =>
  new Response(events.join(""), { headers: { "content-type": "text/event-stream", ...HEADERS } });
