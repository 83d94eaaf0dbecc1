import { createHash } from "node:crypto";
import type { Context } from "hono";
import { invalid } from "../../canonical/error.ts";
import { fromRpcResponse } from "../../canonical/rpc-error.ts";
import type { IdempotentRequest } from "../../gateway/idempotency.ts";
import { readBytes } from "./body.ts";
import type { AppEnv } from "../admission/context.ts";

/**
 * An admitted POST with an idempotency key. It runs in the key's own object, so that repetitions of it meet there
 * from wherever they come, and none of them needs its client to stay. SPEC 3. Throws `request.invalid` naming the
 * header, `idempotency.mismatch`.
 */
export async function runOnce({ req, env, var: { caller } }: Context<AppEnv>, key: string): Promise<Response> {
  if (!KEY.test(key)) throw invalid("idempotency-key", "expected 1 to 255 printable characters of ASCII");
  const { org, keyId, session = "" } = caller;
  const object = env.IDEMPOTENCY.get(env.IDEMPOTENCY.idFromName(JSON.stringify([org, keyId, session, key])));
  const response = await fromRpcResponse(await object.answer(req.raw, org));
  const requestId = req.header("x-request-id");
  // A repetition has an id of its own.
  if (requestId !== undefined) response.headers.set("x-request-id", requestId);
  return response;
}

const KEY = /^[\x20-\x7e]{1,255}$/;

/** What has to be the same in every repetition, and the request as it is run, once. Throws as `readBytes` does. */
export async function fingerprint(request: Request): Promise<IdempotentRequest & { request: Request }> {
  const body = await readBytes(request);
  const { pathname, searchParams } = new URL(request.url);
  const headers = new Headers(request.headers);
  headers.delete("idempotency-key");
  // Which page may read the answer is said to each repetition, not once for all.
  headers.delete("origin");
  // What the body might say as well; and no credential.
  const said = [...headers].filter(([name]) => name.startsWith("x-rhone-"));
  const asked = [...searchParams].filter(([name]) => name !== "key");
  const fingerprint = createHash("sha256")
    .update(JSON.stringify([pathname, asked, said]))
    .update(comparable(body, headers.get("content-type") ?? ""))
    .digest("base64url");
  const again = new Request(request.url, { method: "POST", headers, body });
  return { fingerprint, tellsSecret: TELLS_SECRET.test(pathname), request: again };
}

/** Made and rotated keys, and client tokens. */
const TELLS_SECRET = /^\/v1\/(keys(\/|$)|sessions\/.+:token$)/;

/** A form has a boundary of its own each time it is sent. */
function comparable(body: Uint8Array, type: string): Uint8Array {
  const boundary = /^\s*multipart\/.*;\s*boundary=(?:"([^"]+)"|([^;\s]+))/i.exec(type);
  const mark = boundary?.[1] ?? boundary?.[2];
  if (mark === undefined) return body;
  return Buffer.from(Buffer.from(body).toString("latin1").replaceAll(mark, ""), "latin1");
}
