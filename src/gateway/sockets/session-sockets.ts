import { GatewayError, invalid, toGatewayError } from "../../canonical/error.ts";
import type { Caller } from "../../keys/caller.ts";
import { requireScope, requireSurface } from "../../keys/permissions.ts";
import type { Scope } from "../../keys/scopes.ts";
import type { Session } from "../../session/session.ts";
import type { EventBuffer } from "../../session/stream/event-buffer.ts";
import type { Segment } from "../../session/stream/segments.ts";
import { SURFACES } from "../../surfaces/index.ts";
import { readMembers } from "../../surfaces/request.ts";
import { storesContent } from "../../surfaces/rhone.ts";
import { decodeUtf8 } from "../../wire/bytes.ts";
import { newId } from "../../wire/id.ts";
import { isObject, tryParseJson } from "../../wire/json.ts";
import { decodeSse } from "../../wire/sse.ts";
import type { SessionCall } from "../call/call.ts";
import { readFrame, readFrameId, type RequestFrame, type RunFrame, toErrorFrame, toHttpRequest } from "./frames.ts";

/** The WebSocket subprotocol that clients request (docs/websocket.md). */
export const PROTOCOL = "rhone.ws.v1";

/** Characters sent to a client since it last showed to be reading; a client with more is disconnected. */
const MAX_UNREAD = 4 * 1024 * 1024;
/** Unread characters after which a client gets a `ping`: its answer shows that it reads. */
const PING_UNREAD = 1024 * 1024;
/** Milliseconds between authentications of listening clients: a revoked key receives nothing after five seconds. */
const CHECK_INTERVAL = 2_000;

/** WebSocket close codes, in the range for applications (RFC 6455, 7.4.2). */
const CLOSE_CODES = { unauthorized: 4001, deleted: 4004, tooSlow: 4008 } as const;

/**
 * The identity behind a connection, stored with the socket so that it survives hibernation. It is small: what the key
 * allows is looked up again for each frame. Member names are stored names.
 */
export type SocketAttachment = {
  org: string;
  keyId: string;
  /** Scopes of a client token, which is valid for this session only. Absent: the connection was opened with a key. */
  scopes?: Scope[];
  /** Expiry of the token, in Unix milliseconds. */
  expiresAt?: number;
  address?: string;
  sessionId: string;
  /** The session is created by the first bind. */
  isNew: boolean;
  isBound: boolean;
};

type Listener = {
  socket: WebSocket;
  attachment: SocketAttachment;
  /** Settles when the client's last frame is handled: its frames are handled one after the other. */
  lastFrame: Promise<void>;
  /** Characters sent in all, and of those the ones that the client has shown to have read. */
  sent: number;
  read: number;
  /** `sent` at the time of an unanswered `ping`. */
  sentAtPing?: number;
};

/** A call that a connection created. `id`: the client's name for it; `onClose` aborts when the connection closes. */
type OwnCall = { listener: Listener; id: string; hasStarted: boolean; onClose: AbortController };

/** What connections use of the session's object. */
export type SocketServices = {
  objectId: string;
  session: Session;
  buffer: EventBuffer;
  now: () => number;
  /** Answers a call as over HTTP. */
  answer: (call: SessionCall) => Promise<Response>;
  /** Does what a frame asks for with a run. `id`: of the one that it creates. */
  run: (frame: RunFrame, from: { id: string; caller: Caller; address: string | undefined }) => Promise<void>;
  /** The caller with what its key and token allow now. Throws `auth.*`. */
  authenticate: (attachment: SocketAttachment) => Promise<Caller>;
  /** Creates the session. */
  create: (org: string, id: string) => void;
  waitUntil: (work: Promise<unknown>) => void;
};

/**
 * The WebSockets of `rhone.ws.v1` on one session. Each bound connection receives the events of all calls of the session,
 * whichever way they were made.
 */
export class SessionSockets {
  readonly #services: SocketServices;
  readonly #listeners = new Map<WebSocket, Listener>();
  readonly #ownCalls = new Map<string, OwnCall>();
  #checkedAt = 0;

