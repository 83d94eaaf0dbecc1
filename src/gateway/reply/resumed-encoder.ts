import type { StreamEncoder } from "../../dialects/dialect.ts";
import type { SseEvent } from "../../wire/sse.ts";
import type { CallLog } from "../call/call-log.ts";
import type { StartedStream } from "../upstream/first-content.ts";
import { withIdentity } from "./client-answer.ts";
import { buildSentEvents } from "./recovery.ts";
import { toPublicReplyContext } from "./settle.ts";

/**
 * The encoder for the events that follow a provider's relayed ones, such as an error or another target's continuation:
 * with the ids that the client has received, and with event numbers after those of `last`, the last event that it has
 * received.
 */
export function createResumedEncoder(
  { call, reader }: StartedStream,
  last: SseEvent | undefined,
  log: CallLog,
): StreamEncoder {
  const reply = toPublicReplyContext(call, reader.accumulated.id, log);
  const encoder = call.request.surface.dialect.encodeStream(reply);
  for (const event of buildSentEvents(reader))
    encoder.push(event.type === "start" ? withIdentity(event, reply) : event);
  if (last !== undefined) encoder.resumeAfter?.(last);
  return encoder;
}
