import { unfold } from "../../canonical/accumulator.ts";
import type { ModelResponse } from "../../canonical/types.ts";
import type { ReplyContext } from "../../dialects/dialect.ts";
import type { ParsedRequest } from "../../surfaces/request.ts";
import { encodeUtf8 } from "../../wire/bytes.ts";
import { newId } from "../../wire/id.ts";
import { CallLog } from "../call/call-log.ts";
import type { Call, CallHost } from "../call/call.ts";
import { toTurnInput } from "../call/turn-input.ts";
import { toReplyContext } from "../call/upstream-call.ts";
import { continueRequest } from "../continued-request.ts";
import { EVENT_STREAM, withHeaders } from "../reply/headers.ts";

/**
 * OpenAI's `generate: false` (OpenAI API reference, Responses WebSocket mode): the request's input becomes a turn
 * without output, and the response is empty. A call that continues the response need not send that input again. Throws
 * as `CallStore.start` does, if there is nothing to continue.
 */
export async function warmUp(call: Call, parsed: ParsedRequest, host: CallHost): Promise<Response> {
  const log = new CallLog(call, parsed, host.lifetime.now);
  const started = await host.store.start(() => toTurnInput(parsed), log.toCallStart());
  const { request, context } = continueRequest(parsed, started);
  log.addContext(context);
  const output = { dialect: request.surface.dialect.id, items: "", issuer: "" };
  const reply = toReplyContext({ call, request });
  const response = emptyAnswerOf(request);
  await host.store.commit(await log.toRecord("completed", { finish: "stop" }), {
    request,
    context,
    output,
    response,
    reply,
  });
  return withHeaders(streamEmptyAnswer(request, reply), { call, request, log });
}

/** The same in a conversation whose transcript the connection keeps: the next request has all of the input. */
export function prepare(request: ParsedRequest, createdAt: number): Response {
  const id = newId("resp", createdAt);
  return streamEmptyAnswer(request, { created: Math.floor(createdAt / 1000), id, request: request.request });
}

const emptyAnswerOf = ({ model }: ParsedRequest): ModelResponse => ({
  id: "",
  model,
  messages: [],
  finish: { reason: "stop" },
  usage: {},
});

function streamEmptyAnswer(request: ParsedRequest, reply: ReplyContext): Response {
  const encoder = request.surface.dialect.encodeStream(reply);
  const events = unfold(emptyAnswerOf(request)).map((event) => encoder.push(event));
  return new Response(encodeUtf8(events.join("")), { headers: { "content-type": EVENT_STREAM } });
}