  /** `accepted`: sockets that survived the object's hibernation. */
  constructor(services: SocketServices, accepted: readonly WebSocket[]) {
    this.#services = services;
    for (const socket of accepted) this.#addListener(socket, socket.deserializeAttachment() as SocketAttachment);
  }

  /** Adds a socket that the runtime has accepted. */
  accept(socket: WebSocket, attachment: SocketAttachment): void {
    socket.serializeAttachment(attachment);
    this.#addListener(socket, attachment);
  }

  /** Handles a client's frame. An invalid one is answered with an error, and the connection stays open. */
  async onMessage(socket: WebSocket, message: string | ArrayBuffer): Promise<void> {
    const listener = this.#listeners.get(socket);
    if (listener === undefined) return;
    listener.lastFrame = this.#handleMessage(listener, message);
    await listener.lastFrame;
  }

  /** Removes a socket, and signals its calls that their client has left. */
  onClose(socket: WebSocket): void {
    const listener = this.#listeners.get(socket);
    this.#listeners.delete(socket);
    for (const { listener: caller, onClose: left } of this.#ownCalls.values()) if (caller === listener) left.abort();
  }

  /** Closes every connection, after the session was deleted. */
  closeAll(): void {
    for (const listener of this.#listeners.values())
      this.#close(listener, CLOSE_CODES.deleted, "the session was deleted");
  }

  get hasListeners(): boolean {
    return this.#listeners.size > 0;
  }

  /** Sends a segment of the session's event log to every bound connection. */
  broadcast(segment: Segment): void {
    if (this.#listeners.size === 0) return;
    const bound = [...this.#listeners.values()].filter(({ attachment }) => attachment.isBound);
    if (bound.length === 0) return;
    const ownCall = this.#ownCalls.get(segment.call);
    for (const event of toEventFrames(segment)) {
      const others = `{"type":"session.event","event_id":${event.id},"event":${event.json}}`;
      for (const listener of bound) {
        const isCaller = ownCall?.listener === listener;
        this.#push(listener, isCaller ? withClientId(event, ownCall.id) : others);
      }
      if (RUN_ENDED.test(event.json)) this.#ownCalls.delete(segment.call);
    }
    if (ownCall !== undefined && segment.ordinal === undefined) this.#onNotice(segment.call, ownCall, segment.bytes);
    this.#recheckAll(bound);
  }

  /** A notice reports that a call has started or ended; after its end the connection no longer owns it. */
  #onNotice(call: string, ownCall: OwnCall, notice: Uint8Array): void {
    ownCall.hasStarted = true;
    if (/^\{"type":"call\.(completed|failed)"/.test(decodeUtf8(notice))) this.#ownCalls.delete(call);
  }

  #addListener(socket: WebSocket, attachment: SocketAttachment): void {
    this.#listeners.set(socket, { socket, attachment, lastFrame: Promise.resolve(), sent: 0, read: 0 });
  }

  /** Handles a frame after the client's earlier ones. Never throws. */
  async #handleMessage(listener: Listener, message: string | ArrayBuffer): Promise<void> {
    await listener.lastFrame;
    try {
      await this.#handleFrame(listener, readFrame(message));
    } catch (thrown) {
      const error = toGatewayError(thrown);
      this.#send(listener, toErrorFrame(error, readFrameId(message), this.#services.now()));
      if (error.status === 401) this.#close(listener, CLOSE_CODES.unauthorized, error.message);
    }
  }

  async #handleFrame(listener: Listener, frame: RequestFrame): Promise<void> {
    // A `ping` proves nothing: clients send it by a timer, whether they read or not.
    if (frame.type !== "ping" && listener.sentAtPing !== undefined) {
      listener.read = listener.sentAtPing;
      delete listener.sentAtPing;
    }
    switch (frame.type) {
      case "ping":
        return this.#send(listener, { type: "pong", id: frame.id });
      case "pong":
        return;
      case "session.bind":
        return await this.#bind(listener, frame);
      case "call.create":
        return await this.#createCall(listener, frame);
      default:
        return await this.#onRunFrame(listener, frame);
    }
  }

  /** What becomes of a run, its client reads in the run's events. */
  async #onRunFrame(listener: Listener, frame: RunFrame): Promise<void> {
    if (!listener.attachment.isBound) throw invalid("type", "expected session.bind first");
    const caller = await this.#authenticate(listener);
    requireScope(caller, frame.type === "checkpoint.resolve" ? "runs:approve" : "runs:write");
    const { objectId, now, run } = this.#services;
    const id = newId("run", now(), objectId);
    if (frame.type === "run.create")
      this.#ownCalls.set(id, { listener, id: frame.id ?? id, hasStarted: true, onClose: new AbortController() });
    try {
      await run(frame, { id, caller, address: listener.attachment.address });
    } catch (thrown) {
      this.#ownCalls.delete(id);
      throw thrown;
    }
  }

