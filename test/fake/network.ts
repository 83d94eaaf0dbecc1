import { answer } from "./dialects.ts";
import { answerEndpoint } from "./endpoints.ts";
import { answerMcp } from "./mcp.ts";
import { answerOdd } from "./odd.ts";
import { answerTool } from "./tools.ts";

/** Whatever a test does not stub lands here, in Node, as a real network stream; nothing reaches the network. */
export async function answerNetwork(request: Request): Promise<Response> {
  const answerHost = HOSTS[new URL(request.url).hostname] ?? answer;
  return await answerHost(request);
}

/** The request's own body, as a response of the network. */
const echo = async (request: Request): Promise<Response> =>
  new Response(await request.arrayBuffer(), { headers: { "content-type": request.headers.get("content-type") ?? "" } });

const HOSTS: Record<string, (request: Request) => Response | Promise<Response>> = {
  "echo.test": echo,
  "more.test": answerEndpoint,
  "odd.test": answerOdd,
  "tools.example.com": answerTool,
  "mcp.example.com": answerMcp,
};
