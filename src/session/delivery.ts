import type { Sql } from "../store/sql.ts";
import { forget, type Posted, posted } from "./outbox.ts";

/** All that is needed of a queue: it takes messages of 128 KB at most. */
export type RecordQueue = { send: (message: string, how: { contentType: "text" }) => Promise<unknown> };

/** How long an isolate gathers what its objects send, so that many records are one message. Milliseconds. */
const GATHER = 50;
/** The object that waits for the others may be gone before it has sent. From then on another one does. Milliseconds. */
const OVERDUE = 1_000;
/** The most that goes as one message, in UTF-16 code units: none has more than three bytes. */
const MESSAGE = 40_000;
/**
 * How long a record that the queue has taken is kept all the same. Should the runtime die meanwhile, the object that
 * comes after sends it again (the local runtime keeps its queues in memory). The consumer applies it once. Milliseconds.
 */
const KEEP_SENT = 2_500;

/** `takenAt`: when the queue took it, in Unix milliseconds. */
export type Letter = Posted & { takenAt?: number };

/** What of an outbox is on its way to the queue. Known in memory alone: what nobody remembers is sent again. */
export class Delivery {
  readonly #sql: Sql;
  readonly #now: () => number;
  readonly #sent = new Map<string, Letter>();

  constructor(sql: Sql, now: () => number) {
    this.#sql = sql;
    this.#now = now;
  }

  /** What nobody carries yet; from now on somebody does. */
  collect(): Letter[] {
    return [...posted(this.#sql)].filter((row) => this.#letterOf(row) === undefined).map((row) => this.#carry(row));
  }

  /**
   * Sends what the queue has not taken, and forgets what it has had for a while. Resolves to whether anything is left
   * to come back for. Throws what the queue throws, and has lost nothing then.
   */
  async settle(queue: RecordQueue): Promise<boolean> {
    const late: Letter[] = [];
    let isLeft = false;
    for (const row of posted(this.#sql)) {
      const letter = this.#letterOf(row) ?? this.#carry(row);
      if (letter.takenAt === undefined) late.push(letter);
      if (letter.takenAt === undefined || letter.takenAt > this.#now() - KEEP_SENT) isLeft = true;
      else {
        forget(this.#sql, row);
        this.#sent.delete(row.id);
      }
    }
    await send(late, queue, this.#now);
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
}

/** Who carries the bag: with what of its own, and until when it stays awake for that. */
export type Carrier = { queue: RecordQueue; keepAwake: (work: Promise<unknown>) => void; now: () => number };

/**
 * What the objects of one isolate send, gathered for a moment. Whoever finds the bag lying about carries it to the queue;
 * the others are told by their letters, or else find them at their next alarm not to have been taken.
 */
export class Mailbag {
  #letters: Letter[] = [];
  #dueAt = 0;

  put(letters: readonly Letter[], { queue, keepAwake, now }: Carrier): void {
    this.#letters.push(...letters);
    if (this.#letters.length === 0 || now() < this.#dueAt + OVERDUE) return;
    this.#dueAt = now() + GATHER;
    const carried = async (): Promise<void> => {
      await new Promise((resolve) => setTimeout(resolve, GATHER));
      this.#dueAt = 0;
      await send(this.#letters.splice(0), queue, now);
    };
    keepAwake(carried().catch((cause: unknown) => console.error("the queue took no records", cause)));
  }
}

/** In as few messages as they fit into, each a JSON list of records. */
async function send(letters: readonly Letter[], queue: RecordQueue, now: () => number): Promise<void> {
  for (let first = 0; first < letters.length;) {
    let end = first + 1;
    let size = letters[first]!.payload.length;
    while (end < letters.length && (size += letters[end]!.payload.length + 1) < MESSAGE) end++;
    const message = letters.slice(first, end);
    await queue.send(`[${message.map(({ payload }) => payload).join(",")}]`, { contentType: "text" });
    for (const letter of message) letter.takenAt = now();
    first = end;
  }
}