  async #bind(listener: Listener, frame: Extract<RequestFrame, { type: "session.bind" }>): Promise<void> {
    const { session, buffer, create } = this.#services;
    const { attachment, socket } = listener;
    const caller = await this.#authenticate(listener);
    requireScope(caller, "sessions:read");
    if (frame.session_id !== undefined && frame.session_id !== attachment.sessionId)
      throw invalid("session_id", `expected ${attachment.sessionId}, for which the connection was opened`);
    if (attachment.isNew && !session.exists) create(attachment.org, attachment.sessionId);
    session.requireOrganization(attachment.org);
    const after = frame.after_event_id;
    const { lastId: last } = buffer;
    const missed = after === undefined ? [] : [...buffer.segmentsSince(after)];
    const replay =
      after === undefined ? "none" : buffer.hasAllSince(after) ? "full" : missed.length > 0 ? "partial" : "none";
    listener.attachment = { ...attachment, isNew: false, isBound: true };
    socket.serializeAttachment(listener.attachment);
    this.#send(listener, {
      type: "session.bound",
      id: frame.id,
      session_id: attachment.sessionId,
      event_id: last,
      replay,
    });
    for (const event of missed.flatMap(toEventFrames))
      this.#push(listener, `{"type":"session.event","event_id":${event.id},"event":${event.json}}`);
  }

  /** Starts a call and resolves at once; the client follows it by its events. */
  async #createCall(
    listener: Listener,
    { id: clientId, surface, request }: Extract<RequestFrame, { type: "call.create" }>,
  ): Promise<void> {
    const { objectId: place, now, waitUntil } = this.#services;
    const { attachment } = listener;
    if (!attachment.isBound) throw invalid("type", "expected session.bind first");
    const caller = await this.#authenticate(listener);
    requireScope(caller, "inference");
    requireSurface(caller, surface);
    const { text, outside } = toHttpRequest(surface, request);
    const { rhone } = readMembers(text, new Headers(), SURFACES[surface]);
    if (rhone.session_id !== undefined && rhone.session_id !== attachment.sessionId)
      throw invalid(
        "request.rhone.session_id",
        `must be absent, or ${attachment.sessionId}, to which the connection is bound`,
      );
    if (!storesContent(rhone))
      throw invalid("request.rhone.store", "expected full: a connection receives the events that its session stores");
    if (rhone.context_mode === "stateless")
      throw invalid("request.rhone.context_mode", "expected stateful: a stateless call is made over HTTP");
    const createdAt = now();
    const id = newId("call", createdAt, place);
    const call = { id, sessionId: attachment.sessionId, caller, annotate: true, createdAt, headers: [] };
    const ownCall: OwnCall = { listener, id: clientId ?? id, hasStarted: false, onClose: new AbortController() };
    this.#ownCalls.set(id, ownCall);
    waitUntil(this.#run({ ...call, surface, outside, text, isNew: false }, ownCall));
  }

  async #run(call: SessionCall, ownCall: OwnCall): Promise<void> {
    const { id } = call;
    const response = await this.#services.answer(call);
    // The client receives the answer as events of the session, so the body is only read to its end.
    const discard = new WritableStream();
    if (response.ok) return await response.body?.pipeTo(discard, { signal: ownCall.onClose.signal }).catch(() => {});
    if (ownCall.hasStarted) return;
    this.#ownCalls.delete(id);
    const body = tryParseJson(await response.text());
    const error = isObject(body) ? body.error : null;
    const seconds = response.headers.get("retry-after");
    const status = { http_status: response.status, retry_after_s: seconds === null ? undefined : Number(seconds) };
    this.#send(ownCall.listener, { type: "call.failed", id: ownCall.id, call_id: id, ...status, error });
  }

  /** Throws `auth.*` for an expired token, and for a key that is revoked or expired. */
  async #authenticate({ attachment }: Listener): Promise<Caller> {
    if ((attachment.expiresAt ?? Infinity) <= this.#services.now())
      throw new GatewayError("auth.expired", "the client token has expired: connect with a new one");
    return await this.#services.authenticate(attachment);
  }

  /** Authenticates clients again that only listen: their keys may have been revoked since the last frame. */
  #recheckAll(bound: readonly Listener[]): void {
    const now = this.#services.now();
    if (now - this.#checkedAt < CHECK_INTERVAL) return;
    this.#checkedAt = now;
    for (const listener of bound) this.#services.waitUntil(this.#recheck(listener));
  }

  async #recheck(listener: Listener): Promise<void> {
    try {
      await this.#authenticate(listener);
    } catch (thrown) {
      this.#close(listener, CLOSE_CODES.unauthorized, toGatewayError(thrown).message);
    }
  }

  #send(listener: Listener, frame: object): void {
    this.#push(listener, JSON.stringify(frame));
  }

  /**
   * Sends a frame. The runtime does not report how much of what was sent has left, so a client with much unread gets a
   * `ping`, and is disconnected if it does not answer before the limit.
   */
  #push(listener: Listener, text: string): void {
    if (!this.#listeners.has(listener.socket)) return;
    try {
      listener.socket.send(text);
    } catch {
      return this.onClose(listener.socket);
    }
    listener.sent += text.length;
    const unread = listener.sent - listener.read;
    if (unread > MAX_UNREAD)
      return this.#close(listener, CLOSE_CODES.tooSlow, "too slow: bind again with after_event_id");
    if (unread <= PING_UNREAD || listener.sentAtPing !== undefined) return;
    listener.sentAtPing = listener.sent;
    listener.socket.send('{"type":"ping"}');
  }

  #close(listener: Listener, code: number, reason: string): void {
    this.onClose(listener.socket);
    // A close reason has at most 123 bytes (RFC 6455, 5.5); 60 characters fit even at two bytes each.
    listener.socket.close(code, reason.slice(0, 60));
  }
}

