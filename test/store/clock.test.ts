import { describe, expect, it, vi } from "vitest";
import { type Task, TaskClock } from "../../src/store/clock.ts";
import { openSql, toStorage } from "../support/sqlite.ts";

const HOUR = 60 * 60_000;

function openClock(...tasks: Task[]) {
  const storage = toStorage(openSql());
  const time = { now: 1_000_000, alarm: Infinity };
  const open = (): TaskClock =>
    new TaskClock(storage, { tasks, now: () => time.now, setAlarm: (at) => (time.alarm = at) });
  /** Lets time pass to the alarm, which goes off. */
  const goOn = async (clock: TaskClock): Promise<void> => {
    time.now = Math.max(time.now, time.alarm);
    time.alarm = Infinity;
    await clock.tick();
  };
  return { open, time, goOn, storage };
}

describe("the clock", () => {
  it("runs a task at once, then at its intervals, and sooner while it has more to do", async () => {
    const more = [true, true, false, false];
    const at: number[] = [];
    const { open, time, goOn } = openClock({
      name: "a",
      everyMs: HOUR,
      run: async () => (at.push(time.now - 1_000_000), more.shift() ?? false),
    });
    const clock = open();
    clock.arm();
    expect(time.alarm).toBe(1_000_000);
    for (let i = 0; i < 4; i++) await goOn(clock);
    expect(at).toEqual([0, 1_000, 2_000, 2_000 + HOUR]);
    expect(clock.list()).toMatchObject([{ name: "a", failures: 0, error: null, endedAt: time.now }]);
  });

  it("tries a task that fails again, less and less often, and runs the others", async () => {
    vi.spyOn(console, "error").mockImplementation(() => {});
    const at: number[] = [];
    let others = 0;
    const { open, time, goOn } = openClock(
      { name: "bad", everyMs: 60_000, run: () => (at.push(time.now), Promise.reject(new Error("no disk"))) },
      { name: "good", everyMs: 60_000, run: async () => (others++, false) },
    );
    const clock = open();
    clock.arm();
    while (at.length < 9) await goOn(clock);
    const waits = at.slice(1).map((time, i) => (time - at[i]!) / 60_000);
    expect(waits).toEqual([0.5, 1, 2, 4, 8, 16, 32, 60]);
    expect(others).toBeGreaterThan(100);
    expect(clock.list()[0]).toMatchObject({ failures: 9, error: "Error: no disk" });
  });

  it("has its alarm set while it works, and goes on after a kill", async () => {
    let kill: () => void = () => {};
    const { open, time, goOn } = openClock({
      name: "deadly",
      everyMs: HOUR,
      run: () => new Promise((resolve) => (kill = () => resolve(false))),
    });
    const clock = open();
    clock.arm();
    void goOn(clock);
    expect(time.alarm).toBe(1_000_000 + 30_000);
    const restarted = open();
    restarted.arm();
    expect(time.alarm).toBe(1_000_000 + 30_000);
    expect(restarted.list()).toMatchObject([{ name: "deadly", failures: 1, startedAt: 1_000_000, endedAt: null }]);
    const ended = goOn(restarted);
    kill();
    await ended;
    expect(restarted.list()).toMatchObject([{ failures: 0, endedAt: time.now }]);
  });

  it("does not know the tasks of another version", async () => {
    const runs: string[] = [];
    const task = (name: string): Task => ({ name, everyMs: HOUR, run: async () => (runs.push(name), false) });
    const { open, time, goOn, storage } = openClock(task("a"));
    const clock = open();
    clock.arm();
    storage.sql("INSERT INTO tasks (name, due_at) VALUES ('of-a-newer-version', 1)");
    await goOn(clock);
    expect(time.alarm).toBe(1_000_000 + HOUR);
    clock.arm();
    expect(clock.list().map(({ name }) => name)).toEqual(["a"]);
    expect(runs).toEqual(["a"]);
  });
});
