import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import { parseAnswer, buildStream, buildWhole, buildStreamedWhole } from "./answers.ts";

/**
 * The scripted provider, as a separate process: `node bench/upstream.ts`. Its first line is its port. The name of the
 * requested model describes the answer (answers.ts), whose bytes are built once, so that a call costs little.
 */
const server = createServer((request, response) => {
  const chunks: Buffer[] = [];
  request.on("data", (chunk: Buffer) => chunks.push(chunk));
  request.on("end", () => handle(request, response, chunks.length === 1 ? chunks[0]! : Buffer.concat(chunks)));
});
// Idle connections stay open between two rounds: a gateway is not to be measured while it reconnects.
server.keepAliveTimeout = 0;
server.requestTimeout = 0;
server.listen(0, "127.0.0.1", 8192, () => console.log((server.address() as { port: number }).port));
process.on("disconnect", () => process.exit(0));

function handle(request: IncomingMessage, response: ServerResponse, body: Buffer): void {
  const answer = parseAnswer(body);
  const wire = request.url?.endsWith("/messages") ? "anthropic" : "openai-chat";
  if (answer === undefined) {
    response.writeHead(404, { "content-type": "application/json" });
    response.end('{"error":{"message":"unknown model","type":"not_found_error"}}');
    return;
  }
  if (answer.kind === "stream") return writeEvents(response, buildStream(wire, answer), answer.everyMs);
  // A whole answer is requested as a stream over a WebSocket only.
  if (body.includes('"stream":true')) return writeEvents(response, buildStreamedWhole(wire, answer), 0);
  const bytes = buildWhole(wire, answer);
  response.writeHead(200, { "content-type": "application/json", "content-length": bytes.length });
  response.end(bytes);
}

/** Writes each event separately, as providers do: `everyMs` apart, or one in each turn of the event loop. */
function writeEvents(response: ServerResponse, events: readonly Buffer[], everyMs: number): void {
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
