import { unfold } from "../canonical/accumulator.ts";
import type { StreamEvent } from "../canonical/types.ts";
import type { CallLog } from "./call/call-log.ts";
import type { UpstreamCall } from "./call/upstream-call.ts";
import { buildErrorResponse } from "./reply/headers.ts";
import type { Recover } from "./reply/recovery.ts";
import { type ReplyServices, settle } from "./reply/settle.ts";
import { readToEnd } from "./reply/stream.ts";
import type { StartedStream, UpstreamAnswer } from "./upstream/first-content.ts";

/**
 * Gets the events of one step's answer as they are read: those of one stream, without an `error`. Its `end` comes when the
 * answer is durable. `call`: of the target that the events come from, another one after a recovery.
 */
export type AnswerSink = {
  /** Gets the call before its first events. `log`: of the call. */
  open?: (call: UpstreamCall, log: CallLog) => void;
  push: (events: readonly StreamEvent[], call: UpstreamCall) => void;
};

/**
 * Reads an answer for a sink instead of a client. Resolves when the call's record is durable, to an empty response or, for
 * an answer that has broken, to that of the error. A whole answer has the events of a stream with the same content.
 */
export async function readStep(
  answer: UpstreamAnswer,
  services: ReplyServices,
  sink: AnswerSink,
  recover?: Recover,
): Promise<Response> {
  sink.open?.(answer.call, services.log);
  if (!("response" in answer)) return await readStream(answer, services, sink, recover);
  const { call, response } = answer;
  await settle(call, response, services);
  sink.push(unfold(response), call);
  return new Response(null);
}

async function readStream(
  started: StartedStream,
  services: ReplyServices,
  sink: AnswerSink,
  recover: Recover | undefined,
): Promise<Response> {
  services.log.addLosses(started.reader.accumulated.losses);
  let { call } = started;
  let response = new Response(null);
  const ends: StreamEvent[] = [];
  await readToEnd(started, recover, services, {
    onPart: (part) => {
      call = part.call;
      const decoded = part.events.flatMap((event) => (event.isBehindEnd ? [] : event.decoded));
      ends.push(...decoded.filter(({ type }) => type === "end"));
      const events = decoded.filter(({ type }) => type !== "end" && type !== "error");
      if (events.length > 0) sink.push(events, call);
    },
    onEnd: () => sink.push(ends, call),
    onError: (error) => {
      response = buildErrorResponse(call.request.surface, error, call.call.id);
    },
  });
  return response;
}
