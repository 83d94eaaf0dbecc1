import { GatewayError } from "../canonical/error.ts";
import type { Loss, StreamEvent } from "../canonical/types.ts";
import { cutText } from "../wire/surrogates.ts";

/** The longest message of an error in plain text. Characters. */
const MAX_MESSAGE_CHARS = 2_000;

const MALFORMED_EVENT: Loss = {
  at: "stream",
  what: "dropped",
  why: "the provider sent an event that is not a JSON object",
};

/**
 * The meaning of an event whose data is no JSON object: a loss, and the stream goes on without it. Blank data has no
 * meaning (WHATWG HTML, "Parsing an event stream"). An event with the name `error` is the provider's error in plain
 * text: `fail` ends the decoder's stream.
 */
export function decodeMalformed(
  data: string,
  name: string | undefined,
  fail: (error: GatewayError) => StreamEvent[],
): StreamEvent[] {
  const text = data.trim();
  if (text === "") return [];
  if (name === "error") return fail(new GatewayError("provider.execution_failed", cutText(text, MAX_MESSAGE_CHARS)));
  return [{ type: "loss", loss: MALFORMED_EVENT }];
}
