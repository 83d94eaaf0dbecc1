import { GatewayError, invalid, toGatewayError } from "../../canonical/error.ts";
import { errorMembers } from "../../dialects/native/errors.ts";
import type { Scope } from "../../keys/scopes.ts";
import type { EventBuffer } from "../../session/stream/event-buffer.ts";
import type { Segment } from "../../session/stream/segments.ts";
import type { Session } from "../../session/session.ts";
import { decodeUtf8 } from "../../wire/bytes.ts";
import { newId } from "../../wire/id.ts";
import { isObject, tryParseJson } from "../../wire/json.ts";
import { decodeSse } from "../../wire/sse.ts";
import { readMembers } from "../../surfaces/request.ts";
import type { SessionCall } from "../call/call.ts";
import { toHttpRequest, type RequestFrame, idOf, readFrame } from "./frames.ts";
import { SURFACES } from "../../surfaces/index.ts";
import type { Caller } from "../../keys/caller.ts";
import { requireScope, requireSurface } from "../../keys/permissions.ts";

export const PROTOCOL = "rhone.ws.v1";

/** What a client may have been sent that it has not shown to have read; beyond it, it is cut. Bytes, roughly. */
const MAX_UNREAD = 4 * 1024 * 1024;
/** From here on it is asked, with a `ping`. */
const ASK_UNREAD = 1024 * 1024;
/** How often those who only listen are looked at: a revoked key hears nothing five seconds later. Milliseconds. */
const CHECK_EVERY = 2_000;

const CLOSE = { isRefused: 4001, isDeleted: 4004, isSlow: 4008 } as const;

/** Who holds a connection. It outlives the object's memory with it, so it is small: what the key may do is asked anew. */
export type SocketAttachment = {
  org: string;
  keyId: string;
  /** Of a client token, which speaks for this session alone. */
  scopes?: Scope[];
  /** When the token expires, in Unix milliseconds. */
  expiresAt?: number;
  address?: string;
  sessionId: string;
  /** The session begins with the first bind. */
  isNew: boolean;
  isBound: boolean;
};

type Listener = {
  socket: WebSocket;
  bond: SocketAttachment;
  /** Frames of one client are taken one after the other. */
  turn: Promise<void>;
  sent: number;
  read: number;
  /** How much had been sent when the client was asked whether it reads. */
  asked?: number;
};

/** A call that a connection has made: under what id its client knows it, and how to tell it that nobody listens. */
type OwnCall = { listener: Listener; id: string; hasBegun: boolean; onClose: AbortController };

export type SocketServices = {
  place: string;
  session: Session;
  buffer: EventBuffer;
  now: () => number;
  /** Answers a call, as HTTP has it answered. */
  answer: (envelope: SessionCall) => Promise<Response>;
  /** What its key and token may do now. Throws `auth.*`. */
  authenticate: (attachment: SocketAttachment) => Promise<Caller>;
  /** Has the session begin. */
  create: (org: string, id: string) => void;
  waitUntil: (work: Promise<unknown>) => void;
};

/** The connections of `rhone.ws.v1` on one session: all of them hear what any call of it says, however it was made. */
export class SessionSockets {
  readonly #services: SocketServices;
  readonly #listeners = new Map<WebSocket, Listener>();
  readonly #made = new Map<string, OwnCall>();
  #checkedAt = 0;

  /** `held`: connections that have outlived the object's memory. */
  constructor(home: SocketServices, held: readonly WebSocket[]) {
    this.#services = home;
    for (const socket of held) this.#listen(socket, socket.deserializeAttachment() as SocketAttachment);
  }

  accept(socket: WebSocket, attachment: SocketAttachment): void {
    socket.serializeAttachment(attachment);
    this.#listen(socket, attachment);
  }

  /** A client's frame. What is wrong with it is told, and the connection stays. */
  async onMessage(socket: WebSocket, message: string | ArrayBuffer): Promise<void> {
    const listener = this.#listeners.get(socket);
    if (listener === undefined) return;
    listener.turn = this.#answer(listener, message);
    await listener.turn;
  }