/** An event of a session: its number and its JSON text, which starts with the `type` member. */
type EventFrame = { id: number; json: string };

/** The events of a segment. Data that is no JSON object (Chat's `[DONE]`) and keep-alive comments are left out. */
function toEventFrames({ id, call, ordinal, bytes }: Segment): EventFrame[] {
  if (ordinal === undefined) return [{ id, json: decodeUtf8(bytes) }];
  if (call.startsWith("run_"))
    return decodeSse(bytes).map(({ data = "" }, i) => ({ id: id + i, json: toRunFrame(data) }));
  return decodeSse(bytes).flatMap(({ data }, i) => {
    const isEvent = data !== undefined && data.startsWith("{") && !data.includes("\n");
    return isEvent ? [{ id: id + i, json: `{"type":"call.event","call_id":"${call}","event":${data}}` }] : [];
  });
}

/** An event of a run has a number in the run's own stream as well. */
const toRunFrame = (data: string): string => data.replace(/"event_id":(\d+)/, '"run_event_id":$1');

const RUN_ENDED = /^\{"type":"run\.(?:completed|failed|cancelled)"/;

/** The event for the connection that created the call: with the id that the client gave the call. */
const withClientId = ({ id, json }: EventFrame, name: string): string =>
  `${json.slice(0, -1)},"event_id":${id},"id":${JSON.stringify(name)}}`;
