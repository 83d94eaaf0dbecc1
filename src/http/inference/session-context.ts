import type { Context as HttpContext } from "hono";
import { fromRpcResponse } from "../../canonical/rpc-error.ts";
import { toTurnInput } from "../../gateway/call/turn-input.ts";
import { type Continued, continueRequest } from "../../gateway/continued-request.ts";
import { resolveReferences, withoutItems } from "../../gateway/responses/references.ts";
import { withContinuation } from "../../gateway/responses/state.ts";
import { requireStub } from "../../platform/session-stubs.ts";
import { itemsFor } from "../../platform/stored-items.ts";
import type { Context, PreviewedContext } from "../../session/session.ts";
import type { SurfaceId } from "../../surfaces/index.ts";
import type { ParsedRequest } from "../../surfaces/request.ts";
import { toRpcText } from "../../wire/bytes.ts";
import { parseJson } from "../../wire/json.ts";
import type { AppEnv } from "../request/env.ts";
import { resolveDestination } from "./destination.ts";

const EMPTY: Context = { parent: undefined, history: [], known: 0 };

/**
 * The request as a call would send it: with the items that it references, in the context of the session that it names, if
 * any. No call is started. Throws `object.not_found` for an unknown item.
 */
export async function previewCall(
  c: HttpContext<AppEnv>,
  parsed: ParsedRequest,
  surface: SurfaceId,
): Promise<Continued> {
  const { caller } = c.var;
  const { at, response } = await resolveDestination(parsed, surface, { org: caller.org, env: c.env });
  const request = await resolveReferences(parsed, itemsFor(c.env, caller, at?.objectId));
  if (at === undefined) return { request, context: EMPTY };
  const input = toTurnInput(response === undefined ? request : withContinuation(request, response));
  const result = await requireStub(c.env.SESSIONS, at.objectId).contextOf(
    caller.org,
    toRpcText(JSON.stringify(input)),
    response,
  );
  const { omitted = [], ...context } = parseJson(
    await (await fromRpcResponse(result)).text(),
  ) as unknown as PreviewedContext;
  return continueRequest(withoutItems(request, omitted), context);
}
