import type { Context as HttpContext } from "hono";
import { fromRpcResponse } from "../../canonical/rpc-error.ts";
import { toTurnInput } from "../../gateway/call/turn-input.ts";
import { hasReferences, resolveReferences } from "../../gateway/responses/references.ts";
import { withContinuation } from "../../gateway/responses/state.ts";
import { requireStub } from "../../platform/session-stubs.ts";
import { itemsFor } from "../../platform/stored-items.ts";
import type { Context } from "../../session/session.ts";
import type { SurfaceId } from "../../surfaces/index.ts";
import type { ParsedRequest } from "../../surfaces/request.ts";
import { toRpcText } from "../../wire/bytes.ts";
import { parseJson } from "../../wire/json.ts";
import type { AppEnv } from "../request/env.ts";
import { resolveDestination } from "./destination.ts";

const EMPTY: Context = { parent: undefined, history: [], known: 0 };

/** The request with the items that it references. Throws `object.not_found` for an unknown one. */
export async function withReferencedItems(
  c: HttpContext<AppEnv>,
  request: ParsedRequest,
  surface: SurfaceId,
): Promise<ParsedRequest> {
  if (!hasReferences(request)) return request;
  const { caller } = c.var;
  const { at } = await resolveDestination(request, surface, { org: caller.org, env: c.env });
  return await resolveReferences(request, itemsFor(c.env, caller, at?.objectId));
}

/** The context that the request's session would add to it. No call is started. Empty if the request names no session. */
export async function previewContext(
  c: HttpContext<AppEnv>,
  request: ParsedRequest,
  surface: SurfaceId,
): Promise<Context> {
  const { org } = c.var.caller;
  const { at, response } = await resolveDestination(request, surface, { org, env: c.env });
  if (at === undefined) return EMPTY;
  const input = toTurnInput(response === undefined ? request : withContinuation(request, response));
  const result = await requireStub(c.env.SESSIONS, at.objectId).contextOf(
    org,
    toRpcText(JSON.stringify(input)),
    response,
  );
  return parseJson(await (await fromRpcResponse(result)).text()) as unknown as Context;
}
