import type { Call, CallHost } from "../../gateway/call/call.ts";
import { RemoteRecorder, type StreamChunk } from "../../gateway/output/remote-recorder.ts";
import { storesCompletion } from "../../gateway/reply/completion-object.ts";
import { type FinishedCall, toJournaledCall, toStatelessCall } from "../../gateway/session/import-call.ts";
import { carriedItemsFor } from "../../platform/carried-items.ts";
import { enterInJournal } from "../../platform/journal-stubs.ts";
import { createBudgets, settleRecords } from "../../platform/key-stubs.ts";
import { getIsolateRouter } from "../../platform/router.ts";
import type { SessionStub } from "../../platform/session-stubs.ts";
import { trackStoring } from "../../platform/stored-items.ts";
import type { CallStart } from "../../session/calls.ts";
import { type RhoneRequest, storesContent } from "../../surfaces/rhone.ts";
import { toRpcText } from "../../wire/bytes.ts";

/** `stored`: the call's id and state, if its response is to be stored. */
type StatelessCallParts = Pick<CallHost, "providers" | "shield"> & {
  org: string;
  env: Cloudflare.Env;
  ctx: Pick<ExecutionContext, "waitUntil">;
  stub: () => SessionStub;
  /** The session is created with this call. */
  isNew: boolean;
  /** The call may stand in a journal until its session is first accessed. */
  isJournaled: boolean;
  clientLeft: AbortSignal | undefined;
  /** The caller's options; `store` says what of the call is stored. */
  rhone: RhoneRequest;
  stored?: Pick<Call, "id" | "response">;
};

/** Whether the call's answer can be retrieved later as a chat completion. */
const isStored = ({ answer }: FinishedCall): boolean => answer !== undefined && storesCompletion(answer.request);

/**
 * The host of a stateless call, which runs in the Worker. It adds no history to the request. The call reaches its
 * session after the client has been answered: as a journal entry where that suffices, else over RPC. A stream is sent
 * to the session while it runs, so that it can be resumed.
 */
export function createStatelessHost(call: StatelessCallParts): CallHost {
  const { org, stub, isNew, isJournaled, env, ctx, providers, shield, clientLeft, rhone, stored } = call;
  const hasContent = storesContent(rhone);
  let started: CallStart | undefined;
  let recorder: RemoteRecorder | undefined;
  const { JOURNALS: journals } = env;
  const waitUntil = (work: Promise<unknown>): void => ctx.waitUntil(work);
  const deliver = async (finished: FinishedCall): Promise<void> => {
    if (rhone.store === "none") return void (await settleRecords(env, [finished.record]));
    const rest = await recorder?.takeRest();
    const mayJournal = isJournaled && recorder?.hasSent !== true && !isStored(finished);
    if (mayJournal && enterInJournal(toJournaledCall(finished), rest, { journals, waitUntil })) return;
    // As text: RPC would convert numbers whose spelling was preserved.
    await stub().record(toRpcText(JSON.stringify({ ...toStatelessCall(finished, stored), isNew })), rest);
  };
  const deliverInBackground = async (finished: FinishedCall): Promise<void> => {
    const judged = shield?.judge(finished.record);
    const delivery = judged?.then((record) => deliver({ ...finished, record })) ?? deliver(finished);
    const work = delivery.catch((cause) =>
      console.error("call record not delivered to its session", finished.record.id, cause),
    );
    waitUntil(work);
    const hasStored = stored !== undefined || isStored(finished);
    if (finished.answer !== undefined && hasStored) trackStoring(finished.record.org, work);
  };
  return {
    providers,
    router: getIsolateRouter(env),
    carried: carriedItemsFor(env, org),
    shield,
    budgets: createBudgets(env, waitUntil),
    lifetime: { now: Date.now, waitUntil, ...(clientLeft && { clientLeft }) },
    store: {
      ...(hasContent && {
        recorderFor: () => {
          const header = JSON.stringify({ started: started!, isNew });
          const send = async (chunk: StreamChunk): Promise<void> => {
            const sent = stub().tell(header, chunk);
            waitUntil(sent);
            await sent;
          };
          return (recorder = new RemoteRecorder(send, Date.now));
        },
      }),
      start: async (_, start) => {
        started = start;
        return { parent: undefined, history: [], known: 0 };
      },
      commit: (record, answer) => deliverInBackground({ record, answer: hasContent ? answer : undefined }),
      fail: (record, _, partial) =>
        deliverInBackground({ record, answer: undefined, received: hasContent ? partial?.items : undefined }),
    },
  };
}
