import { cut } from "../../session/large-strings.ts";
import type { Session } from "../../session/session.ts";
import type { Blobs } from "../../store/blobs.ts";
import { elements, sliceOf } from "../../wire/splice.ts";
import type { Handled } from "../call/call.ts";
import { messagesOf } from "../request-body.ts";

/** Takes a stateless call, which the Worker has handled, into its session's history: where its transcript says. */
export async function take({ record, received, said, kept }: Handled, session: Session, blobs: Blobs): Promise<void> {
  if (said === undefined) {
    session.fail(record, received);
    return;
  }
  const { input, instructions } = said;
  const asked = messagesOf(input);
  const replied = messagesOf(said.output);
  const output = await cut(said.output, blobs);
  const context = session.place({ messages: asked });
  const list = `[${input.items}]`;
  const fresh = elements(list).slice(context.known);
  const items = fresh.map((span) => sliceOf(list, span)).join(",");
  const step = {
    context,
    input: await cut({ ...input, items }, blobs),
    output,
    said: asked.slice(context.known),
    replied,
  };
  session.commit(record, { ...step, ...(instructions && { instructions }) }, kept);
}
