import { z } from "zod";
import { invalid } from "../../canonical/error.ts";
import type { SessionCall } from "../../gateway/call/call.ts";
import { sessionObjectId, requireStub } from "../../platform/session-stubs.ts";
import type { ReplayTurn } from "../../session/history/replay-plan.ts";
import { toRpcText } from "../../wire/bytes.ts";
import { newId, withPrefix } from "../../wire/id.ts";
import { isObject, type JsonObject, parseJson } from "../../wire/json.ts";
import { branchSession } from "./branch.ts";
import { sendCommand, type Http } from "./command.ts";

/** Bounds the duration of one request. Longer sessions are replayed in parts. */
const MAX_TURNS = 64;

export const replayRequest = z
  .strictObject({
    from: z
      .string()
      .min(1)
      .max(200)
      .optional()
      .meta({ description: "The first turn to replay; the last turn of the session if absent." }),
    model: z
      .string()
      .min(1)
      .optional()
      .meta({ description: "The model for all turns; each turn's own model if absent." }),
    dry_run: z.boolean().optional().meta({ description: "Whether to return the requests without sending them." }),
  })
  .meta({ id: "ReplayRequest" });

/**
 * Replays the turns from `from` on, one after another, in a branch that starts before them. The session itself stays
 * unchanged. Ends with the first turn that fails.
 */
export async function replay(
  c: Http,
  id: string,
  { from, model, dry_run: isDry = false }: z.infer<typeof replayRequest>,
): Promise<Response> {
  const listed = await sendCommand(c, id, { do: "replayable", from });
  const turns = await listed.json<ReplayTurn[]>();
  const first = turns[0];
  if (first === undefined) throw invalid("from", "expected a session that has a turn");
  if (turns.length > MAX_TURNS)
    throw invalid("from", `expected at most ${MAX_TURNS} turns from this one on; there are ${turns.length}`);
  const nameless = turns.find((turn) => (model ?? turn.model) === undefined);
  if (nameless !== undefined)
    throw invalid("model", "expected the name of a model: a copied turn has no model of its own");
  const request = turns.map((turn) => ({ replay_of: turn.turn_id, model: (model ?? turn.model)!, input: turn.input }));
  if (isDry) return c.json({ object: "replay", dry_run: true, session_id: null, turns: request });
  const branch = await (
    await branchSession(c, id, { from: first.turn_id, isBefore: true, transforms: [] })
  ).json<{ id: string }>();
  const replayed: JsonObject[] = [];
  for (const turn of request) {
    const result = await replayTurn(c, branch.id, turn);
    replayed.push(result);
    if (result.status !== "completed") break;
  }
  return c.json({ object: "replay", dry_run: false, session_id: branch.id, turns: replayed });
}

type Turn = { replay_of: string; model: string; input: ReplayTurn["input"] };

async function replayTurn(c: Http, sessionId: string, { replay_of, model, input }: Turn): Promise<JsonObject> {
  const { caller } = c.var;
  const { SESSIONS } = c.env;
  const createdAt = Date.now();
  const objectId = sessionObjectId(SESSIONS, caller.org, sessionId);
  const callId = newId("call", createdAt, objectId);
  const call: SessionCall = {
    id: callId,
    sessionId,
    caller,
    annotate: false,
    createdAt,
    headers: [],
    surface: "native",
    outside: {},
    text: toRpcText(JSON.stringify({ model, input })),
    isNew: false,
  };
  const response = await requireStub(SESSIONS, objectId).call(call);
  const body = parseJson(await response.text());
  const common = { replay_of, call_id: callId, model };
  if (!response.ok || !isObject(body))
    return { ...common, status: "failed", ...(isObject(body) && { error: body.error ?? null }) };
  return { ...common, status: "completed", turn_id: withPrefix(callId, "turn"), output: body.output ?? [] };
}
