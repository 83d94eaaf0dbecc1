/** One request to a tool, as the tool got it. */
export type ToolRequest = { path: string; headers: Record<string, string>; body: string };

const LOG = new Map<string, ToolRequest[]>();

/**
 * A host of tools. The first part of a path names a test, which gets its own log at `GET /{test}/log`; the last part says what happens.
 */
export async function answerTool(request: Request): Promise<Response> {
  const { pathname } = new URL(request.url);
  const [, test = "", what = ""] = pathname.split("/");
  const log = LOG.get(test) ?? [];
  LOG.set(test, log);
  if (what === "log") return Response.json(log);
  const body = await request.text();
  log.push({ path: pathname, headers: Object.fromEntries(request.headers), body });
  const tries = log.filter(({ path }) => path === pathname).length;
  switch (what) {
    case "echo":
      return Response.json((JSON.parse(body) as { data: { arguments: unknown } }).data.arguments);
    case "page":
      return new Response(
        "<html><head><title>T</title><script>x()</script></head><body><h1>Rhone</h1><p>A &amp; B</p></body></html>",
        {
          headers: { "content-type": "text/html; charset=utf-8" },
        },
      );
    case "void":
      return new Response(
        '<html><head><link rel="x" href="/y"><meta charset="utf-8"></head><body><svg/><p>Seen<svg><text>not</text></svg></p></body></html>',
        { headers: { "content-type": "text/html" } },
      );
    case "elsewhere":
      return new Response(null, { status: 302, headers: { location: "https://other.example.com/fetched/page" } });
    case "garbage":
      return new Response(new Uint8Array([0xff, 0xfe, 0, 1, 2]));
    case "huge":
      return new Response("x".repeat(6_000_000));
    case "never":
      return await new Promise(() => {});
    case "refused":
      return new Response("No such customer.", { status: 404 });
    case "never-once":
      return tries === 1 ? await new Promise(() => {}) : new Response("At last.");
    case "failing-once":
      return tries === 1 ? new Response("Not now.", { status: 503 }) : new Response("At last.");
    case "gone":
      return new Response(null, { status: 410 });
    case "away":
      return new Response(null, { status: 302, headers: { location: "http://127.0.0.1/secret" } });
    default:
      return new Response(`Done: ${what}.`);
  }
}
