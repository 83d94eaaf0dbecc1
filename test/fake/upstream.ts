import { createServer, type Server } from "node:http";
import { Readable } from "node:stream";
import { halves, json, type Scene, sceneOf, stream } from "./scene.ts";

/**
 * A scripted provider of the Chat dialect. The model's name chooses what happens; `mirror` answers with the very bytes
 * it received, so a test sees what the provider sees.
 */
export function answerChat(raw: string, request: Request): Response {
  const body = JSON.parse(raw) as { model: string; stream?: boolean; messages: { role: string; content: unknown }[] };
  const [script, count] = body.model.split("-");
  const text = script === "mirror" ? raw : `Said ${script}.`;
  const headers = { "x-request-id": "req_fake", "set-cookie": "secret=1" };
  switch (script) {
    case "headers":
      return whole(JSON.stringify(Object.fromEntries(request.headers)), headers);
    case "refuse":
      return json(
        {
          error: {
            message: "max_tokens is too large",
            type: "invalid_request_error",
            param: "max_tokens",
            code: "too_large",
          },
        },
        400,
        headers,
      );
    case "flat":
      return json(
        { object: "error", message: "Flat refusal", type: "invalid_request_message", param: null, code: "3051" },
        422,
        headers,
      );
    case "limited":
      return json({ error: { message: "Slow down", type: "rate_limit_error", code: "rate_limit" } }, 429, {
        ...headers,
        "retry-after": "7",
      });
    case "broken":
      return json({ error: { message: "Internal trouble", type: "server_error" } }, 500, headers);
    case "garbage":
      return new Response("<html>502 Bad Gateway</html>", { headers: { "content-type": "text/html" } });
    case "notjson":
      return stream([chunk({ role: "assistant", content: "" }), "data: {nonsense\n\n"]);
    case "empty":
      return stream([]);
    case "cut":
      return body.stream ? stream([chunk({ role: "assistant", content: "Half a" })]) : json({ id: "x" }, 200, headers);
    case "torn":
      return stream(
        [chunk({ role: "assistant", content: "Half a sentence " }), chunk({ content: "and a wo" }), new Error("reset")],
        30,
      );
    case "reset":
      return stream([chunk({ role: "assistant", content: "Half a" }), new Error("connection reset")], 30);
    case "failing":
      return stream([
        chunk({ content: "Half a" }),
        'data: {"error":{"message":"Overloaded","type":"overloaded_error","code":"overloaded"}}\n\n',
      ]);
    case "redirect":
      return new Response(null, { status: 302, headers: { location: "http://elsewhere.test/" } });
    case "tool":
      return body.stream
        ? stream([chunk({ role: "assistant", tool_calls: [TOOL_CALL] }), FINISH("tool_calls"), USAGE, DONE], 0, headers)
        : calling(headers);
    case "late":
      return stream(
        [chunk({ role: "assistant", content: text }), FINISH("stop"), DONE, new Error("reset after the end")],
        30,
      );
    case "nodone":
      return stream([chunk({ role: "assistant", content: text }), FINISH("stop")], 0, headers);
    case "slow":
      return stream(
        [
          chunk({ role: "assistant", content: "One " }),
          chunk({ content: "two " }),
          chunk({ content: "three." }),
          FINISH("stop"),
          USAGE,
          DONE,
        ],
        150,
      );
    case "unstreamed":
      return whole(text, headers);
    case "long":
      return stream(long(Number(count)), 0, headers);
    case "think":
    case "ponder":
    case "tools":
    case "recall":
    case "loop":
    case "plan":
    case "json":
    case "decline": {
      const from = body.messages.findLastIndex(({ role }) => role !== "tool") + 1;
      const results = body.messages.slice(from).map(({ content }) => content as string);
      const isFirst = !body.messages.some(({ role }) => role === "assistant");
      return acted(sceneOf({ script, raw, isFirst, results }), body.stream === true, headers);
    }
    default:
      return body.stream
        ? stream(
            [chunk({ role: "assistant", content: "" }), chunk({ content: text }), FINISH("stop"), USAGE, DONE],
            0,
            headers,
          )
        : whole(text, headers);
  }
}

/** A provider on a port of its own, for clients and gateways outside the test runtime. */
export async function listen(
  handle: (request: Request) => Promise<Response>,
  at = 0,
): Promise<{ url: string; close: () => Promise<void> }> {
  const server: Server = createServer((incoming, outgoing) => {
    void (async () => {
      const chunks: Buffer[] = [];
      for await (const piece of incoming) chunks.push(piece as Buffer);
      const headers = new Headers(incoming.headers as Record<string, string>);
      const init = {
        method: incoming.method ?? "GET",
        headers,
        ...(chunks.length > 0 && { body: Buffer.concat(chunks) }),
      };
      const response = await handle(new Request(`http://fake.test${incoming.url}`, init));
      if (response.headers.has("x-fake")) return outgoing.destroy();
      outgoing.writeHead(response.status, Object.fromEntries(response.headers));
      // A provider may say its status long before its first word.
      outgoing.flushHeaders();
      if (response.body === null) return outgoing.end();
      const body = Readable.fromWeb(response.body as never);
      body.on("error", () => outgoing.destroy());
      return body.pipe(outgoing);
    })();
  });
  await new Promise<void>((listening) => server.listen(at, "127.0.0.1", listening));
  const address = server.address();
  const port = typeof address === "object" && address !== null ? address.port : 0;
  const close = (): Promise<void> =>
    new Promise((closed) => {
      server.closeAllConnections();
      server.close(() => closed());
    });
  return { url: `http://127.0.0.1:${port}/v1`, close };
}

