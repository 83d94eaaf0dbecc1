import type { ModelResponse } from "../../canonical/types.ts";
import { targetKeyOf } from "../../routing/locate.ts";
import type { DiscardedUsage } from "../../store/records.ts";
import { createPacedReader } from "../../wire/tee.ts";
import { priceDiscarded } from "../call/attempt-cost.ts";
import type { CallLog } from "../call/call-log.ts";
import { toStreamError } from "../call/stream-errors.ts";
import { isSameDialect, type UpstreamCall } from "../call/upstream-call.ts";
import { idleLimit, readChunks } from "../upstream/body-reader.ts";
import type { StartedStream } from "../upstream/first-content.ts";
import { NO_EVENT, type ReadEvent } from "../upstream/stream-reader.ts";
import { LATE_CITATIONS } from "./citation-losses.ts";
import {
  buildContinuationPrompt,
  ContinuationJoiner,
  type Recover,
  recoverableText,
  requireStream,
} from "./recovery.ts";

/**
 * The next events of a streamed answer; the last part has the whole answer. `isJoined`: they continue the answer of
 * another target, so they have no bytes of a provider.
 */
export type AnswerPart = {
  call: UpstreamCall;
  events: readonly ReadEvent[];
  isJoined: boolean;
  response?: ModelResponse;
};

type PartServices = { log: CallLog; hasEndedEarly: () => boolean };

/**
 * An answer part by part. If it breaks, `recover` continues it at another target, unless the call itself has ended early.
 * Throws the first target's error if its output cannot be continued or no target is left, and the second one's if that
 * breaks too. The usage of the answer that is not the call's own is logged as discarded.
 */
export async function* readWithRecovery(
  first: StartedStream,
  recover: Recover | undefined,
  { log, hasEndedEarly }: PartServices,
): AsyncGenerator<AnswerPart> {
  try {
    for await (const part of readParts(first, log, recover !== undefined))
      yield { ...part, call: first.call, isJoined: false };
    const { call, reader } = first;
    if (reader.accumulated.hasLateCitations && !isSameDialect(call)) logLateCitations(call, log);
    return;
  } catch (thrown) {
    first.call.cancel();
    const isDenied = toStreamError(thrown).code === "safety.policy_denied";
    if (recover === undefined || isDenied || hasEndedEarly()) throw thrown;
  }
  yield* continueAnswer(first, recover, log);
}

/** The rest of a broken answer, by another target. */
async function* continueAnswer(first: StartedStream, recover: Recover, log: CallLog): AsyncGenerator<AnswerPart> {
  const { accumulated } = first.reader;
  const text = recoverableText(accumulated);
  const cause = accumulated.error ?? toStreamError(undefined);
  if (text === undefined) throw cause;
  const addDiscarded = log.markFailed(cause);
  const joiner = new ContinuationJoiner(first.reader);
  const second = requireStream(
    await recover(buildContinuationPrompt(text)).catch(() => {
      throw cause;
    }),
  );
  const { call } = second;
  log.nameTarget(call.destination.target);
  try {
    for await (const { events, response } of readParts(second, log, true)) {
      const joined = events.map((event) => join(event, joiner));
      yield {
        call,
        events: joined,
        isJoined: true,
        ...(response && { response: joiner.toResponse(accumulated, response) }),
      };
    }
  } catch (thrown) {
    call.cancel();
    log.markFailed(toStreamError(thrown))(await computeDiscarded(second));
    throw thrown;
  }
  if (joiner.hasLateCitations) logLateCitations(call, log);
  addDiscarded(await computeDiscarded(first));
  const from = targetKeyOf(first.call.destination.target);
  log.addRecovery({ from, after_chars: text.length, how: joiner.kind ?? "continuation" });
}

/** What an event of the second answer adds to the first one. */
const join = (read: ReadEvent, joiner: ContinuationJoiner): ReadEvent =>
  read.isBehindEnd
    ? read
    : { ...read, event: NO_EVENT, decoded: read.decoded.flatMap((one) => joiner.push(one)), isFailing: false };

/**
 * One target's answer as it arrives. Throws its error, after the rest of the stream has been read for its usage.
 * `withholdsError`: the error's event is left out, because the answer may be continued.
 */
async function* readParts(
  { call, events, reader }: StartedStream,
  log: CallLog,
  withholdsError: boolean,
): AsyncGenerator<Pick<AnswerPart, "events" | "response">> {
  yield { events };
  let isSilent = false;
  const { upstream, limits } = call;
  const body = upstream.body === null ? undefined : createPacedReader(upstream.body, limits.now);
  for await (const chunk of readChunks(call, log, idleLimit(call, reader), body)) {
    const read = reader.push(chunk);
    if (isSilent) continue;
    const { error } = reader.accumulated;
    isSilent = error !== undefined && (withholdsError || error.upstream === undefined);
    const errorAt = read.findIndex(({ decoded }) => decoded.some(({ type }) => type === "error"));
    yield { events: isSilent ? read.slice(0, errorAt) : read };
  }
  const rest = reader.end();
  const { response, error } = reader.accumulated;
  if (response === undefined) {
    // What the shield held back belongs to the answer so far.
    const errorAt = rest.findIndex(({ decoded }) => decoded.some(({ type }) => type === "error"));
    if (!isSilent) yield { events: errorAt < 0 ? rest : rest.slice(0, errorAt) };
    throw error;
  }
  yield { events: rest, response };
}

/** The client has received the cited text as a whole, and its dialect has no later place for a citation. */
function logLateCitations({ request }: UpstreamCall, log: CallLog): void {
  if (request.surface.dialect.citesWholeTexts) log.addLosses([LATE_CITATIONS]);
}

/** Usage and cost that the target reported before its stream broke. */
const computeDiscarded = ({ call: { destination, call }, reader }: StartedStream): Promise<DiscardedUsage> =>
  priceDiscarded(destination.target, reader.usage, reader.accumulated.model, new Date(call.createdAt));
