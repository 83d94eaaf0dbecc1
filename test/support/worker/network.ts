import { createExecutionContext, waitOnExecutionContext } from "cloudflare:test";
import { env } from "cloudflare:workers";
import { afterEach, beforeEach, vi } from "vitest";
import { handle } from "../../../src/http/app.ts";
import { KEY } from "./client.ts";

/** What stands for the network in a test file: it answers as told, and writes down what it was asked. */
export const network: Network = {
  sent: [],
  answers: () => new Response(null, { status: 404 }),
  refuses: () => false,
  isReal: false,
};

type Network = {
  sent: { url: string; headers: Record<string, string>; body: string }[];
  answers: (request: Request, body: string) => Response | Promise<Response>;
  /** Whether the connection fails before anything of the request is read. */
  refuses: (request: Request) => boolean;
  /** Answers of status 200 arrive over a connection. */
  isReal: boolean;
};

/** For a file's every test. */
export function withNetwork(): void {
  beforeEach(() => {
    network.sent = [];
    network.refuses = () => false;
    const { fetch } = globalThis;
    vi.stubGlobal("fetch", async (input: RequestInfo | URL, init?: RequestInit) => {
      const request = new Request(input, init);
      if (network.refuses(request)) throw new TypeError("connection refused");
      const body = await request.text();
      network.sent.push({ url: request.url, headers: Object.fromEntries(request.headers), body });
      const response = await network.answers(request, body);
      return network.isReal && response.ok ? await overNetwork(response, fetch) : response;
    });
  });
  afterEach(() => vi.unstubAllGlobals());
}

/** The response as a stream of the network: the runtime treats the body of one made in JavaScript in another way. */
const overNetwork = (response: Response, fetch: typeof globalThis.fetch): Promise<Response> =>
  fetch("http://echo.test/", { method: "POST", headers: response.headers, body: response.body });

export type Said = { status: number; headers: Headers; text: string; json: never };

/** A gateway of other settings. */
export async function ask(
  settings: object,
  path: string,
  body: unknown,
  headers: Record<string, string> = {},
): Promise<Said> {
  const ctx = createExecutionContext();
  const init = {
    method: body === undefined ? "GET" : "POST",
    headers: { authorization: `Bearer ${KEY}`, "x-rhone-context-mode": "stateless", ...headers },
    ...(body !== undefined && { body: typeof body === "string" ? body : JSON.stringify(body) }),
  };
  const response = await handle(new Request(`https://gateway.test${path}`, init), { ...env, ...settings }, ctx);
  const text = await response.text();
  await waitOnExecutionContext(ctx);
  const json = (text.startsWith("{") ? JSON.parse(text) : undefined) as never;
  return { status: response.status, headers: response.headers, text, json };
}
