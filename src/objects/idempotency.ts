import { DurableObject } from "cloudflare:workers";
import { toRpcResponse } from "../canonical/rpc-error.ts";
import { ANSWER_RETENTION_MS, Idempotency, type RequestRun } from "../gateway/idempotency.ts";
import { readIdempotentRequest } from "../gateway/idempotent-request.ts";
import { handle } from "../http/app.ts";
import { stubForId } from "../platform/session-stubs.ts";
import type { CallState } from "../session/calls.ts";
import { objectStorage } from "./storage.ts";

/**
 * The Durable Object of one idempotency key: it runs the request once, stores the answer, and replays it until it
 * expires. It composes and decides nothing.
 */
export class IdempotencyObject extends DurableObject {
  readonly #idempotency: Idempotency;

  constructor(ctx: DurableObjectState, env: Cloudflare.Env) {
    super(ctx, env);
    this.#idempotency = new Idempotency({
      ...objectStorage(ctx),
      now: Date.now,
      waitUntil: (work) => ctx.waitUntil(work),
      expireAt: (time) => void ctx.storage.setAlarm(time),
      durable: () => ctx.storage.sync(),
    });
  }

  /**
   * Answers the request, or replays the stored answer. `org`: the organisation of the authenticated caller; `safety`: what
   * applies to its calls, which a stored answer has been made under.
   */
  async answer(request: Request, org: string, safety = ""): Promise<Response> {
    return await toRpcResponse(this.ctx.id.toString(), async () => {
      const { request: original, ...repeatable } = await readIdempotentRequest(request, safety);
      return await this.#idempotency.answer(repeatable, () => this.#run(original, org));
    });
  }

  /** Deletes the stored answer when it has expired; while the request still runs, the alarm is set again. */
  override async alarm(): Promise<void> {
    if (this.#idempotency.isRunning) await this.ctx.storage.setAlarm(Date.now() + ANSWER_RETENTION_MS);
    else await this.ctx.storage.deleteAll();
  }

  /**
   * Runs the request as the Worker would. `settled` resolves when the work it left behind is done; `statusOf` looks up
   * the status of a call that it made in the call's session.
   */
  async #run(request: Request, org: string): Promise<RequestRun> {
    const work: Promise<unknown>[] = [];
    const waitUntil = (more: Promise<unknown>): void => {
      work.push(more);
      this.ctx.waitUntil(more);
    };
    const response = await handle(request, this.env, { waitUntil, storesAnswer: true });
    return {
      response,
      settled: () => Promise.allSettled(work),
      statusOf: async (call) => {
        const found = await stubForId(this.env.SESSIONS, "call", call)?.findCall(org, call);
        return found === undefined ? undefined : (JSON.parse(found) as CallState).status;
      },
    };
  }
}
