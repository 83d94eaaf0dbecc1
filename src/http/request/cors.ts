/**
 * The origin of the page that a request comes from, if the deployment names it: such a page may read the answer. Pages
 * show a client token as every client does, and never a cookie, so no answer allows credentials.
 */
export function allowedOrigin({ headers }: Request, origins: ReadonlySet<string>): string | undefined {
  const origin = headers.get("origin");
  return origin !== null && origins.has(origin) ? origin : undefined;
}

/** What a browser asks before it sends a page's request. It shows no key. */
export const isPreflight = ({ method, headers }: Request): boolean =>
  method === "OPTIONS" && headers.has("access-control-request-method");

/** For ten minutes the browser need not ask again. Any header may be sent: what one means is decided where it is read. */
export function preflightResponse({ headers }: Request, methods: readonly string[]): Response {
  const answer = {
    "access-control-allow-methods": methods.join(", "),
    "access-control-allow-headers": headers.get("access-control-request-headers") ?? "",
    "access-control-max-age": "600",
  };
  return new Response(null, { status: 204, headers: answer });
}

/** Lets a page of this origin read the answer with all of its headers: the `x-rhone-` ones, the limits, the request's id. */
export function allowOrigin(page: string, { headers }: Response): void {
  headers.set("access-control-allow-origin", page);
  headers.set("access-control-expose-headers", "*");
  headers.append("vary", "origin");
}
