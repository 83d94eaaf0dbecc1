import { DurableObject } from "cloudflare:workers";
import { createTasks } from "../platform/clock.ts";
import { TaskClock, type TaskState } from "../store/clock.ts";
import { objectStorage } from "./storage.ts";

/** The one Durable Object that drives everything periodic. It composes and decides nothing. */
export class ClockObject extends DurableObject {
  readonly #clock: TaskClock;

  constructor(ctx: DurableObjectState, env: Cloudflare.Env) {
    super(ctx, env);
    this.#clock = new TaskClock(objectStorage(ctx), {
      tasks: createTasks(env),
      now: Date.now,
      setAlarm: (at) => void ctx.storage.setAlarm(at),
    });
  }

  /** Makes sure that the alarm is set. */
  arm(): void {
    this.#clock.arm();
  }

  /** Makes a task due at once. */
  wake(task: string): void {
    this.#clock.wake(task);
  }

  /** The tasks by their names. */
  tasks(): TaskState[] {
    return this.#clock.list();
  }

  override async alarm(): Promise<void> {
    await this.#clock.tick();
  }
}
