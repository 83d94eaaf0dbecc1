import type { FoundEntry } from "../../session/call-journal.ts";
import { decodeItems } from "../../session/history/decode.ts";
import { offload } from "../../session/large-strings.ts";
import type { CompletedTurn, Session } from "../../session/session.ts";
import type { Blobs } from "../../store/blobs.ts";
import type { CallRecord } from "../../store/records.ts";
import { type SurfaceId, SURFACES } from "../../surfaces/index.ts";
import { type ParsedRequest, parseRequest, readMembers } from "../../surfaces/request.ts";
import { parseJson } from "../../wire/json.ts";
import { editMembers, findElements, sliceSpan } from "../../wire/splice.ts";
import type { Call, CommittedAnswer, JournaledCall, StatelessCall } from "../call/call.ts";
import { toCompletedTurn, toInputStep } from "../call/turn-input.ts";
import { buildCompletion, storesCompletion } from "../reply/completion-object.ts";
import { buildCompletedResponse } from "../reply/response-object.ts";

/** A stateless call that has ended. `received`: the partial output of a failed one. */
export type FinishedCall = {
  record: CallRecord;
  answer: CommittedAnswer | undefined;
  received?: string | undefined;
};

/** What a session gets of the call: its messages, and its response if that is to be stored (`stored`). */
export function toStatelessCall(
  { record, answer, received }: FinishedCall,
  stored?: Pick<Call, "id" | "response">,
): Omit<StatelessCall, "isNew"> {
  if (answer === undefined) return { record, ...(received !== undefined && { received }) };
  const turn = tryToComplete(answer, record);
  if (turn === undefined) return { record };
  const { input, output, instructions } = turn;
  return {
    record,
    said: { input, output, ...(instructions && { instructions }) },
    ...(stored && { kept: buildCompletedResponse(stored, answer.response, answer.reply) }),
    ...(storesCompletion(answer.request) && {
      completion: buildCompletion(record.id, answer.request, answer.response, answer.reply),
    }),
  };
}

/** `undefined` for a request that its provider has accepted, but that cannot be decoded. */
function tryToComplete(answer: CommittedAnswer, { id }: CallRecord): CompletedTurn | undefined {
  try {
    return toCompletedTurn(answer);
  } catch (cause) {
    console.error("the request of an answered call could not be decoded", id, cause);
    return undefined;
  }
}

/** What a journal gets of it: the request's text, unless its items are no longer those of the text. */
export function toJournaledCall(finished: FinishedCall): { call: Omit<JournaledCall, "isNew">; request?: string } {
  const { record, answer } = finished;
  if (answer?.request.isUnchanged !== true) return { call: toStatelessCall(finished) };
  const { surface, outside } = answer.request;
  const answered = { output: answer.output, surface: surface.id as SurfaceId, outside };
  return { call: { record, answered }, request: toStoredText(answer.request) };
}

/**
 * The request's text without what its session does not get: tools, options, credentials of remote tools. Some members are
 * required where the text is read.
 */
function toStoredText({ text, members, surface: { dialect } }: ParsedRequest): string {
  const { items, itemsAlias, instructions = [] } = dialect.layout;
  const stored = new Set<string | undefined>([items, itemsAlias, ...instructions, "model", "max_tokens"]);
  const removed = members.map(({ key }) => key).filter((key) => !stored.has(key));
  return editMembers(text, members, removed, []);
}

/** A stateless call from its journal's entry. A request that only its provider could read leaves the call without content. */
export function readJournaledCall({ text, request }: FoundEntry): StatelessCall {
  const { answered, ...call } = parseJson(text) as unknown as JournaledCall;
  if (answered === undefined || request === undefined) return call;
  try {
    return { ...call, said: readContent(request, answered, call.record) };
  } catch (cause) {
    console.error("the request of a journaled call could not be decoded", call.record.id, cause);
    return call;
  }
}

function readContent(
  text: string,
  { output, surface: id, outside }: NonNullable<JournaledCall["answered"]>,
  { modelAsked }: CallRecord,
): NonNullable<StatelessCall["said"]> {
  const surface = SURFACES[id];
  // The model may have been a default of the key.
  const rhone = { routing: { model: modelAsked } };
  const request = parseRequest({ ...readMembers(text, NO_HEADERS, surface), rhone }, surface, outside);
  const { input, instructions } = toInputStep(request, { parent: undefined, history: [], known: 0 });
  return { input, output, ...(instructions && { instructions }) };
}

const NO_HEADERS = new Headers();

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
