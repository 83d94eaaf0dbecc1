import { concatBytes } from "../../wire/bytes.ts";
import { decodeSse } from "../../wire/sse.ts";

/** Size of a piece of a stream. `blocks`: SSE blocks, comments included. `events`: those of them that are numbered (`isCounted`). */
export type EventCount = { blocks: number; events: number };

/** A part of what a session sends to its listeners: whole SSE blocks of one call's stream, or a notice about a call. */
export type Segment = EventCount & {
  /** The id of its first block. Ids go up by one within a segment, and always up within a session. */
  id: number;
  call: string;
  /** The number of its first event in the call's stream, from 1. Absent: a notice, whose bytes are JSON text. */
  ordinal?: number;
  bytes: Uint8Array;
};

/** A row of the table `events`. `last`: the id of its last block. `parts`: JSON of RowPart[], in a row's first record only. */
export type EventRow = { last: number; parts: string; bytes: ArrayBuffer };
/** A segment within a row: its call, ordinal (0: a notice), blocks, events and bytes. Stored as a tuple to keep rows small. */
type RowPart = [call: string, ordinal: number, blocks: number, events: number, size: number];

/** The id of the segment's last block. */
export const lastIdOf = ({ id, blocks }: Segment): number => id + blocks - 1;

/** Describes segments for a row; consecutive ones of one stream become one part. The inverse of `toSegments`. */
export function toRowParts(segments: readonly Segment[]): RowPart[] {
  const parts: RowPart[] = [];
  for (const { call, ordinal = 0, blocks, events, bytes } of segments) {
    const open = parts.at(-1);
    if (open !== undefined && open[0] === call && open[1] > 0 && ordinal > 0) {
      open[2] += blocks;
      open[3] += events;
      open[4] += bytes.length;
    } else parts.push([call, ordinal, blocks, events, bytes.length]);
  }
  return parts;
}

/** The segments of a row, whose bytes may continue in further records. */
export function toSegments(rows: readonly EventRow[]): Segment[] {
  const { last, parts: json } = rows[0]!;
  const parts = JSON.parse(json) as RowPart[];
  const whole = concatBytes(rows.map(({ bytes }) => new Uint8Array(bytes)));
  let id = last + 1 - parts.reduce((sum, [, , blocks]) => sum + blocks, 0);
  let at = 0;
  return parts.map(([call, ordinal, blocks, events, size]) => {
    const segment = { id, call, blocks, events, bytes: whole.subarray(at, at + size), ...(ordinal > 0 && { ordinal }) };
    id += blocks;
    at += size;
    return segment;
  });
}

/** What comes after the id `at` in consecutive segments. The search starts at the end, where most readers are. */
export function segmentsAfter(segments: readonly Segment[], at: number): Segment[] {
  const first = segments.findLastIndex((segment) => lastIdOf(segment) <= at) + 1;
  return segments.slice(first).map((segment) => segmentAfter(segment, at));
}

/** The part of a segment after the id `at`: a reader may have read a part before segments were joined in a row. */
function segmentAfter(segment: Segment, at: number): Segment {
  if (segment.id > at || segment.ordinal === undefined) return segment;
  const skipped = at - segment.id + 1;
  const blocks = decodeSse(segment.bytes);
  const skippedEvents = blocks.slice(0, skipped).filter(isCounted).length;
  return {
    ...segment,
    id: at + 1,
    blocks: segment.blocks - skipped,
    events: segment.events - skippedEvents,
    ordinal: segment.ordinal + skippedEvents,
    bytes: concatBytes(blocks.slice(skipped).map(({ raw }) => raw)),
  };
}

/** The bytes of a segment after the event with the number `after`; none of a notice. */
export function bytesAfter({ ordinal, events, bytes }: Segment, after: number): Uint8Array {
  if (ordinal === undefined) return NO_BYTES;
  if (ordinal > after) return bytes;
  if (ordinal + events - 1 < after) return NO_BYTES;
  let left = after - ordinal + 1;
  const blocks = decodeSse(bytes);
  const from = left === 0 ? 0 : blocks.findIndex((block) => isCounted(block) && --left === 0) + 1;
  return concatBytes(blocks.slice(from).map(({ raw }) => raw));
}

/** Whether a block has an event number. Comments and keep-alives do not (Anthropic API reference, Streaming: `ping`). */
export const isCounted = ({ data, event }: { data?: string; event?: string }): boolean =>
  data !== undefined && event !== "ping";

export const NO_BYTES = new Uint8Array(0);
