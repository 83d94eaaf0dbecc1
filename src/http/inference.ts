import { type Asked, ask, open } from "../gateway/ask.ts";
import type { Caller, Handled, Host } from "../gateway/call.ts";
import { answer } from "../gateway/path.ts";
import { SURFACES, type SurfaceId } from "../gateway/surface.ts";
import type { Outside } from "../dialects/dialect.ts";
import { providersOf } from "../providers/table.ts";
import type { Step } from "../session/session.ts";
import { sessionNotFound } from "../session/session.ts";
import type { CallRecord } from "../store/records.ts";
import { mint } from "../wire/id.ts";
import { readText } from "./body.ts";
import { newSession, placeOfSession, type SessionStub, stubAt } from "./where.ts";

type Inference = {
  request: Request;
  surface: SurfaceId;
  outside?: Outside;
  caller: Caller;
  env: Cloudflare.Env;
  ctx: Pick<ExecutionContext, "waitUntil">;
};

/** A generation call: to its session's object, or, when it is stateless, from here. Throws what is wrong with the request. */
export async function infer({ request, surface, outside = {}, caller, env, ctx }: Inference): Promise<Response> {
  const createdAt = Date.now();
  const text = await readText(request);
  const opened = open(text, request.headers);
  const known = opened.rhone.session_id;
  const isNew = known === undefined;
  const { id: sessionId, place } = isNew
    ? newSession(env.SESSIONS)
    : { id: known, place: placeOfSession(env.SESSIONS, caller.org, known) };
  const annotate = request.headers.get("x-rhone-annotate") !== "headers";
  const call = { id: mint("call", createdAt, place), sessionId, caller, annotate, createdAt };
  const stub = stubAt(env.SESSIONS, place);
  if (opened.rhone.context_mode !== "stateless") {
    const headers = [...request.headers].filter(([name]) => !CREDENTIALS.has(name));
    return await stub.call({ ...call, headers, surface, outside, text, isNew });
  }
  if (!isNew && (await stub.describe(caller.org)) === undefined) throw sessionNotFound();
  const asked = ask(opened, SURFACES[surface], outside);
  return await answer({ ...call, headers: request.headers }, asked, statelessHost(asked, { stub, isNew, env, ctx }));
}

/** What admits a caller has been looked at, and goes no further. */
const CREDENTIALS = new Set(["authorization", "x-api-key", "x-goog-api-key", "cookie"]);

/** Nothing is restored, and what was said reaches the session when the client has its answer. */
function statelessHost(
  asked: Asked,
  { stub, isNew, env, ctx }: { stub: SessionStub; isNew: boolean; env: Cloudflare.Env; ctx: Inference["ctx"] },
): Host {
  const later = async (handled: Omit<Handled, "isNew">): Promise<void> => {
    // As text: numbers that were kept as they were written do not cross otherwise.
    const kept = stub.record(JSON.stringify({ ...handled, isNew } satisfies Handled));
    ctx.waitUntil(kept.catch((cause: unknown) => console.error("a record was lost", handled.record.id, cause)));
  };
  return {
    contextMode: "stateless",
    providers: providersOf(env),
    now: Date.now,
    keepAlive: (work) => ctx.waitUntil(work),
    begin: () => ({ parent: undefined, history: [], known: 0 }),
    commit: (record: CallRecord, { output, instructions }: Step) => {
      const items = asked.items.slice(asked.leading).join(",");
      const input = { dialect: asked.surface.dialect.id, items };
      return later({ record, said: { input, output, ...(instructions && { instructions }) } });
    },
    fail: (record, received) => later({ record, ...(received !== undefined && { received }) }),
  };
}
