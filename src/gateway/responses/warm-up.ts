import { unfold } from "../../canonical/accumulator.ts";
import type { ModelResponse } from "../../canonical/types.ts";
import { encodeUtf8 } from "../../wire/bytes.ts";
import { halfStep, replyOf } from "../reply/settle.ts";
import type { Asked } from "../../surfaces/request.ts";
import { type Call, type Host, Notes } from "../call/call.ts";
import { keptAnswer } from "../reply/response-object.ts";
import { saidIn } from "../path.ts";
import { EVENT_STREAM, withHeaders } from "../reply/headers.ts";

/**
 * OpenAI's `generate: false`: what the request says becomes a turn that no model has answered, and the response to it
 * is empty. Whoever continues it has said that much already. Throws what is wrong with the place it continues.
 */
export async function warmUp(call: Call, asked: Asked, host: Host): Promise<Response> {
  const notes = new Notes(call, asked, host);
  const context = await host.begin(saidIn(asked), notes.started());
  notes.context = context;
  const { dialect } = asked.surface;
  const step = {
    ...halfStep(asked, context),
    output: { dialect: dialect.id, items: "", issuer: "" },
    replied: [],
  };
  const reply = replyOf({ call, asked });
  const answer: ModelResponse = { id: "", model: asked.model, messages: [], finish: { reason: "stop" }, usage: {} };
  const kept = call.response?.stored === true ? keptAnswer(call, answer, reply) : undefined;
  await host.commit(notes.record("completed", { finish: "stop" }), step, kept);
  const encoder = dialect.encodeStream(reply);
  const events = unfold(answer).map((event) => encoder.push(event));
  const headers = { "content-type": EVENT_STREAM };
  return withHeaders(new Response(encodeUtf8(events.join("")), { headers }), { call, asked, notes });
}