const HEAD = { id: "chatcmpl-fake", object: "chat.completion.chunk", created: 1_750_000_000, model: "fake-model-1" };
const DONE = "data: [DONE]\n\n";
const TOKENS = {
  prompt_tokens: 12,
  completion_tokens: 5,
  total_tokens: 17,
  prompt_tokens_details: { cached_tokens: 4 },
};
const TOOL_CALL = {
  index: 0,
  id: "call_fake_1",
  type: "function",
  function: { name: "get_weather", arguments: '{"city":"Paris"}' },
};
const USAGE = `data: ${JSON.stringify({ ...HEAD, choices: [], usage: TOKENS })}\n\n`;
const FINISH = (reason: string): string =>
  `data: ${JSON.stringify({ ...HEAD, choices: [{ index: 0, delta: {}, finish_reason: reason }] })}\n\n`;
const chunk = (delta: object): string =>
  `data: ${JSON.stringify({ ...HEAD, choices: [{ index: 0, delta, finish_reason: null }] })}\n\n`;

function* long(count: number): Generator<string> {
  yield chunk({ role: "assistant", content: "" });
  for (let i = 0; i < count; i++) yield chunk({ content: `${i} ` });
  yield FINISH("stop");
  yield USAGE;
  yield DONE;
}

/** Indented, with an unknown member and a number no double can hold: bytes that a re-serialising gateway would change. */
const whole = (text: string, headers: Record<string, string>): Response =>
  new Response(
    `{\n  "id": "chatcmpl-fake",\n  "object": "chat.completion",\n  "created": 1750000000,\n  "model": "fake-model-1",\n  "choices": [{"index": 0, "message": {"role": "assistant", "content": ${JSON.stringify(text)}, "refusal": null, "vendor": 12345678901234567890}, "finish_reason": "stop"}],\n  "usage": ${JSON.stringify(TOKENS)}\n}\n`,
    { headers: { "content-type": "application/json", ...headers } },
  );

function calling(headers: Record<string, string>): Response {
  const { index: _, ...call } = TOOL_CALL;
  const message = { role: "assistant", content: null, tool_calls: [call] };
  return json(
    {
      ...HEAD,
      object: "chat.completion",
      choices: [{ index: 0, message, finish_reason: "tool_calls" }],
      usage: TOKENS,
    },
    200,
    headers,
  );
}

/** What the scripts shared by all wires say. */
function acted(
  { thinking, text, calls, declined }: Scene,
  isStream: boolean,
  headers: Record<string, string>,
): Response {
  const finish = calls === undefined ? "stop" : "tool_calls";
  const tool_calls = calls?.map(({ id, name, args, isCustom }, index) =>
    isCustom
      ? { index, id, type: "custom", custom: { name, input: args.input as string } }
      : { index, id, type: "function", function: { name, arguments: JSON.stringify(args) } },
  );
  if (!isStream) {
    const message = {
      role: "assistant",
      content: text ?? null,
      refusal: declined ?? null,
      ...(thinking !== undefined && { reasoning_content: thinking }),
      ...(tool_calls !== undefined && { tool_calls: tool_calls.map(({ index: _, ...call }) => call) }),
    };
    const choices = [{ index: 0, message, finish_reason: finish }];
    return json({ ...HEAD, object: "chat.completion", choices, usage: TOKENS }, 200, headers);
  }
  const deltas = [
    { role: "assistant", content: "" },
    ...halves(thinking ?? "").map((reasoning_content) => ({ reasoning_content })),
    ...halves(text ?? "").map((content) => ({ content })),
    ...halves(declined ?? "").map((refusal) => ({ refusal })),
    ...(tool_calls ?? []).flatMap(({ index, function: own, custom, ...call }) => [
      {
        tool_calls: [
          { index, ...call, ...(own ? { function: { ...own, arguments: "" } } : { custom: { ...custom, input: "" } }) },
        ],
      },
      ...halves(own?.arguments ?? custom!.input).map((piece) => ({
        tool_calls: [{ index, ...(own ? { function: { arguments: piece } } : { custom: { input: piece } }) }],
      })),
    ]),
  ];
  return stream([...deltas.map(chunk), FINISH(finish), USAGE, DONE], 0, headers);
}
