import { invalid } from "../../canonical/error.ts";
import { type ParsedRequest, parseRequest, readMembers } from "../../surfaces/request.ts";
import type { StatelessCall, CallHost } from "../../gateway/call/call.ts";
import { RemoteRecorder, type StreamChunk } from "../../gateway/output/remote-recorder.ts";
import { handleCall } from "../../gateway/path.ts";
import { SURFACES, type SurfaceId } from "../../surfaces/index.ts";
import type { PathParams } from "../../dialects/dialect.ts";
import type { CallStart } from "../../session/calls.ts";
import type { CompletedTurn } from "../../session/session.ts";
import { sessionNotFound } from "../../session/session.ts";
import type { CallRecord } from "../../store/records.ts";
import { toRpcText } from "../../wire/bytes.ts";
import { newId } from "../../wire/id.ts";
import { budgetsFor } from "../../platform/key-stubs.ts";
import { newCallIds, enterInJournal } from "../../platform/call-journal.ts";
import { providersFor } from "../../platform/org-providers.ts";
import { Capacity } from "../../platform/capacity.ts";
import { readText } from "../../surfaces/body.ts";
import { resolveDestination, type UnstoredResponses, needsState } from "./destination.ts";
import { requireOwnObject } from "../admission/client-token.ts";
import { isolateRouter } from "../../platform/router.ts";
import { type SessionStub, requireStub } from "../../platform/session-stubs.ts";
import type { Caller } from "../../keys/caller.ts";
import { requireSurface } from "../../keys/permissions.ts";
import { withKeyDefaults } from "../../surfaces/defaults.ts";

type Inference = {
  request: Request;
  surface: SurfaceId;
  outside?: PathParams;
  caller: Caller;
  env: Cloudflare.Env;
  ctx: Pick<ExecutionContext, "waitUntil">;
};

/** A generation call: to its session's object, or, when it is stateless, from here. Throws what is wrong with the request. */
export async function infer({ request, ...inference }: Inference): Promise<Response> {
  const createdAt = Date.now();
  requireSurface(inference.caller, inference.surface);
  const held = CAPACITY.enter();
  const work: Promise<unknown>[] = [];
  const waitUntil = (more: Promise<unknown>): void => {
    work.push(more);
    inference.ctx.waitUntil(more);
  };
  try {
    const text = await readText(request, undefined, held.hold);
    const { headers, signal: left } = request;
    return await inferText({ ...inference, ctx: { waitUntil }, text, headers, left, createdAt });
  } finally {
    void Promise.allSettled(work).then(held.leave);
  }
}

const CAPACITY = new Capacity();

/** `heard`: responses that only the caller's own connection knows of. `left`: aborted when the caller leaves. */
type TextInference = Omit<Inference, "request"> & {
  text: string;
  headers: Headers;
  createdAt: number;
  unstored?: UnstoredResponses;
  left?: AbortSignal;
};

/** The same of a body that has been read, by a caller who may use the surface. */
export async function inferText(texted: TextInference): Promise<Response> {
  const { text, headers, createdAt, surface, outside = {}, caller, env, ctx, left } = texted;
  const request = withKeyDefaults(readMembers(text, headers, SURFACES[surface]), caller, outside);
  const { at, response } = await resolveDestination(request, surface, { ...texted, org: caller.org });
  requireOwnObject(caller, at?.objectId, env);
  const { contextMode } = isolateRouter(env).config.defaults;
  const mode = request.rhone.context_mode ?? (needsState(response) ? "stateful" : contextMode);
  const isNew = at === undefined;
  // What a response is kept for is that somebody asks for it.
  const isJournaled = isNew && mode === "stateless" && response === undefined;
  const { place: objectId, ...named } = isNew
    ? newCallIds(env, createdAt, isJournaled)
    : { ...at, id: newId("call", createdAt, at.objectId) };
  const annotate = !annotatesHeadersOnly(headers);
  const call = { ...named, caller, annotate, createdAt, ...(response !== undefined && { response }) };
  const stub = (): SessionStub => requireStub(env.SESSIONS, objectId);
  if (mode !== "stateless") {
    const pairs = [...headers].filter(([name]) => !CREDENTIALS.has(name));
    const session = stub();
    left?.addEventListener("abort", () => ctx.waitUntil(session.left(call.id)), { once: true });
    const answered = session.call({ ...call, headers: pairs, surface, outside, text: toRpcText(text), isNew });
    return await keepAliveUntilAnswered(answered, ctx);
  }
  if (!isNew && !(await stub().has(caller.org))) throw sessionNotFound();
  const request = parseRequest(request, SURFACES[surface], outside);
  const providers = await providersFor(env, caller.org, (work) => ctx.waitUntil(work));
  const host = statelessHost(request, { stub, isNew, isJournaled, env, ctx, providers, left });
  return await keepAliveUntilAnswered(handleCall({ ...call, headers }, request, host), ctx);
}

