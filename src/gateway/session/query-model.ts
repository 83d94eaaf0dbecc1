import { GatewayError } from "../../canonical/error.ts";
import { textOfBlocks } from "../../canonical/text.ts";
import type { Message } from "../../canonical/types.ts";
import type { Caller } from "../../keys/caller.ts";
import { SURFACES } from "../../surfaces/index.ts";
import { parseRequest, readMembers } from "../../surfaces/request.ts";
import { newId } from "../../wire/id.ts";
import type { CallHost } from "../call/call.ts";
import { generate } from "../generation.ts";
import type { ModelServices, ObjectLifetime, SessionState } from "./services.ts";

/** What a query of the gateway itself needs. `caller`: its account is charged, its credentials are used. */
type ModelQueryServices = {
  state: Pick<SessionState, "session" | "objectId">;
  models: ModelServices;
  lifetime: Pick<ObjectLifetime, "now" | "durable">;
  caller: Caller;
};

/** The members of a native request: a model's name as callers write it, the system text, the user's text. */
type ModelQuery = { model: string; instructions: string; input: string };

/**
 * Sends a query to a model along the same path as a client's call, and returns the text of the reply. The query is
 * recorded as a call of the session (and charged), but adds no turn. Throws the provider's error, and
 * `provider.execution_failed` for an empty reply.
 */
export async function queryModel(
  query: ModelQuery,
  { state: { session, objectId }, models, lifetime: { now, durable }, caller }: ModelQueryServices,
): Promise<string> {
  const { id: sessionId } = session.row;
  const createdAt = now();
  let modelReply: readonly Message[] = [];
  let failure: GatewayError | undefined;
  const host: CallHost = {
    providers: await models.providers(caller.org),
    router: models.router(),
    carried: models.carried(caller.org),
    budgets: models.budgets,
    lifetime: { now, waitUntil: () => {} },
    store: {
      start: async (_, started) => {
        session.start(started);
        return { parent: undefined, history: [], known: 0 };
      },
      commit: async ({ turnId: _, ...record }, answer) => {
        modelReply = answer?.response.messages ?? [];
        session.fail(record);
        await durable();
      },
      fail: async (record, error, partial) => {
        failure = new GatewayError(error.code, error.message, { status: error.status });
        session.fail(record, partial?.items);
        await durable();
      },
    },
  };
  const call = {
    id: newId("call", createdAt, objectId),
    sessionId,
    caller,
    headers: new Headers(),
    annotate: false,
    createdAt,
    contextMode: "stateless" as const,
  };
  const request = parseRequest(readMembers(JSON.stringify(query), call.headers), SURFACES.native);
  await (await generate(call, request, host)).body?.cancel();
  const text = textOfBlocks(modelReply.flatMap(({ blocks }) => blocks));
  if (failure !== undefined) throw failure;
  if (text.trim() === "")
    throw new GatewayError("provider.execution_failed", `model: ${query.model} returned no text`, { param: "model" });
  return text;
}
