import type { ObjectLifetime } from "../gateway/session/services.ts";
import type { OutboundNetwork } from "../outbound/bounded-fetch.ts";
import { deliver, type Receiver } from "../outbound/deliver.ts";
import type { Notification, NotificationType } from "./state/notification.ts";
import type { RunStore } from "./state/run-store.ts";

/** A webhook of an organisation, and what is sent to it. */
export type Subscriber = Receiver & { id: string; events: readonly NotificationType[] };

/** The webhooks of an organisation. `disable`: one wants no more messages. */
export type Subscribers = {
  list: (org: string) => Promise<readonly Subscriber[]>;
  disable: (org: string, id: string) => Promise<void>;
};

type NotifierServices = {
  store: RunStore;
  network: OutboundNetwork;
  lifetime: Pick<ObjectLifetime, "now" | "waitUntil">;
  subscribers: Subscribers;
};

/** Time from each try to the next: ten tries within three days. Milliseconds. */
const RETRY_AFTER_MS = [5, 60, 300, 1_800, 7_200, 18_000, 36_000, 72_000, 122_400].map((seconds) => seconds * 1000);
/** Messages that are delivered at the same time. */
const MAX_PARALLEL = 6;

/**
 * Sends to the webhooks of an organisation what happens in the runs of one session. Messages are rows, written in the transaction of what
 * they are about: each is delivered at least once, or tried ten times.
 */
export class Notifier {
  readonly #services: NotifierServices;
  readonly #schedule: (ms: number) => void;
  #known: readonly Subscriber[] = [];
  /** Nothing is to be delivered, as far as this instance has seen. */
  #isIdle = true;
  #isSending = false;

  /** `schedule`: has `send` called within so many milliseconds. */
  constructor(services: NotifierServices, schedule: (ms: number) => void) {
    this.#services = services;
    this.#schedule = schedule;
  }

  /** The webhooks to which this is sent. A message to them is about to be written. */
  subscribersOf(type: NotificationType): string[] {
    const ids = this.#known.flatMap(({ id, events }) => (events.includes(type) ? [id] : []));
    this.#isIdle &&= ids.length === 0;
    return ids;
  }

  /** Learns which webhooks there are now. Never throws: those that were known stay. */
  async refresh(org: string): Promise<void> {
    try {
      this.#known = await this.#services.subscribers.list(org);
    } catch (cause) {
      console.error("the webhooks of an organisation are not known", cause);
    }
  }

  /** After a restart: goes on with the messages that are there. */
  recover(): void {
    this.#isIdle = this.#services.store.listByStatus("notification", "pending").length === 0;
    if (!this.#isIdle) this.#schedule(0);
  }

  /** Delivers what is due, without waiting for it, and schedules the next time. To be called when all rows are durable. */
  send(org: string): void {
    if (this.#isIdle || this.#isSending) return;
    this.#isSending = true;
    const sending = this.#sendDue(org).catch((cause: unknown) => console.error("notifications not sent", cause));
    this.#services.lifetime.waitUntil(sending.finally(() => (this.#isSending = false)));
  }

  async #sendDue(org: string): Promise<void> {
    const { store, lifetime } = this.#services;
    await this.refresh(org);
    for (;;) {
      const pending = store.listByStatus("notification", "pending");
      const due = pending.filter(({ dueAt }) => dueAt <= lifetime.now()).slice(0, MAX_PARALLEL);
      if (due.length === 0) return this.#rest(pending);
      // Before any work: a crash must not leave it undone.
      this.#schedule(RETRY_AFTER_MS[0]!);
      await Promise.all(due.map((one) => this.#sendOne(org, one)));
    }
  }

  #rest(pending: readonly Notification[]): void {
    this.#isIdle = pending.length === 0;
    if (!this.#isIdle) this.#schedule(Math.min(...pending.map(({ dueAt }) => dueAt)) - this.#services.lifetime.now());
  }

  async #sendOne(org: string, notification: Notification): Promise<void> {
    const { store, network, lifetime, subscribers } = this.#services;
    const { id, message, payload, attempt } = notification;
    const subscriber = this.#known.find((one) => one.id === notification.webhook);
    if (subscriber === undefined) return store.remove("notification", id);
    const outcome = await deliver({ id: message, body: payload }, subscriber, { network, now: lifetime.now() });
    if (outcome === "gone") await subscribers.disable(org, subscriber.id);
    // Its session may have been deleted meanwhile.
    if (store.find("notification", id) === undefined) return;
    const after = RETRY_AFTER_MS[attempt];
    if (outcome !== false || after === undefined) {
      if (outcome === false) console.error("a notification was given up", message, subscriber.id);
      return store.remove("notification", id);
    }
    store.put("notification", { ...notification, attempt: attempt + 1, dueAt: lifetime.now() + after });
  }
}
