import type { Context as HttpContext } from "hono";
import type { Asked } from "../../surfaces/request.ts";
import { crossed } from "../../canonical/rpc-error.ts";
import { saidIn } from "../../gateway/path.ts";
import { continuing } from "../../gateway/responses/state.ts";
import type { SurfaceId } from "../../surfaces/index.ts";
import type { Context } from "../../session/session.ts";
import { toRpcText } from "../../wire/bytes.ts";
import { parseJson } from "../../wire/json.ts";
import type { AppEnv } from "../admission/context.ts";
import { destinationOf } from "./destination.ts";
import { stubAt } from "../../platform/session-stubs.ts";

const NOTHING: Context = { parent: undefined, history: [], known: 0 };

/** What the session that a request names, in whichever words, would restore for it; nothing begins. */
export async function contextFor(c: HttpContext<AppEnv>, asked: Asked, surface: SurfaceId): Promise<Context> {
  const { org } = c.var.caller;
  const { at, response } = await destinationOf(asked, surface, { org, env: c.env });
  if (at === undefined) return NOTHING;
  const said = saidIn(response === undefined ? asked : continuing(asked, response));
  const told = await stubAt(c.env.SESSIONS, at.place).contextOf(org, toRpcText(JSON.stringify(said)), response);
  return parseJson(await (await crossed(told)).text()) as unknown as Context;
}
