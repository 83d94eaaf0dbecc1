import { expect, it, vi } from "vitest";
import type { OutboundNetwork } from "../../src/outbound/bounded-fetch.ts";
import { Notifier, type Subscriber, type Subscribers } from "../../src/runs/notifier.ts";
import { RunStore } from "../../src/runs/state/run-store.ts";
import type { Run } from "../../src/runs/state/run.ts";
import { migrateSession, withLazyTables } from "../../src/session/schema.ts";
import { openSql, toStorage } from "../support/sqlite.ts";

const WEBHOOK: Subscriber = {
  isEnabled: true,
  id: "whk_1",
  url: "https://hooks.example.com/x",
  events: ["run.completed"],
  secrets: ["whsec_c2VjcmV0"],
};
const HOUR = 3_600_000;

/** The runs of a session, with a clock that is moved by hand and a receiver that answers with this status. */
function open({ status, webhooks = [WEBHOOK] }: { status: number; webhooks?: Subscriber[] }) {
  const list = vi.fn<Subscribers["list"]>(async () => webhooks);
  const disable = vi.fn<Subscribers["disable"]>(async () => {});
  const storage = toStorage(withLazyTables(openSql()));
  migrateSession(storage);
  const receiver = { status, tries: [] as { at: number; id: string }[] };
  const clock = { now: 1_700_000_000_000, alarm: Infinity };
  const exists = { now: true };
  const works: Promise<unknown>[] = [];
  const fetching = (async (_: unknown, init: RequestInit) => {
    receiver.tries.push({ at: clock.now, id: new Headers(init.headers).get("webhook-id")! });
    if (receiver.status === 0) throw new TypeError("connection refused");
    return new Response(null, { status: receiver.status });
  }) as typeof fetch;
  const network: OutboundNetwork = {
    reach: { own: new Set(), registered: new Set() },
    fetchPublic: fetching,
    fetchRegistered: fetching,
  };
  const lifetime = { now: () => clock.now, waitUntil: (work: Promise<unknown>) => void works.push(work) };
  const settle = async (): Promise<void> => {
    while (works.length > 0) await Promise.all(works.splice(0));
  };
  const start = (): { store: RunStore; notifier: Notifier } => {
    const store: RunStore = new RunStore(storage, {
      owner: () => ({ org: "org", sessionId: "sess" }),
      subscribersOf: (type) => notifier.subscribersOf(type),
      now: () => clock.now,
    });
    const notifier = new Notifier(
      { store, network, lifetime, subscribers: { list, disable }, exists: () => exists.now },
      (ms) => (clock.alarm = Math.min(clock.alarm, clock.now + ms)),
    );
    return { store, notifier };
  };
  return { clock, receiver, list, disable, exists, start, settle };
}

const runOf = (id: string): Run =>
  ({ id, run: id, revision: 0, status: "running", org: "org", sessionId: "sess", usage: {} }) as Run;

/** Has a run end, in an instance that knows the webhooks: there is a message for each of them. */
async function complete(
  { start }: Pick<ReturnType<typeof open>, "start">,
  id = "run_1",
): Promise<{ store: RunStore; notifier: Notifier }> {
  const { store, notifier } = start();
  await notifier.refresh("org");
  completeIn(store, id);
  return { store, notifier };
}

function completeIn(store: RunStore, id: string): void {
  const run = runOf(id);
  store.put("run", run);
  store.put("run", Object.assign(run, { status: "completed" }));
}

/** Has the next look-up of the webhooks wait until the result is resolved. */
function delayNextList({ list }: Pick<ReturnType<typeof open>, "list">): PromiseWithResolvers<void> {
  const answer = Promise.withResolvers<void>();
  const lookUp = list.getMockImplementation()!;
  list.mockImplementationOnce(async (...at) => {
    await answer.promise;
    return await lookUp(...at);
  });
  return answer;
}

/** Ends a run, and lets the alarm go off as often as it is set, or for so many days. */
async function end(setting: ReturnType<typeof open>, { days = 5 } = {}): Promise<RunStore> {
  const { clock, settle } = setting;
  const { store, notifier } = await complete(setting);
  notifier.send("org");
  await settle();
  const last = clock.now + days * 24 * HOUR;
  while (clock.alarm <= last) {
    clock.now = Math.max(clock.now, clock.alarm);
    clock.alarm = Infinity;
    notifier.send("org");
    await settle();
  }
  return store;
}

it.each([0, 500, 429, 302, 404])(
  "a message that is not taken is tried ten times within three days: %i",
  async (status) => {
    const silenced = vi.spyOn(console, "error").mockImplementation(() => {});
    const setting = open({ status });
    const began = setting.clock.now;
    const store = await end(setting);
    const { tries } = setting.receiver;
    expect(tries).toHaveLength(10);
    expect(new Set(tries.map(({ id }) => id)).size).toBe(1);
    expect(tries[0]!.at).toBe(began);
    const hours = (tries.at(-1)!.at - began) / HOUR;
    expect(hours).toBeGreaterThan(60);
    expect(hours).toBeLessThanOrEqual(72);
    expect(store.listByStatus("notification", "pending")).toEqual([]);
    expect(silenced).toHaveBeenCalledWith("a notification was given up", `${tries[0]!.id}/whk_1`);
    silenced.mockRestore();
  },
);

