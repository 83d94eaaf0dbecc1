import type { CallHost, StatelessCall } from "../../gateway/call/call.ts";
import { RemoteRecorder, type StreamChunk } from "../../gateway/output/remote-recorder.ts";
import { enterInJournal } from "../../platform/journal-stubs.ts";
import { createBudgets } from "../../platform/key-stubs.ts";
import { getIsolateRouter } from "../../platform/router.ts";
import type { SessionStub } from "../../platform/session-stubs.ts";
import { trackStoring } from "../../platform/stored-items.ts";
import type { CallStart } from "../../session/calls.ts";
import type { CompletedTurn } from "../../session/session.ts";
import type { CallRecord } from "../../store/records.ts";
import type { ParsedRequest } from "../../surfaces/request.ts";
import { toRpcText } from "../../wire/bytes.ts";

type Stateless = Pick<CallHost, "providers"> & {
  env: Cloudflare.Env;
  ctx: Pick<ExecutionContext, "waitUntil">;
  stub: () => SessionStub;
  /** The session is created with this call. */
  isNew: boolean;
  /** The call may stand in a journal until its session is first accessed. */
  isJournaled: boolean;
  clientLeft: AbortSignal | undefined;
};

/**
 * The host of a stateless call, which runs in the Worker. It adds no history to the request. The call reaches its
 * session after the client has been answered: as a journal entry where that suffices, else over RPC. A stream is sent
 * to the session while it runs, so that it can be resumed.
 */
export function createStatelessHost(request: ParsedRequest, call: Stateless): CallHost {
  const { stub, isNew, isJournaled, env, ctx, providers, clientLeft } = call;
  let started: CallStart | undefined;
  let recorder: RemoteRecorder | undefined;
  const { JOURNALS: journals } = env;
  const waitUntil = (work: Promise<unknown>): void => ctx.waitUntil(work);
  const deliver = async (finished: Omit<StatelessCall, "isNew">): Promise<void> => {
    const rest = await recorder?.takeRest();
    if (isJournaled && recorder?.hasSent !== true && enterInJournal(finished, rest, { journals, waitUntil })) return;
    // As text: RPC would convert numbers whose spelling was preserved.
    await stub().record(toRpcText(JSON.stringify({ ...finished, isNew } satisfies StatelessCall)), rest);
  };
  const deliverInBackground = async (finished: Omit<StatelessCall, "isNew">): Promise<void> => {
    const work = deliver(finished).catch((cause) =>
      console.error("call record not delivered to its session", finished.record.id, cause),
    );
    waitUntil(work);
    if (finished.kept !== undefined) trackStoring(finished.record.org, work);
  };
  return {
    contextMode: "stateless",
    ...(clientLeft && { clientLeft }),
    providers,
    router: getIsolateRouter(env),
    now: Date.now,
    budgets: createBudgets(env, waitUntil),
    waitUntil,
    recorderFor: () => {
      const header = JSON.stringify({ started: started!, isNew });
      const send = async (chunk: StreamChunk): Promise<void> => {
        const sent = stub().tell(header, chunk);
        waitUntil(sent);
        await sent;
      };
      return (recorder = new RemoteRecorder(send, Date.now));
    },
    start: async (_, start) => {
      started = start;
      return { parent: undefined, history: [], known: 0 };
    },
    commit: (record: CallRecord, { output, instructions }: CompletedTurn, kept) => {
      const items = request.items.slice(request.systemCount).join(",");
      const input = { dialect: request.surface.dialect.id, items };
      const said = { input, output, ...(instructions && { instructions }) };
      return deliverInBackground({ record, said, ...(kept && { kept }) });
    },
    fail: (record, received) => deliverInBackground({ record, ...(received !== undefined && { received }) }),
  };
}
