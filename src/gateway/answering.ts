import { GatewayError, toGatewayError } from "../canonical/error.ts";
import { Fold } from "../canonical/fold.ts";
import { isSealed } from "../canonical/native.ts";
import type { Loss, ModelResponse } from "../canonical/types.ts";
import type { EncodeTarget, Reply, StreamUsage, WireDialect } from "../dialects/dialect.ts";
import type { Context, Step } from "../session/session.ts";
import type { Passage } from "../session/turns.ts";
import type { CallRecord } from "../store/records.ts";
import type { Asked } from "./ask.ts";
import type { Call, Host, Notes } from "./call.ts";
import { schemaLosses } from "./format.ts";

/** A call whose upstream has answered: all that turning this answer into the client's needs. */
export type Answering = {
  call: Call;
  asked: Asked;
  host: Host;
  notes: Notes;
  context: Context;
  /** The provider's wire, and how it was asked. */
  dialect: WireDialect;
  target: EncodeTarget & { issuer: string };
  upstream: Response;
  cancel: () => void;
};

/** Caller and provider speak the same wire. */
export const isRelay = ({ asked, dialect }: Answering): boolean => asked.surface.dialect.id === dialect.id;

/**
 * A stream's token counts are asked for though the caller did not, and hidden from it again: where its stream is
 * looked at anyway, and the host is known to take the question.
 */
export function unaskedUsage({ asked, call, host, dialect, target }: Answering): StreamUsage | undefined {
  const mayAdd =
    call.annotate && asked.stream && host.contextMode === "stateful" && target.quirks?.streamUsage === true;
  const { streamUsage } = dialect;
  if (!mayAdd || streamUsage === undefined) return undefined;
  return asked.members.some(({ key }) => key === streamUsage.member[0]) ? undefined : streamUsage;
}

export const replyOf = ({ asked, call }: Answering): Reply => ({
  created: Math.floor(call.createdAt / 1000),
  includeUsage: asksForUsage(asked),
  // Few wires echo it: decoded when one does.
  get request() {
    return asked.surface.dialect.decodeRequest(asked.body, asked.outside);
  },
});

/** Chat's `stream_options.include_usage`. */
function asksForUsage({ body }: Asked): boolean {
  const options = Object(body.stream_options) as { include_usage?: unknown };
  return options.include_usage === true;
}

/** Makes a finished answer durable: as the session's next turn. */
export async function settle(answering: Answering, response: ModelResponse): Promise<CallRecord> {
  const { host, notes } = answering;
  if (!isRelay(answering))
    notes.losses.push(...unsaid(answering, response), ...schemaLosses(answering.asked, response));
  const { model, finish, usage } = response;
  await notes.priced;
  const record = notes.record("completed", { ...(model !== "" && { model }), finish: finish.reason, usage });
  await host.commit(record, stepOf(answering, response));
  notes.isSettled = true;
  return record;
}

/** What the provider said that the caller's wire has no words for. It is kept in the session all the same. */
const unsaid = ({ asked }: Answering, { messages }: ModelResponse): Loss[] =>
  messages
    .flatMap(({ blocks }) => blocks)
    .flatMap((block): Loss[] =>
      block.kind === "opaque" && block.native.dialect !== asked.surface.dialect.id
        ? [{ at: `output.${block.label}`, what: "dropped", why: `${asked.surface.dialect.id} has no such item` }]
        : [],
    );

/** Notes an answer that failed or broke off, with what came of it. */
export async function settleFailure(answering: Answering, thrown: unknown, folded = new Fold()): Promise<void> {
  const { host, notes, dialect, target } = answering;
  // What goes wrong with a committed turn on its way to the client does not undo it.
  if (notes.isSettled) return;
  const error = toGatewayError(thrown);
  const status = error.code === "stream.interrupted" ? "incomplete" : "failed";
  const { messages, model } = folded;
  const record = notes.record(status, { ...(model !== "" && { model }), error });
  const received = messages.length === 0 ? undefined : JSON.stringify(dialect.encodeMessages(messages, target).value);
  await host.fail(record, received);
}

/** The error of an answer that could not be kept: the client must not believe that it was. */
export const lost = (cause: unknown): GatewayError =>
  cause instanceof GatewayError ? cause : new GatewayError("internal", "the answer could not be stored", { cause });

function stepOf({ asked, context, dialect, target }: Answering, { messages }: ModelResponse): Step {
  const from = asked.leading + context.known;
  const input = { dialect: asked.surface.dialect.id, items: asked.items.slice(from).join(",") };
  const { value } = dialect.encodeMessages(messages, target);
  const output: Passage & { issuer: string } = {
    dialect: dialect.id,
    items: value.map((item) => JSON.stringify(item)).join(","),
    issuer: target.issuer,
    sealed: messages.some(isSealed),
  };
  const step = { context, input, output, messages: [...asked.messages.slice(from), ...messages] };
  return asked.instructions === undefined ? step : { ...step, instructions: asked.instructions };
}
