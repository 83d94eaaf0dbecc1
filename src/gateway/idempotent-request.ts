import { createHash } from "node:crypto";
import { readBytes } from "../surfaces/body.ts";
import type { IdempotentRequest } from "./idempotency.ts";

/**
 * Reads a request into its fingerprint and a copy to run. Path, query, `x-rhone-` headers, body and `safety` count; credentials
 * do not. Throws as `readBytes` does.
 */
export async function readIdempotentRequest(
  request: Request,
  safety = "",
): Promise<IdempotentRequest & { request: Request }> {
  const body = await readBytes(request);
  const { pathname, searchParams } = new URL(request.url);
  const headers = new Headers(request.headers);
  headers.delete("idempotency-key");
  // CORS headers are set for each repetition by its own origin.
  headers.delete("origin");
  // These headers have the same effect as members of the body. `key` in the query is Gemini's form of a credential.
  const rhoneHeaders = [...headers].filter(([name]) => name.startsWith("x-rhone-"));
  const query = [...searchParams].filter(([name]) => name !== "key");
  const fingerprint = createHash("sha256")
    .update(JSON.stringify([pathname, query, rhoneHeaders, ...(safety === "" ? [] : [safety])]))
    .update(withoutBoundary(body, headers.get("content-type") ?? ""))
    .digest("base64url");
  const copy = new Request(request.url, { method: "POST", headers, body });
  return { fingerprint, returnsSecret: RETURNS_SECRET.test(pathname), request: copy };
}

/** Paths whose answers contain a secret: created and rotated keys, client tokens. */
const RETURNS_SECRET = /^\/v1\/(keys(\/|$)|sessions\/.+:token$)/;

/** The body without its multipart boundary, which clients choose at random for each request. */
function withoutBoundary(body: Uint8Array, type: string): Uint8Array {
  const match = /^\s*multipart\/.*;\s*boundary=(?:"([^"]+)"|([^;\s]+))/i.exec(type);
  const boundary = match?.[1] ?? match?.[2];
  if (boundary === undefined) return body;
  return Buffer.from(Buffer.from(body).toString("latin1").replaceAll(boundary, ""), "latin1");
}
