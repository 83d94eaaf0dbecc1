import { toGatewayError } from "../../canonical/error.ts";
import type { Caller } from "../../keys/caller.ts";
import { findCallState } from "../../session/calls.ts";
import { sessionNotFound } from "../../session/session.ts";
import { withDefaults, withKeyDefaults } from "../../surfaces/defaults.ts";
import { SURFACES } from "../../surfaces/index.ts";
import { type ParsedRequest, readMembers, type RequestText } from "../../surfaces/request.ts";
import { readRpcText } from "../../wire/bytes.ts";
import type { Call, CallHost, SessionCall } from "../call/call.ts";
import { CANCELLED } from "../call/stream-errors.ts";
import { generate } from "../generation.ts";
import { buildErrorResponse } from "../reply/headers.ts";
import { acceptInBackground, drain, withStreaming } from "../responses/background.ts";
import { type FindItems, findInOrder, omitKnownItems } from "../responses/references.ts";
import { asOpenAiError } from "../responses/state.ts";
import { findStoredItems } from "../responses/stored-items.ts";
import { warmUp } from "../responses/warm-up.ts";
import type { CallShield } from "../shield/call-shield.ts";
import { screenText } from "../shield/screen-text.ts";
import {
  type AnswerCall,
  type CallRuns,
  type FoundTools,
  hasServerTools,
  requireRunnable,
  type SessionHost,
} from "./call-runs.ts";
import { type CallStoreServices, createCallStore } from "./call-store.ts";
import { continueConversation, placeInConversation } from "./conversation-placement.ts";
import { findNamedServers } from "./named-servers.ts";
import { continueSession, type Placement } from "./placement.ts";
import { deferRequest, parseSessionRequest, type ResentRequest } from "./resent-request.ts";
import type { ModelServices } from "./services.ts";

/** What running calls uses of the session's object. */
type SessionCallServices = CallStoreServices & {
  models: ModelServices;
  runs: CallRuns;
  index: {
    /** Items of the organisation's stored responses. */
    findItems: (org: string, ids: readonly string[]) => ReturnType<FindItems>;
  };
};

/**
 * Runs the calls of one session inside its object: one at a time, each until all of its work is done, independent of
 * whether its client is still connected.
 */
export class SessionCalls {
  readonly #services: SessionCallServices;
  /** Background calls by id, from queueing to their end. The promise resolves when the call starts, or ends unstarted. */
  readonly #background = new Map<string, PromiseWithResolvers<void>>();
  /** The shields of background calls that wait. */
  readonly #queuedShields = new Map<string, CallShield>();
  /** Running calls by id. `done` resolves when the call is recorded and its work is finished. */
  readonly #running = new Map<string, Pick<RunningCall, "stop" | "clientLeft"> & { done: Promise<void> }>();

  constructor(services: SessionCallServices) {
    this.#services = services;
  }

  get areRunning(): boolean {
    return this.#running.size > 0;
  }

  /** Answers a call. Never throws: an error is returned as a response in the surface's shape. */
  async answer(sessionCall: SessionCall): Promise<Response> {
    const { headers: pairs, surface, id } = sessionCall;
    const headers = new Headers(pairs);
    try {
      return await this.#answer(sessionCall, headers);
    } catch (thrown) {
      return buildErrorResponse(SURFACES[surface], toGatewayError(thrown), headers.get("x-request-id") ?? id);
    }
  }

  /** As `answer`, for a conversation. `undefined`: its session was deleted, also while the call was being read. */
  async answerInConversation(sessionCall: SessionCall): Promise<Response | undefined> {
    const { session } = this.#services.state;
    const response = session.isDeleted ? undefined : await this.answer(sessionCall);
    return response?.status === 404 && session.isDeleted ? undefined : response;
  }