  onClose(socket: WebSocket): void {
    const listener = this.#listeners.get(socket);
    this.#listeners.delete(socket);
    for (const { listener: maker, onClose: left } of this.#made.values()) if (maker === listener) left.abort();
  }

  /** The session is gone, and its listeners with it. */
  closeAll(): void {
    for (const listener of this.#listeners.values()) this.#cut(listener, CLOSE.isDeleted, "the session was deleted");
  }

  /** Something was told about or by a call of the session. */
  broadcast(piece: Segment): void {
    if (this.#listeners.size === 0) return;
    const bound = [...this.#listeners.values()].filter(({ bond: attachment }) => attachment.isBound);
    if (bound.length === 0) return;
    const made = this.#made.get(piece.call);
    for (const event of eventsOf(piece)) {
      const others = `{"type":"session.event","event_id":${event.id},"event":${event.json}}`;
      for (const listener of bound) {
        const isMaker = made?.listener === listener;
        this.#push(listener, isMaker ? named(event, made.id) : others);
      }
    }
    if (made !== undefined && piece.ordinal === undefined) this.#noticed(piece.call, made, piece.bytes);
    this.#check(bound);
  }

  /** A notice says that a call begins, or that it is over. */
  #noticed(call: string, made: OwnCall, notice: Uint8Array): void {
    made.hasBegun = true;
    if (/^\{"type":"call\.(completed|failed)"/.test(decodeUtf8(notice))) this.#made.delete(call);
  }

  #listen(socket: WebSocket, attachment: SocketAttachment): void {
    this.#listeners.set(socket, { socket, bond: attachment, turn: Promise.resolve(), sent: 0, read: 0 });
  }

  async #answer(listener: Listener, message: string | ArrayBuffer): Promise<void> {
    await listener.turn;
    try {
      await this.#take(listener, readFrame(message));
    } catch (thrown) {
      const error = toGatewayError(thrown);
      const members = errorMembers(error, newId("req", this.#services.now()));
      this.#send(listener, { type: "error", id: idOf(message), error: members });
      if (error.status === 401) this.#cut(listener, CLOSE.isRefused, error.message);
    }
  }

  async #take(listener: Listener, frame: RequestFrame): Promise<void> {
    // A client that pings by the clock may read nothing all the same.
    if (frame.type !== "ping" && listener.asked !== undefined) {
      listener.read = listener.asked;
      delete listener.asked;
    }
    switch (frame.type) {
      case "ping":
        return this.#send(listener, { type: "pong", id: frame.id });
      case "pong":
        return;
      case "session.bind":
        return await this.#bind(listener, frame);
      case "call.create":
        return await this.#create(listener, frame);
    }
  }

  async #bind(listener: Listener, frame: Extract<RequestFrame, { type: "session.bind" }>): Promise<void> {
    const { session, buffer, create } = this.#services;
    const { bond: attachment, socket } = listener;
    const caller = await this.#admit(listener);
    requireScope(caller, "sessions:read");
    if (frame.session_id !== undefined && frame.session_id !== attachment.sessionId)
      throw invalid("session_id", `expected ${attachment.sessionId}, for which the connection was opened`);
    if (attachment.isNew && !session.exists) create(attachment.org, attachment.sessionId);
    session.requireOrganization(attachment.org);
    const after = frame.after_event_id;
    const { last } = buffer;
    const missed = after === undefined ? [] : [...buffer.since(after)];
    const replay =
      after === undefined ? "none" : buffer.hasAllSince(after) ? "full" : missed.length > 0 ? "partial" : "none";
    listener.bond = { ...attachment, isNew: false, isBound: true };
    socket.serializeAttachment(listener.bond);
    this.#send(listener, {
      type: "session.bound",
      id: frame.id,
      session_id: attachment.sessionId,
      event_id: last,
      replay,
    });
    for (const event of missed.flatMap(eventsOf))
      this.#push(listener, `{"type":"session.event","event_id":${event.id},"event":${event.json}}`);
  }

