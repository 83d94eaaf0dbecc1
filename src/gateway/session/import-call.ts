import { decodeItems } from "../../session/history/decode.ts";
import { offload } from "../../session/large-strings.ts";
import type { Session } from "../../session/session.ts";
import type { Blobs } from "../../store/blobs.ts";
import { findElements, sliceSpan } from "../../wire/splice.ts";
import type { StatelessCall } from "../call/call.ts";

/**
 * Adds a stateless call that the Worker has completed to its session. The transcript in its input is matched with the
 * history: only messages after the longest known prefix become a new turn. A call without content is recorded as failed.
 */
export async function importCall(
  { record, received, said: content, kept: response }: StatelessCall,
  session: Session,
  blobs: Blobs,
): Promise<void> {
  if (content === undefined) {
    session.fail(record, received);
    return;
  }
  const { input, instructions } = content;
  const requested = decodeItems(input);
  const reply = decodeItems(content.output);
  const output = await offload(content.output, blobs);
  const context = session.locate({ messages: requested });
  const list = `[${input.items}]`;
  const fresh = findElements(list).slice(context.known);
  const items = fresh.map((span) => sliceSpan(list, span)).join(",");
  const step = {
    context,
    input: await offload({ ...input, items }, blobs),
    output,
    requested: requested.slice(context.known),
    reply,
  };
  session.commit(record, { ...step, ...(instructions && { instructions }) }, response);
}
