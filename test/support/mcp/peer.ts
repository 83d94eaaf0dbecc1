import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { createMcpSession, type McpSession } from "../../../src/mcp/session.ts";
import type { OutboundNetwork } from "../../../src/outbound/bounded-fetch.ts";

/** A server on this machine: its URL, what it was sent, and a session with it. */
export type Peer = { url: string; requests: Request[]; close: () => Promise<void> };

/** Serves a function over HTTP on a free port of this machine. */
export async function serve(handle: (request: Request) => Promise<Response>): Promise<Peer> {
  const requests: Request[] = [];
  const server = createServer((incoming, outgoing) => {
    const answer = async (): Promise<void> => {
      const chunks: Buffer[] = [];
      for await (const chunk of incoming) chunks.push(chunk as Buffer);
      const headers = Object.entries(incoming.headers).map(
        ([name, value]) => [name, String(value)] as [string, string],
      );
      const url = `http://${incoming.headers.host}${incoming.url}`;
      const body = chunks.length === 0 ? null : Buffer.concat(chunks);
      const request = new Request(url, { method: incoming.method!, headers, body });
      requests.push(request.clone());
      const response = await handle(request);
      outgoing.writeHead(response.status, Object.fromEntries(response.headers));
      outgoing.flushHeaders();
      if (response.body !== null) for await (const chunk of response.body) outgoing.write(chunk);
      outgoing.end();
    };
    answer().catch(() => outgoing.destroy());
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address() as AddressInfo;
  const close = async (): Promise<void> => {
    server.closeAllConnections();
    await new Promise((resolve) => server.close(resolve));
  };
  return { url: `http://127.0.0.1:${port}/mcp`, requests, close };
}

/** A session with a server on this machine. */
export function openPeerSession(url: string): McpSession {
  const network: OutboundNetwork = {
    reach: { own: new Set(), registered: new Set([new URL(url).origin]) },
    fetchPublic: () => Promise.reject(new Error("no network")),
    fetchRegistered: fetch,
  };
  return createMcpSession({ url, headers: {} }, { network });
}