  /** Resolves when the call is on its way; its events tell how it goes. */
  async #create(
    listener: Listener,
    { id: given, surface, request }: Extract<RequestFrame, { type: "call.create" }>,
  ): Promise<void> {
    const { place, now, waitUntil } = this.#services;
    const { bond: attachment } = listener;
    if (!attachment.isBound) throw invalid("type", "expected session.bind first");
    const caller = await this.#admit(listener);
    requireScope(caller, "inference");
    requireSurface(caller, surface);
    const { text, outside } = toHttpRequest(surface, request);
    const { rhone } = readMembers(text, new Headers(), SURFACES[surface]);
    if (rhone.session_id !== undefined && rhone.session_id !== attachment.sessionId)
      throw invalid(
        "request.rhone.session_id",
        `expected none, or ${attachment.sessionId}, to which the connection is bound`,
      );
    if (rhone.context_mode === "stateless")
      throw invalid("request.rhone.context_mode", "expected stateful: a stateless call is made over HTTP");
    const createdAt = now();
    const id = newId("call", createdAt, place);
    const call = { id, sessionId: attachment.sessionId, caller, annotate: true, createdAt, headers: [] };
    const made: OwnCall = { listener, id: given ?? id, hasBegun: false, onClose: new AbortController() };
    this.#made.set(id, made);
    waitUntil(this.#run({ ...call, surface, outside, text, isNew: false }, made));
  }

  async #run(envelope: SessionCall, made: OwnCall): Promise<void> {
    const { id } = envelope;
    const response = await this.#services.answer(envelope);
    // What it says comes by another way: as the session's events.
    const heard = new WritableStream();
    if (response.ok) return await response.body?.pipeTo(heard, { signal: made.onClose.signal }).catch(() => {});
    if (made.hasBegun) return;
    this.#made.delete(id);
    const told = tryParseJson(await response.text());
    const error = isObject(told) ? told.error : null;
    this.#send(made.listener, { type: "call.failed", id: made.id, call_id: id, error });
  }

  /** Throws `auth.*`: of a key that is dead, or a token that has expired. */
  async #admit({ bond: attachment }: Listener): Promise<Caller> {
    if ((attachment.expiresAt ?? Infinity) <= this.#services.now())
      throw new GatewayError("auth.expired", "the client token has expired: connect with a new one");
    return await this.#services.authenticate(attachment);
  }

  /** Those who only listen must not hear on when they no longer may. */
  #check(bound: readonly Listener[]): void {
    const now = this.#services.now();
    if (now - this.#checkedAt < CHECK_EVERY) return;
    this.#checkedAt = now;
    for (const listener of bound) this.#services.waitUntil(this.#recheck(listener));
  }

  async #recheck(listener: Listener): Promise<void> {
    try {
      await this.#admit(listener);
    } catch (thrown) {
      this.#cut(listener, CLOSE.isRefused, toGatewayError(thrown).message);
    }
  }

  #send(listener: Listener, frame: object): void {
    this.#push(listener, JSON.stringify(frame));
  }

  /** The runtime does not tell how much of what was sent has left: a client that is asked must show that it reads. */
  #push(listener: Listener, text: string): void {
    if (!this.#listeners.has(listener.socket)) return;
    try {
      listener.socket.send(text);
    } catch {
      return this.onClose(listener.socket);
    }
    listener.sent += text.length;
    const unread = listener.sent - listener.read;
    if (unread > MAX_UNREAD) return this.#cut(listener, CLOSE.isSlow, "too slow: bind again with after_event_id");
    if (unread <= ASK_UNREAD || listener.asked !== undefined) return;
    listener.asked = listener.sent;
    listener.socket.send('{"type":"ping"}');
  }

  #cut(listener: Listener, code: number, reason: string): void {
    this.onClose(listener.socket);
    // A reason has at most 123 bytes.
    listener.socket.close(code, reason.slice(0, 60));
  }
}

/** An event of a session as listeners are told it: JSON text with its type first. */
type Event = { id: number; json: string };

/** A piece's events. What is no JSON object (Chat's `[DONE]`) and what only keeps a stream alive is none. */
function eventsOf({ id, call, ordinal, bytes }: Segment): Event[] {
  if (ordinal === undefined) return [{ id, json: decodeUtf8(bytes) }];
  return decodeSse(bytes).flatMap(({ data }, i) => {
    const isEvent = data !== undefined && data.startsWith("{") && !data.includes("\n");
    return isEvent ? [{ id: id + i, json: `{"type":"call.event","call_id":"${call}","event":${data}}` }] : [];
  });
}

/** The event for the one who has made the call: under the id that it gave the call itself. */
const named = ({ id, json }: Event, name: string): string =>
  `${json.slice(0, -1)},"event_id":${id},"id":${JSON.stringify(name)}}`;
