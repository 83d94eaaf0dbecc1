import type { Dialect } from "../canonical/types.ts";
import type { Sql } from "../store/sql.ts";
import type { Span } from "../wire/splice.ts";
import type { Checkpoint } from "./continuation.ts";
import { hasTwins, readTurnIndex, type Turn } from "./turns.ts";

/** The list of messages in a request's text: where the list starts, and its items. */
export type SentTranscript = { dialect: Dialect; text: string; start: number; items: readonly Span[] };

/**
 * The known places of a transcript, in ascending order: up to the last one it need not be read. `systemCount`: its leading
 * system messages, which places do not count.
 */
export type RecalledTranscript = {
  checkpoints: readonly [...Checkpoint[], Checkpoint];
  systemCount: number;
  turnCount: number;
};

type Remembered = SentTranscript & { systemCount: number; checkpoints: readonly Checkpoint[]; turnCount: number };

/** Places that are remembered of one transcript, the last ones: clients change only the last few messages. */
const MAX_CHECKPOINTS = 16;
/** Transcripts that are remembered: a conversation and its sub-agents each have one. */
const MAX_TRANSCRIPTS = 8;
/** Of all of them; a longer one is not remembered: an object has 128 MB for all of its work. UTF-16 code units. */
const MAX_LENGTH = 4_000_000;

/**
 * The transcripts that the last calls of a session have sent, with the turns that end in them. Agents send their whole transcript
 * with each call, the old part byte for byte: comparing it takes a hundredth of the time of reading it.
 *
 * What is recalled is what reading would find (`test/session/transcript-memory.test.ts`): turns are found by hash alone
 * as long as no two have the same one. Where the head decides, too, the memory counts only until another turn is inserted.
 */
export class TranscriptMemory {
  readonly #sql: Sql;
  /** The latest first. */
  #remembered: readonly Remembered[] = [];
  /** Turns that were inserted while the object lives. */
  #turnCount = 0;
  #hasTwins: boolean | undefined;

  constructor(sql: Sql) {
    this.#sql = sql;
  }

  /**
   * The places up to which the transcript has the bytes of a remembered one; `undefined` without any. `isWhole`: the request
   * is no more than its transcript, so that the session's head decides nothing.
   */
  recall(sent: SentTranscript, { isWhole = false } = {}): RecalledTranscript | undefined {
    const known = this.#remembered.filter((one) => one.dialect === sent.dialect && (isWhole || this.isCurrent(one)));
    if (known.length === 0 || (this.#hasTwins ??= hasTwins(this.#sql))) return undefined;
    const recalled = known.flatMap((one) => this.#compare(sent, one) ?? []);
    return recalled.toSorted((a, b) => b.checkpoints.at(-1)!.count - a.checkpoints.at(-1)!.count)[0];
  }

  #compare(sent: SentTranscript, last: Remembered): RecalledTranscript | undefined {
    const { systemCount, turnCount } = last;
    let from = 0;
    const isSame = (checkpoint: Checkpoint): boolean => {
      if (sent.items.length < systemCount + checkpoint.count) return false;
      const to = last.items[systemCount + checkpoint.count - 1]!.end - last.start;
      const isEqual = sliceList(sent, from, to) === sliceList(last, from, to);
      from = to;
      return isEqual;
    };
    const firstChanged = last.checkpoints.findIndex((checkpoint) => !isSame(checkpoint));
    const checkpoints = firstChanged < 0 ? last.checkpoints : last.checkpoints.slice(0, firstChanged);
    return hasAny(checkpoints) ? { checkpoints, systemCount, turnCount } : undefined;
  }

  /** Whether no turn was inserted since. */
  isCurrent({ turnCount }: Pick<RecalledTranscript, "turnCount">): boolean {
    return turnCount === this.#turnCount;
  }

  /** Remembers the transcript of a call that was just committed, in the place of those that it continues. */
  remember(
    sent: SentTranscript,
    { systemCount, checkpoints }: { systemCount: number; checkpoints: readonly Checkpoint[] },
  ): void {
    const latest = checkpoints.slice(-MAX_CHECKPOINTS);
    const remembered = { ...sent, systemCount, checkpoints: latest, turnCount: this.#turnCount };
    const turns = new Set(checkpoints.map(({ turn }) => turn));
    const others = this.#remembered.filter((one) => !turns.has(one.checkpoints.at(-1)!.turn));
    let length = 0;
    const fits = ({ text }: Remembered): boolean => {
      if (length + text.length > MAX_LENGTH) return false;
      length += text.length;
      return true;
    };
    this.#remembered = [remembered, ...others].slice(0, MAX_TRANSCRIPTS).filter(fits);
  }

  /** To be called when the session's turns are deleted. */
  clear(): void {
    this.#remembered = [];
    this.#hasTwins = undefined;
  }

  /** To be called with each turn that is inserted. */
  onInsert({ chain }: Turn): void {
    this.#turnCount++;
    if (this.#hasTwins === false) this.#hasTwins = readTurnIndex(this.#sql).listByHash(chain).length > 1;
  }
}

/** A part of the list, by offsets in it. */
const sliceList = ({ text, start }: SentTranscript, from: number, to: number): string =>
  text.slice(start + from, start + to);

const hasAny = (list: readonly Checkpoint[]): list is readonly [...Checkpoint[], Checkpoint] => list.length > 0;