  async #answer(received: SessionCall, headers: Headers): Promise<Response> {
    const { id, caller, annotate, createdAt, response, conversation } = received;
    const { session } = this.#services.state;
    const isNew = received.isNew || (received.mayCreate === true && !session.exists);
    const sessionCall = { ...received, isNew };
    const { org } = caller;
    const [providers, harness] = await Promise.all([
      this.#services.models.providers(org),
      this.#services.runs.findDefaultHarness(caller),
    ]);
    if (!isNew) asOpenAiError(response, () => session.requireActive(org));
    const { requestText, shield } = await this.#readRequest(sessionCall, headers);
    const servers = await findNamedServers(requestText, {
      surface: SURFACES[received.surface],
      outside: received.outside,
      config: this.#services.models.router().config,
      providers: () => providers,
    });
    const resent = await this.#parse(requestText, sessionCall);
    const sessionId = isNew ? sessionCall.sessionId : session.row.id;
    const facts = { id, sessionId, caller, headers, annotate, createdAt, ...(response && { response }) };
    const call: Call = { ...facts, contextMode: "stateful" };
    const read = { providers, shield, requestText, resent, found: { harness, servers } };
    if (conversation !== undefined)
      return await this.#answerInConversation(sessionCall, { ...call, conversation }, read);
    return await this.#answerInTurn(sessionCall, call, read);
  }

  /** How the call is answered: by one call of a model, or by a run that executes tools for it. */
  async #prepareAnswer(call: Call, request: ParsedRequest, found: FoundTools): Promise<AnswerCall> {
    if (call.response?.isWarmUp === true) return warmUp;
    if (!hasServerTools(request, found)) return generate;
    requireRunnable(request);
    return await this.#services.runs.prepare({ request, caller: call.caller, ...found });
  }

  /** Answers a call of a conversation, beside all others of it. */
  async #answerInConversation(
    sessionCall: SessionCall,
    call: Call,
    { providers, shield, requestText, resent, found }: ReadCall,
  ): Promise<Response> {
    const { state } = this.#services;
    const { session } = state;
    const { isNew, caller } = sessionCall;
    const { agent } = call.conversation!;
    const whole = resent.recalled === undefined ? resent.request : deferRequest(requestText, sessionCall);
    const answer = await this.#prepareAnswer(call, whole, found);
    if (!isNew) session.requireActive(caller.org);
    if (session.isDeleted) throw sessionNotFound();
    const placement =
      answer === generate
        ? placeInConversation(state, resent, { whole, agent })
        : continueConversation(state, whole, agent);
    const running = newRunningCall({ isNew, providers, shield, isSideBranch: true, placement });
    return await this.#run(call, whole, running, { answer });
  }

  /** Answers a call when it may run in its session: after those before it, or beside them. */
  async #answerInTurn(
    sessionCall: SessionCall,
    call: Call,
    { providers, shield, requestText, resent, found }: ReadCall,
  ): Promise<Response> {
    const { session } = this.#services.state;
    const { isNew, response, caller } = sessionCall;
    const answer = await this.#prepareAnswer(call, resent.request, found);
    if (call.response?.background === true && !this.#background.has(call.id))
      return await this.#runInBackground(sessionCall, call, { request: resent.request, shield });
    const release = await this.#acquireLease(resent.request);
    try {
      // The call that held the lease until now may have paused or deleted the session.
      if (!isNew) session.requireActive(caller.org);
      const known = { ...this.#services.state, response };
      const isCurrent = resent.recalled === undefined || session.transcripts.isCurrent(resent.recalled);
      const { request: resolved, ...transcript } = isCurrent ? resent : await this.#parse(requestText, sessionCall);
      const request = isNew ? resolved : await omitKnownItems(resolved, known);
      const isSideBranch = release === undefined;
      const placed = { ...transcript, request };
      const placement = continueSession(this.#services.state, placed, { response, isSideBranch });
      const running = newRunningCall({ isNew, providers, shield, isSideBranch, placement });
      return await this.#run(call, request, running, { answer, release });
    } catch (thrown) {
      release?.();
      throw thrown;
    }
  }

  /** The call's request with the defaults of the session and of the key, behind the shield. */
  async #readRequest(
    { surface: surfaceId, text, outside, isNew, caller, id }: SessionCall,
    headers: Headers,
  ): Promise<{ requestText: RequestText; shield: CallShield | undefined }> {
    const { session } = this.#services.state;
    const surface = SURFACES[surfaceId];
    const requestText = readMembers(await readRpcText(text), headers, surface);
    const withSessionDefaults = isNew ? requestText : withDefaults(requestText, session.row.defaults, surface);
    const whole = withKeyDefaults(withSessionDefaults, caller, outside);
    // The text of a background call has been screened before it was queued.
    const queued = this.#queuedShields.get(id);
    if (queued !== undefined) return { requestText: whole, shield: queued };
    const shield = await this.#services.models.shield(caller, whole.rhone.safety);
    return { requestText: screenText(whole, shield), shield };
  }

  #parse(requestText: RequestText, sessionCall: SessionCall): Promise<ResentRequest> {
    const { transcripts } = this.#services.state.session;
    const find = this.#itemsFor(sessionCall.caller, sessionCall.isNew);
    return parseSessionRequest(requestText, sessionCall, { transcripts, find });
  }

  /** Undefined: the call may run beside the one that has the lease, or the run that waits. Throws `session.busy`. */
  async #acquireLease({ rhone }: ParsedRequest): Promise<(() => void) | undefined> {
    const { state, models } = this.#services;
    const onBusy = rhone.on_busy ?? models.router().config.defaults.onBusy;
    return onBusy === "branch" ? state.lease.tryAcquire() : await state.lease.acquire(onBusy);
  }

  /** Runs a call that may start now, and keeps the object awake until all of its work is done. */
  async #run(
    call: Call,
    request: ParsedRequest,
    running: RunningCall,
    { answer, release }: { answer: AnswerCall; release?: (() => void) | undefined },
  ): Promise<Response> {
    const host = this.#host(call, request, running);
    if (call.response?.isWarmUp) running.shield?.requireAllowed();
    const answered = answer(call, request, host);
    const done = this.#untilDone(call.id, answered, running, release);
    this.#running.set(call.id, { ...running, done });
    this.#services.lifetime.waitUntil(done);
    return await answered;
  }

  /** The items that a request may reference. A client token may read its own session only. */
  #itemsFor(caller: Caller, isNew: boolean): FindItems {
    const { state, index } = this.#services;
    const own: FindItems = (ids) => findStoredItems(ids, state);
    const elsewhere: FindItems = (ids) => index.findItems(caller.org, ids);
    return findInOrder(...(isNew ? [] : [own]), ...(caller.session === undefined ? [elsewhere] : []));
  }

  /** Stores the response as queued, starts the call, and answers with the queued response or, streaming, with its events. */
  async #runInBackground(
    sessionCall: SessionCall,
    call: Call,
    { request, shield }: { request: ParsedRequest; shield: CallShield | undefined },
  ): Promise<Response> {
    const { state, lifetime } = this.#services;
    const { session, sql } = state;
    const store = { sql, ...lifetime };
    if (sessionCall.isNew) session.create(call.caller.org, call.sessionId);
    const response = await acceptInBackground(call, request, store);
    const startedOnce = Promise.withResolvers<void>();
    this.#background.set(call.id, startedOnce);
    if (shield !== undefined) this.#queuedShields.set(call.id, shield);
    const run = async (): Promise<void> => {
      const streamed = await this.answer({ ...sessionCall, text: withStreaming(request), isNew: false });
      await drain(streamed, call.id, store);
      startedOnce.resolve();
      this.#background.delete(call.id);
      this.#queuedShields.delete(call.id);
    };
    lifetime.waitUntil(run());
    return request.stream ? await this.#followFromStart(call) : response;
  }

  /** Cancels a call that runs, or whose run goes on after a restart. Resolves when it is recorded; at once if it does not. */
  async stop(call: string): Promise<void> {
    const running = this.#running.get(call);
    if (running === undefined) return await this.#services.runs.cancel(call);
    running.stop.abort(CANCELLED);
    await running.done;
  }

  /** Cancels all running calls. Resolves when they are recorded. */
  async stopAll(): Promise<void> {
    await Promise.all([...this.#running.keys()].map((call) => this.stop(call)));
  }

  /** Signals that a call's client has disconnected. The call's `on_disconnect` decides whether it continues. */
  onClientLeft(call: string): void {
    this.#running.get(call)?.clientLeft.abort();
  }

  /** Resolves when a background call has started, or has ended without starting. */
  async started(call: string): Promise<void> {
    await this.#background.get(call)?.promise;
  }

  /** The event stream of a background call from its first event. */
  async #followFromStart({ id }: Call): Promise<Response> {
    const { state, streams } = this.#services;
    await this.started(id);
    const started = findCallState(state.sql, id);
    if (started === undefined) throw toGatewayError(undefined);
    return streams.resume(started, 0);
  }

  #host(call: Call, request: ParsedRequest, running: RunningCall): SessionHost {
    const { models, lifetime } = this.#services;
    const { work, stop, clientLeft } = running;
    return {
      isNew: running.isNew,
      isSideBranch: running.isSideBranch,
      findParent: running.placement.findParent,
      providers: running.providers,
      router: models.router(),
      carried: models.carried(call.caller.org),
      shield: running.shield,
      budgets: models.budgets,
      lifetime: {
        now: lifetime.now,
        waitUntil: (more) => work.push(more),
        cancelled: stop.signal,
        clientLeft: clientLeft.signal,
      },
      store: createCallStore(
        { call, request, ...running, onDispatch: () => this.#background.get(call.id)?.resolve() },
        this.#services,
      ),
    };
  }

  /** Resolves, and releases the lease, when the response and all of the call's work have settled. */
  async #untilDone(
    call: string,
    answered: Promise<Response>,
    { work }: RunningCall,
    release: (() => void) | undefined,
  ): Promise<void> {
    const { streams } = this.#services;
    try {
      await Promise.allSettled([answered]);
      // Work may add more work while it runs.
      for (let done = 0; done < work.length; done++) await Promise.allSettled([work[done]]);
      streams.onWorkDone(call);
    } finally {
      this.#running.delete(call);
      release?.();
    }
  }
}

/** A call whose request has been read: with the providers of its organisation, and what the gateway executes for it. */
type ReadCall = Pick<CallHost, "providers" | "shield"> & {
  requestText: RequestText;
  resent: ResentRequest;
  found: FoundTools;
};

/**
 * One call while it runs. `isSideBranch`: it runs without the lease, beside another call (`on_busy: "branch"`). `stop`
 * cancels it; `clientLeft` signals that its client has disconnected.
 */
type RunningCall = {
  isNew: boolean;
  providers: CallHost["providers"];
  shield: CallShield | undefined;
  isSideBranch: boolean;
  work: Promise<unknown>[];
  stop: AbortController;
  clientLeft: AbortController;
  placement: Placement;
};

const newRunningCall = (
  facts: Pick<RunningCall, "isNew" | "providers" | "shield" | "isSideBranch" | "placement">,
): RunningCall => ({ ...facts, work: [], stop: new AbortController(), clientLeft: new AbortController() });
