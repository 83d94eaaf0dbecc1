import { type Carrier, type Gathering, packed } from "../wire/gather.ts";
import type { Sql } from "../store/sql.ts";
import type { Alarm } from "./alarm.ts";
import { forget, type Posted, posted } from "./outbox.ts";

/** All that is needed of a queue: it takes messages of 128 KB at most. */
export type RecordQueue = { send: (message: string, how: { contentType: "text" }) => Promise<unknown> };

/** The most that goes as one message, in UTF-16 code units: none has more than three bytes. */
const MESSAGE = 40_000;
/**
 * How long a record that the queue has taken is kept all the same. Should the runtime die meanwhile, the object that
 * comes after sends it again (the local runtime keeps its queues in memory). The consumer applies it once. Milliseconds.
 */
const KEEP_SENT = 2_500;
/** When somebody looks whether it has arrived. Milliseconds. */
const SETTLED = 5_000;

/** `takenAt`: when the queue took it, in Unix milliseconds. */
export type Letter = Posted & { takenAt?: number };

/** `bag`: of all the objects that live in this isolate. */
type Way = Pick<Carrier<Letter>, "keepAwake" | "now"> & {
  sql: Sql;
  queue: RecordQueue;
  bag: Gathering<Letter>;
  alarm: Alarm;
};

/** Brings an outbox to the queue. What is on its way is known in memory alone: what nobody remembers is sent again. */
export class Delivery {
  readonly #way: Way;
  readonly #sent = new Map<string, Letter>();

  constructor(way: Way) {
    this.#way = way;
  }

  /** To be called with what is written into the outbox, so that it is sent even if nothing else happens any more. */
  watch(): void {
    this.#way.alarm.within(SETTLED);
  }

  /** What nobody carries yet, with what the isolate's other objects send. That it has arrived is for `settle` to see. */
  send(): void {
    this.watch();
    const { sql, bag, keepAwake, now } = this.#way;
    const fresh = [...posted(sql)].filter((row) => this.#letterOf(row) === undefined).map((row) => this.#carry(row));
    bag.put(fresh, { carry: (letters) => this.#give(letters), keepAwake, now });
  }

  /**
   * To be called with the alarm. Sends what the queue has not taken, and forgets what it has had for a while. Resolves
   * to whether anything is left; the alarm is set for it then.
   */
  async settle(): Promise<boolean> {
    const { sql, now } = this.#way;
    const late: Letter[] = [];
    let isLeft = false;
    for (const row of posted(sql)) {
      const letter = this.#letterOf(row) ?? this.#carry(row);
      if (letter.takenAt === undefined) late.push(letter);
      if (letter.takenAt === undefined || letter.takenAt > now() - KEEP_SENT) isLeft = true;
      else {
        forget(sql, row);
        this.#sent.delete(row.id);
      }
    }
    if (isLeft) this.watch();
    // An alarm that throws is given up by the platform after six times; this one is set anew.
    await this.#give(late).catch((cause: unknown) => console.error("records wait for the queue", cause));
    return isLeft;
  }

  #letterOf({ id, payload }: Posted): Letter | undefined {
    const letter = this.#sent.get(id);
    return letter?.payload === payload ? letter : undefined;
  }

  #carry(row: Posted): Letter {
    const letter = { ...row };
    this.#sent.set(row.id, letter);
    return letter;
  }

  /** In as few messages as they fit into, each a JSON list of records. */
  async #give(letters: readonly Letter[]): Promise<void> {
    const { queue, now } = this.#way;
    for (const message of packed(letters, ({ payload }) => payload.length + 1, MESSAGE)) {
      await queue.send(`[${message.map(({ payload }) => payload).join(",")}]`, { contentType: "text" });
      for (const letter of message) letter.takenAt = now();
    }
  }
}
