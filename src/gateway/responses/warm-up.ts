import { unfold } from "../../canonical/accumulator.ts";
import type { ModelResponse } from "../../canonical/types.ts";
import type { ParsedRequest } from "../../surfaces/request.ts";
import { encodeUtf8 } from "../../wire/bytes.ts";
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
  const { dialect } = request.surface;
  const output = { dialect: dialect.id, items: "", issuer: "" };
  const reply = toReplyContext({ call, request });
  const response: ModelResponse = { id: "", model: request.model, messages: [], finish: { reason: "stop" }, usage: {} };
  await host.store.commit(await log.toRecord("completed", { finish: "stop" }), {
    request,
    context,
    output,
    response,
    reply,
  });
  const encoder = dialect.encodeStream(reply);
  const events = unfold(response).map((event) => encoder.push(event));
  const headers = { "content-type": EVENT_STREAM };
  return withHeaders(new Response(encodeUtf8(events.join("")), { headers }), { call, request, log });
}
