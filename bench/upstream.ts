import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import { sceneOf, streamedAnswer, wholeAnswer, wholeStreamed } from "./scene.ts";

/**
 * The scripted provider, a process of its own: `node bench/upstream.ts`. Prints its port as its first line. The name of
 * the model asked for says what it answers (scene.ts); bytes are made once for each name, so that a call costs it little.
 */
const server = createServer((request, response) => {
  const pieces: Buffer[] = [];
  request.on("data", (piece: Buffer) => pieces.push(piece));
  request.on("end", () => answer(request, response, pieces.length === 1 ? pieces[0]! : Buffer.concat(pieces)));
});
// A connection that idles between two rounds stays: a gateway must not be measured while it connects anew.
server.keepAliveTimeout = 0;
server.requestTimeout = 0;
server.listen(0, "127.0.0.1", 8192, () => console.log((server.address() as { port: number }).port));
process.on("disconnect", () => process.exit(0));

function answer(request: IncomingMessage, response: ServerResponse, body: Buffer): void {
  const scene = sceneOf(body);
  const wire = request.url?.endsWith("/messages") ? "anthropic" : "openai-chat";
  if (scene === undefined) {
    response.writeHead(404, { "content-type": "application/json" });
    response.end('{"error":{"message":"no such scene","type":"not_found_error"}}');
    return;
  }
  if (scene.kind === "stream") return play(response, streamedAnswer(wire, scene), scene.everyMs);
  // Only over a WebSocket is a whole answer asked for as a stream.
  if (body.includes('"stream":true')) return play(response, wholeStreamed(wire, scene), 0);
  const bytes = wholeAnswer(wire, scene);
  response.writeHead(200, { "content-type": "application/json", "content-length": bytes.length });
  response.end(bytes);
}

/** Each event is a write of its own, as providers send them: `everyMs` apart, or one in each turn of the event loop. */
function play(response: ServerResponse, events: readonly Buffer[], everyMs: number): void {
  response.writeHead(200, { "content-type": "text/event-stream", "cache-control": "no-cache" });
  let next = 0;
  const step = (): void => {
    if (response.destroyed) return;
    if (next === events.length - 1) {
      response.end(events[next]);
      return;
    }
    response.write(events[next++]);
    if (everyMs === 0) setImmediate(step);
    else setTimeout(step, everyMs);
  };
  step();
}