/** Whether the caller wants bodies as they are, and what is said of them in headers alone. Throws `request.invalid`. */
function annotatesHeadersOnly(headers: Headers): boolean {
  const annotate = headers.get("x-rhone-annotate");
  if (annotate !== null && annotate !== "headers") throw invalid("x-rhone-annotate", "expected headers, or none");
  return annotate !== null;
}

/** With nothing to wait for, the platform ends a request the moment its client leaves, before it tells it so. */
function keepAliveUntilAnswered(answered: Promise<Response>, ctx: Inference["ctx"]): Promise<Response> {
  ctx.waitUntil(answered.catch(() => {}));
  return answered;
}

/** What admits a caller has been looked at, and goes no further. */
const CREDENTIALS = new Set(["authorization", "x-api-key", "x-goog-api-key", "cookie"]);

/** Nothing is restored, and what was said reaches the session, or the journal in its stead, when the client has its answer. */
function statelessHost(
  request: ParsedRequest,
  {
    stub,
    isNew,
    isJournaled,
    env,
    ctx,
    providers,
    left,
  }: Pick<Inference, "env" | "ctx"> &
    Pick<CallHost, "providers"> & {
      stub: () => SessionStub;
      isNew: boolean;
      isJournaled: boolean;
      left: AbortSignal | undefined;
    },
): CallHost {
  let started: CallStart | undefined;
  let recorder: RemoteRecorder | undefined;
  const { JOURNALS: journals } = env;
  const waitUntil = (work: Promise<unknown>): void => ctx.waitUntil(work);
  const deliver = async (handled: Omit<StatelessCall, "isNew">): Promise<void> => {
    const rest = await recorder?.rest();
    if (isJournaled && recorder?.hasSent !== true && enterInJournal(handled, rest, { journals, waitUntil })) return;
    // As text: numbers that were kept as they were written do not cross otherwise.
    await stub().record(toRpcText(JSON.stringify({ ...handled, isNew } satisfies StatelessCall)), rest);
  };
  const deliverInBackground = async (handled: Omit<StatelessCall, "isNew">): Promise<void> => {
    const lost = (cause: unknown): void => console.error("a record was lost", handled.record.id, cause);
    waitUntil(deliver(handled).catch(lost));
  };
  return {
    contextMode: "stateless",
    ...(left && { clientLeft: left }),
    providers,
    router: isolateRouter(env),
    now: Date.now,
    budgets: budgetsFor(env, waitUntil),
    waitUntil,
    recorderFor: () => {
      const header = JSON.stringify({ started: started!, isNew });
      const send = async (load: StreamChunk): Promise<void> => {
        const sent = stub().tell(header, load);
        ctx.waitUntil(sent);
        await sent;
      };
      return (recorder = new RemoteRecorder(send, Date.now));
    },
    start: async (_, started) => {
      started = started;
      return { parent: undefined, history: [], known: 0 };
    },
    commit: (record: CallRecord, { output, instructions }: CompletedTurn, kept) => {
      const items = request.items.slice(request.systemCount).join(",");
      const input = { dialect: request.surface.dialect.id, items };
      return deliverInBackground({
        record,
        said: { input, output, ...(instructions && { instructions }) },
        ...(kept && { kept }),
      });
    },
    fail: (record, received) => deliverInBackground({ record, ...(received !== undefined && { received }) }),
  };
}