it.each([200, 204, 410])("a message that is taken or refused for good leaves nothing behind: %i", async (status) => {
  const setting = open({ status });
  const store = await end(setting);
  expect(setting.receiver.tries).toHaveLength(1);
  expect(store.listByStatus("notification", "pending")).toEqual([]);
  const disabled = setting.disable.mock.calls.map(([org, { id, url }]) => [org, id, url]);
  expect(disabled).toEqual(status === 410 ? [["org", "whk_1", WEBHOOK.url]] : []);
});

it.each(["list", "disable"] as const)("what cannot be known or done is tried again: %s", async (what) => {
  const silenced = vi.spyOn(console, "error").mockImplementation(() => {});
  const setting = open({ status: what === "list" ? 200 : 410 });
  const { store, notifier } = await complete(setting);
  setting[what].mockRejectedValueOnce(new Error("the organisation cannot be reached"));
  notifier.send("org");
  await setting.settle();
  expect(store.listByStatus("notification", "pending")).toMatchObject([
    { attempt: 1, dueAt: setting.clock.now + 5_000 },
  ]);
  setting.clock.now += 5_000;
  notifier.send("org");
  await setting.settle();
  expect(store.listByStatus("notification", "pending")).toEqual([]);
  expect(setting.receiver.tries).toHaveLength(what === "list" ? 1 : 2);
  silenced.mockRestore();
});

it("a webhook that cannot be reached does not keep another from its messages", async () => {
  const silenced = vi.spyOn(console, "error").mockImplementation(() => {});
  const unreadable = { ...WEBHOOK, id: "whk_0", secrets: [] };
  const setting = open({ status: 200, webhooks: [unreadable, WEBHOOK] });
  const { store, notifier } = await complete(setting);
  notifier.send("org");
  await setting.settle();
  expect(setting.receiver.tries).toHaveLength(1);
  expect(store.listByStatus("notification", "pending")).toMatchObject([{ webhook: "whk_0", attempt: 1 }]);
  silenced.mockRestore();
});

it("while a receiver takes its time, the alarm is set again, so that a crash leaves nothing undone", async () => {
  const setting = open({ status: 200 });
  const { notifier } = await complete(setting);
  const answer = delayNextList(setting);
  notifier.send("org");
  for (let i = 0; i < 3; i++) {
    expect(setting.clock.alarm).toBeGreaterThan(setting.clock.now);
    expect(setting.clock.alarm).toBeLessThan(Infinity);
    setting.clock.now = setting.clock.alarm;
    setting.clock.alarm = Infinity;
    notifier.send("org");
  }
  answer.resolve();
  await setting.settle();
  expect(setting.receiver.tries).toHaveLength(1);
});

it("a message that a crash has left is delivered by the next instance", async () => {
  const setting = open({ status: 200 });
  await complete(setting);
  const second = setting.start();
  second.notifier.recover();
  expect(setting.clock.alarm).toBe(setting.clock.now);
  second.notifier.send("org");
  await setting.settle();
  expect(setting.receiver.tries).toHaveLength(1);
});

it("a run that is read and written again after a crash is not sent again", async () => {
  const setting = open({ status: 200 });
  const store = await end(setting);
  expect(store.find("run", "run_1")!.status).toBe("completed");
  const second = setting.start();
  await second.notifier.refresh("org");
  second.store.put("run", second.store.find("run", "run_1")!);
  expect(second.store.listByStatus("notification", "pending")).toEqual([]);
});

it("without a webhook no row is written, and nothing is sent or scheduled", async () => {
  const setting = open({ status: 200, webhooks: [] });
  await end(setting);
  expect([setting.receiver.tries, setting.clock.alarm]).toEqual([[], Infinity]);
});

it("a slow receiver keeps no other from its messages", async () => {
  const slow = { ...WEBHOOK, id: "whk_0", url: "https://slow.example.com/" };
  const setting = open({ status: 200, webhooks: [slow, WEBHOOK] });
  const { store, notifier } = await complete(setting);
  const answer = delayNextList(setting);
  notifier.send("org");
  await vi.waitFor(() => expect(setting.receiver.tries).toHaveLength(1));
  completeIn(store, "run_2");
  notifier.send("org");
  await vi.waitFor(() => expect(setting.receiver.tries).toHaveLength(3));
  answer.resolve();
  await setting.settle();
  expect(setting.receiver.tries).toHaveLength(4);
  expect(store.listByStatus("notification", "pending")).toEqual([]);
});

it("a session that is deleted while a message is on its way is not written to", async () => {
  const setting = open({ status: 500 });
  const { store, notifier } = await complete(setting);
  const put = vi.spyOn(store, "put");
  const find = vi.spyOn(store, "find");
  notifier.send("org");
  setting.exists.now = false;
  await setting.settle();
  expect([put.mock.calls, find.mock.calls]).toEqual([[], []]);
});
