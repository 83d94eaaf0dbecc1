import { continueSession } from "../../gateway/session/placement.ts";
import { screenText } from "../../gateway/shield/screen-text.ts";
import { toTurn } from "../../session/context.ts";
import { SURFACES } from "../../surfaces/index.ts";
import { parseRequest, readMembers } from "../../surfaces/request.ts";
import { newId } from "../../wire/id.ts";
import type { RunDefinition } from "../state/definition.ts";
import type { Run } from "../state/run.ts";
import { toModelTool } from "../state/tool.ts";
import type { ModelCallServices, NextStep, StepCall, StepForm, StepReply } from "./step-form.ts";

/** The body of a run's next call, as a client would send it. Instructions come until a turn has them: they become the session's. */
export function toCallText({
  definition,
  run,
  isLast,
}: {
  definition: RunDefinition;
  run: Run;
  isLast: boolean;
}): string {
  const { instructions, ...call } = definition.call;
  const { tools, limits } = definition;
  const body = {
    ...call,
    ...(run.turns === 0 && instructions !== undefined && { instructions }),
    ...(tools.length > 0 && {
      tools: tools.map(toModelTool),
      parallel_tools: limits.parallel_tools,
      ...(isLast && { tool_choice: "none" }),
    }),
    stream: true,
  };
  return `${JSON.stringify(body).slice(0, -1)},"input":${run.input}}`;
}

/** The steps of a run that its client has started as one: native calls, each behind the session's head. */
export class NativeSteps implements StepForm {
  readonly isInCall = false;
  readonly #run: Run;
  readonly #definition: RunDefinition;
  readonly #services: ModelCallServices;

  constructor(run: Run, definition: RunDefinition, services: ModelCallServices) {
    this.#run = run;
    this.#definition = definition;
    this.#services = services;
  }

  /** The run waits for its client's tools. */
  isClients(): boolean {
    return false;
  }

  async prepare({ caller, isLast, isApproved }: NextStep): Promise<StepCall> {
    const { state, models, lifetime } = this.#services;
    const { session, objectId } = state;
    const createdAt = lifetime.now();
    const headers = new Headers();
    const text = toCallText({ definition: this.#definition, run: this.#run, isLast });
    const members = readMembers(text, headers, SURFACES.native);
    const shield = await models.shield(caller, members.rhone.safety, isApproved);
    const request = parseRequest(screenText(members, shield), SURFACES.native);
    const placement = continueSession(state, { request }, { response: undefined, isSideBranch: false });
    return {
      call: {
        id: newId("call", createdAt, objectId),
        sessionId: session.row.id,
        caller,
        headers,
        annotate: false,
        createdAt,
        contextMode: "stateful",
        runId: this.#run.id,
      },
      request,
      shield,
      start: async (input, given) => {
        const { context, started } = await placement.place(input, given);
        session.start(started);
        shield?.storeValues();
        return { ...context, losses: request.losses };
      },
    };
  }

  toTurn({ record, completed }: StepReply): ReturnType<StepForm["toTurn"]> {
    return toTurn(record, completed);
  }

  async commit({ record, completed }: StepReply, also: () => void): Promise<void> {
    this.#services.state.session.commit(record, completed, undefined, also);
  }
}
