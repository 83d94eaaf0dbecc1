import { concatBytes } from "../../wire/bytes.ts";
import { decodeSse } from "../../wire/sse.ts";

/** `blocks`: what stands between blank lines, comments too. `events`: those of them that count in a stream. */
export type EventCount = { blocks: number; events: number };

/** What listeners of a session are told: whole blocks of one call's stream, or a notice about a call. */
export type Segment = EventCount & {
  /** The id of its first block. Ids go up by one within a piece, and up over the session's whole life. */
  id: number;
  call: string;
  /** The number of its next event in the call's stream, from 1. Absent: a notice, JSON text. */
  ordinal?: number;
  bytes: Uint8Array;
};

export type EventRow = { last: number; parts: string; bytes: ArrayBuffer };
/** A piece within a row: its call, ordinal (0: a notice), blocks, events and bytes. */
type RowPart = [call: string, ordinal: number, blocks: number, events: number, size: number];

export const lastIdOf = ({ id, blocks }: Segment): number => id + blocks - 1;

/** Pieces as a row keeps them: what one call says in a row is one part. The inverse of `piecesOf`. */
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

/** What of a piece comes after an id; a reader may have had a part of it before it became a row. */
export function segmentAfter(segment: Segment, at: number): Segment {
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

/** What of a piece comes after an event's number. */
export function bytesAfter({ ordinal, events, bytes }: Segment, after: number): Uint8Array {
  if (ordinal === undefined) return NO_BYTES;
  if (ordinal > after) return bytes;
  if (ordinal + events - 1 < after) return NO_BYTES;
  let left = after - ordinal + 1;
  const blocks = decodeSse(bytes);
  const from = left === 0 ? 0 : blocks.findIndex((block) => isCounted(block) && --left === 0) + 1;
  return concatBytes(blocks.slice(from).map(({ raw }) => raw));
}

/** Comments count as no event, nor does what only shows that a stream lives (Anthropic's `ping`). */
export const isCounted = ({ data, event }: { data?: string; event?: string }): boolean =>
  data !== undefined && event !== "ping";

export const NO_BYTES = new Uint8Array(0);
