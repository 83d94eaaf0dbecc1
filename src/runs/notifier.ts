import type { ObjectLifetime } from "../gateway/session/services.ts";
import type { OutboundNetwork } from "../outbound/bounded-fetch.ts";
import { deliver, type Receiver } from "../outbound/deliver.ts";
import type { Notification, NotificationType } from "./state/notification.ts";
import type { RunStore } from "./state/run-store.ts";

/** A webhook of an organisation, and what is sent to it while it is enabled. Without secrets it cannot be reached. */
export type Subscriber = Receiver & { id: string; events: readonly NotificationType[]; isEnabled: boolean };

/**
 * The webhooks of an organisation. `isFresh`: as they are now, and not as they were seconds ago. `disable`: one wants no more messages at
 * its URL. Both reject where that cannot be known or done.
 */
export type Subscribers = {
  list: (org: string, options?: { isFresh?: boolean }) => Promise<readonly Subscriber[]>;
  disable: (org: string, subscriber: Pick<Subscriber, "id" | "url">) => Promise<void>;
};

type NotifierServices = {
  store: RunStore;
  network: OutboundNetwork;
  lifetime: Pick<ObjectLifetime, "now" | "waitUntil">;
  subscribers: Subscribers;
  /** Whether the session is there: one that is deleted meanwhile has no rows, and must get none. */
  exists: () => boolean;
};

/** Time from each try to the next: ten tries within three days. Milliseconds. */
const RETRY_AFTER_MS = [5, 60, 300, 1_800, 7_200, 18_000, 36_000, 72_000, 122_400].map((seconds) => seconds * 1000);
/** Longer than a delivery may take: what a crash has left is looked at again then. Milliseconds. */
const GUARD_MS = 20_000;
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
  /** The messages that are on their way, by their ids. */
  readonly #sending = new Set<string>();

  /** `schedule`: has `send` called within so many milliseconds. */
  constructor(services: NotifierServices, schedule: (ms: number) => void) {
    this.#services = services;
    this.#schedule = schedule;
  }

  /** The webhooks to which this is sent. A message to them is about to be written. */
  subscribersOf(type: NotificationType): string[] {
    const ids = this.#known.flatMap(({ id, events, isEnabled }) => (isEnabled && events.includes(type) ? [id] : []));
    this.#isIdle &&= ids.length === 0;
    return ids;
  }

  /** Learns which webhooks there are. Never throws: those that were known stay. */
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

  /** Starts to deliver what is due, and schedules the next time. The platform holds requests until all rows are durable. */
  send(org: string): void {
    const { store, lifetime, exists } = this.#services;
    if (this.#isIdle || !exists()) return;
    const now = lifetime.now();
    const waiting = store.listByStatus("notification", "pending").filter(({ id }) => !this.#sending.has(id));
    const due = waiting.filter(({ dueAt }) => dueAt <= now).slice(0, MAX_PARALLEL - this.#sending.size);
    for (const one of due) this.#start(org, one);
    this.#isIdle = waiting.length === 0 && this.#sending.size === 0;
    const next = Math.min(...waiting.flatMap(({ dueAt }) => (dueAt > now ? [dueAt - now] : [])));
    // A crash must not leave undone what is on its way.
    const check = this.#sending.size > 0 ? Math.min(next, GUARD_MS) : next;
    if (check < Infinity) this.#schedule(check);
  }

  #start(org: string, notification: Notification): void {
    this.#sending.add(notification.id);
    const sending = this.#sendOne(org, notification).finally(() => {
      this.#sending.delete(notification.id);
      this.send(org);
    });
    this.#services.lifetime.waitUntil(sending);
  }

  /** Tries once; what goes wrong is a try that has failed. */
  async #sendOne(org: string, notification: Notification): Promise<void> {
    const { store, lifetime, exists } = this.#services;
    const { id, attempt } = notification;
    const isOver = await this.#isDeliveredTo(org, notification).catch((cause: unknown) => {
      console.error("a notification could not be sent", cause);
      return false;
    });
    if (!exists() || store.find("notification", id) === undefined) return;
    const after = RETRY_AFTER_MS[attempt];
    if (!isOver && after === undefined) console.error("a notification was given up", id);
    if (isOver || after === undefined) store.remove("notification", id);
    else store.put("notification", { ...notification, attempt: attempt + 1, dueAt: lifetime.now() + after });
  }

  /** Whether a message has arrived, or its webhook wants none. Rejects if that cannot be known. */
  async #isDeliveredTo(org: string, { webhook, message, payload }: Notification): Promise<boolean> {
    const { network, lifetime, subscribers } = this.#services;
    const receives = ({ id, isEnabled }: Subscriber): boolean => id === webhook && isEnabled;
    // A list of seconds ago may not have a webhook that is new; that one is gone must be certain.
    const subscriber =
      (await subscribers.list(org)).find(receives) ?? (await subscribers.list(org, { isFresh: true })).find(receives);
    if (subscriber === undefined) return true;
    if (subscriber.secrets.length === 0) throw new Error(`the secret of ${webhook} cannot be read`);
    const outcome = await deliver({ id: message, body: payload }, subscriber, { network, now: lifetime.now() });
    if (outcome === "gone") await subscribers.disable(org, subscriber);
    return outcome !== false;
  }
}
