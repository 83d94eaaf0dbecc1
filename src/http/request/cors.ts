/**
 * The request's origin if the deployment's configuration lists it: its pages may read the response. Pages authenticate
 * with a client token like every client, never with a cookie, so no response allows credentials.
 */
export function allowedOrigin({ headers }: Request, origins: ReadonlySet<string>): string | undefined {
  const origin = headers.get("origin");
  return origin !== null && origins.has(origin) ? origin : undefined;
}

/** Whether this is the preflight that a browser sends before a page's request (Fetch standard). It carries no key. */
export const isPreflight = ({ method, headers }: Request): boolean =>
  method === "OPTIONS" && headers.has("access-control-request-method");

/** Valid for ten minutes. Any request header is allowed: each is validated where it is read. */
export function preflightResponse({ headers }: Request, methods: readonly string[]): Response {
  const allowed = {
    "access-control-allow-methods": methods.join(", "),
    "access-control-allow-headers": headers.get("access-control-request-headers") ?? "",
    "access-control-max-age": "600",
  };
  return new Response(null, { status: 204, headers: allowed });
}

/** Lets pages of this origin read the response with all its headers: `x-rhone-*`, rate limits, the request id. */
export function allowOrigin(origin: string, { headers }: Response): void {
  headers.set("access-control-allow-origin", origin);
  headers.set("access-control-expose-headers", "*");
  headers.append("vary", "origin");
}
