import type { Task, TaskState } from "../store/clock.ts";
import { moveOldRecords } from "../store/old/move.ts";

const DAY_MS = 24 * 60 * 60_000;

/** All periodic work of a deployment. */
export const createTasks = (env: Cloudflare.Env): Task[] => [
  { name: "move-old-records", everyMs: DAY_MS, run: () => moveOldRecords(env.DB) },
];

type ClockStub = { arm: () => Promise<void>; tasks: () => Promise<TaskState[]> };

/** The object that does it. */
export const clockStub = ({ CLOCK }: Pick<Cloudflare.Env, "CLOCK">): ClockStub => CLOCK.get(CLOCK.idFromName("clock"));

let isArmed = false;

/** Makes sure, once in an isolate, that the clock goes: on one machine no cron trigger does. */
export function armClock(env: Cloudflare.Env, waitUntil: (work: Promise<unknown>) => void): void {
  if (isArmed) return;
  isArmed = true;
  waitUntil(
    clockStub(env)
      .arm()
      .catch((cause: unknown) => {
        isArmed = false;
        console.error("the clock could not be armed", cause);
      }),
  );
}
