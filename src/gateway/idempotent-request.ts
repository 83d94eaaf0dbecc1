import type { IdempotentRequest } from "./idempotency.ts";
import { readBytes } from "../surfaces/body.ts";
import { createHash } from "node:crypto";

/** What has to be the same in every repetition, and the request as it is run, once. Throws as `readBytes` does. */
export async function readIdempotentRequest(request: Request): Promise<IdempotentRequest & { request: Request }> {
  const body = await readBytes(request);
  const { pathname, searchParams } = new URL(request.url);
  const headers = new Headers(request.headers);
  headers.delete("idempotency-key");
  // Which page may read the answer is said to each repetition, not once for all.
  headers.delete("origin");
  // What the body might say as well; and no credential.
  const rhoneHeaders = [...headers].filter(([name]) => name.startsWith("x-rhone-"));
  const query = [...searchParams].filter(([name]) => name !== "key");
  const fingerprint = createHash("sha256")
    .update(JSON.stringify([pathname, query, rhoneHeaders]))
    .update(withoutBoundary(body, headers.get("content-type") ?? ""))
    .digest("base64url");
  const copy = new Request(request.url, { method: "POST", headers, body });
  return { fingerprint, returnsSecret: RETURNS_SECRET.test(pathname), request: copy };
}

/** Made and rotated keys, and client tokens. */
const RETURNS_SECRET = /^\/v1\/(keys(\/|$)|sessions\/.+:token$)/;

/** A form has a boundary of its own each time it is sent. */
function withoutBoundary(body: Uint8Array, type: string): Uint8Array {
  const boundary = /^\s*multipart\/.*;\s*boundary=(?:"([^"]+)"|([^;\s]+))/i.exec(type);
  const mark = boundary?.[1] ?? boundary?.[2];
  if (mark === undefined) return body;
  return Buffer.from(Buffer.from(body).toString("latin1").replaceAll(mark, ""), "latin1");
}
