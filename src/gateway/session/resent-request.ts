import type { PathParams } from "../../dialects/dialect.ts";
import type { RecalledTranscript, SentTranscript, TranscriptMemory } from "../../session/transcript-memory.ts";
import { type Surface, SURFACES } from "../../surfaces/index.ts";
import { openWithoutReferences, type ParsedRequest, parseRequest, type RequestText } from "../../surfaces/request.ts";
import { scanObject } from "../../wire/scan.ts";
import { splice } from "../../wire/splice.ts";
import type { SessionCall } from "../call/call.ts";
import { type FindItems, hasReferences, resolveReferences } from "../responses/references.ts";
import { withContinuation } from "../responses/state.ts";

/**
 * A request to a session. If its transcript starts as that of the last call, the request lacks the messages in front of the
 * last known reply, and `recalled` says what they are; only the rest is read.
 */
export type ResentRequest = { request: ParsedRequest; sent?: SentTranscript; recalled?: RecalledTranscript };

type ParsedCall = Pick<SessionCall, "surface" | "outside" | "isNew" | "response" | "conversation">;

/** `isWhole`: as for `TranscriptMemory.recall`. */
type TranscriptParts = { surface: Surface; outside: PathParams; transcripts: TranscriptMemory; isWhole?: boolean };

/** A call's request in its session, with the items that it references. Throws as `parseRequest` and `resolveReferences`. */
export async function parseSessionRequest(
  requestText: RequestText,
  { surface: id, outside, isNew, response, conversation }: ParsedCall,
  { transcripts, find }: { transcripts: TranscriptMemory; find: FindItems },
): Promise<ResentRequest> {
  const surface = SURFACES[id];
  const whole = (): ResentRequest => ({ request: parseRequest(requestText, surface, outside) });
  // A background call is sent to its session again, with all of its text.
  const isWhole = isNew || response?.from !== undefined || response?.background === true;
  const reading = { surface, outside, transcripts, isWhole: conversation !== undefined };
  let resent = isWhole ? whole() : parseResentRequest(requestText, reading);
  // Which of the referenced items are known depends on the whole transcript.
  if (resent.recalled !== undefined && hasReferences(resent.request)) resent = whole();
  const parsed = response === undefined ? resent.request : withContinuation(resent.request, response);
  return { ...resent, request: await resolveReferences(parsed, find) };
}

/**
 * The whole of a request whose transcript was recalled: it has no references. It is decoded only if it is translated, or has
 * items of the gateway's own.
 */
export function deferRequest(
  requestText: RequestText,
  { surface: id, outside }: Pick<SessionCall, "surface" | "outside">,
): ParsedRequest {
  const surface = SURFACES[id];
  const open = surface.dialect.layout.mayHaveOwnItems?.(requestText.text) ? parseRequest : openWithoutReferences;
  return open(requestText, surface, outside);
}

/** Decodes and validates a request, which may leave the beginning of its transcript unread. Throws as `parseRequest`. */
export function parseResentRequest(
  requestText: RequestText,
  { surface, outside, transcripts, isWhole = false }: TranscriptParts,
): ResentRequest {
  const sent = findTranscript(requestText, surface);
  const recalled = sent && transcripts.recall(sent, { isWhole });
  if (sent === undefined || recalled === undefined)
    return { request: parseRequest(requestText, surface, outside), ...(sent && { sent }) };
  return { request: parseRequest(withoutKnown(requestText, sent, recalled), surface, outside), sent, recalled };
}

/** The list of messages, where an item can be read without those in front of it, and the client did not name a parent. */
function findTranscript({ text, members, rhone }: RequestText, { dialect }: Surface): SentTranscript | undefined {
  const { layout, id } = dialect;
  if (rhone.parent !== undefined || layout.readsItemsTogether) return undefined;
  const list = members.findLast(({ key }) => key === layout.items || key === layout.itemsAlias);
  return list?.elements && { dialect: id, text, start: list.value.start, items: list.elements };
}

/** The text without the items between the leading system messages and the last known reply. */
function withoutKnown(
  requestText: RequestText,
  { text, items }: SentTranscript,
  { checkpoints, systemCount }: RecalledTranscript,
): RequestText {
  const { replyAt } = checkpoints.at(-1)!;
  const [first, reply] = [items[systemCount]!, items[systemCount + replyAt]!];
  const rest = splice(text, [{ start: first.start, end: reply.start, text: "" }]);
  return { ...requestText, ...scanObject(rest), text: rest };
}
