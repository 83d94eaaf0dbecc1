import { continueSession } from "../../gateway/session/placement.ts";
import { screenText } from "../../gateway/shield/screen-text.ts";
import type { Context } from "../../session/session.ts";
import { SURFACES } from "../../surfaces/index.ts";
import { parseRequest } from "../../surfaces/request.ts";
import { newId } from "../../wire/id.ts";
import type { RunDefinition } from "../state/definition.ts";
import type { Run } from "../state/run.ts";
import { extendStep, toStepText } from "./answered-request.ts";
import { conversationOfRun, movesHead } from "./run-line.ts";
import type { ModelCallServices, NextStep, StepCall, StepReceiver } from "./step-form.ts";

/** A run that answers a call, with the turn behind which its next step goes on. */
type Going = { run: Run; definition: RunDefinition; parent: string };

/** The client that waits for the answer; nothing is known of one that is gone. `isSideBranch`: as in `SessionHost`. */
type Waiting = { isSideBranch: boolean | undefined; receiver: StepReceiver | undefined };

/** A step behind the first: a call of its own, with the request of the client's and the results in the place of the messages. */
export async function prepareLaterStep(
  { run, definition, parent }: Going,
  { caller, isLast }: NextStep,
  { isSideBranch, receiver = UNREAD }: Waiting,
  { state, models, lifetime }: ModelCallServices,
): Promise<StepCall> {
  const { surface: id, outside, headers, isChained } = definition.client!;
  const surface = SURFACES[id];
  const text = toStepText(definition, run, parent);
  const shield = await models.shield(caller, text.rhone.safety);
  const request = parseRequest(screenText(text, shield), surface, outside);
  const conversation = conversationOfRun(run, state);
  const isBeside = isSideBranch ?? !movesHead(run, state);
  const placement = continueSession(state, { request }, { response: undefined, isSideBranch: isBeside });
  const createdAt = lifetime.now();
  return {
    call: {
      id: newId("call", createdAt, state.objectId),
      sessionId: state.session.row.id,
      caller,
      headers: new Headers(headers),
      annotate: false,
      createdAt,
      contextMode: "stateful",
      runId: run.id,
      ...(conversation && { conversation }),
    },
    request: extendStep(request, definition, { isLast, isFirst: false }),
    shield,
    start: async (input, given) => {
      const ofTurn = (): ReturnType<typeof input> => ({ ...input(), ...(isChained && { isChained }) });
      const { context, started } = await placement.place(ofTurn, given);
      state.session.start(started);
      shield?.storeValues();
      const placed = conversation === undefined ? context : inConversation(context, conversation);
      return { ...placed, losses: request.losses };
    },
    receiver,
  };
}

/** A conversation has its instructions in its requests, and its turns stand on the line of the client's call. */
const inConversation = (
  { instructions: _, ...context }: Context,
  { isBeside = false }: { isBeside?: boolean },
): Context => ({ ...context, isBeside });

/** No client gets the answer. */
const UNREAD: StepReceiver = { push: () => {}, onRefused: () => {} };
