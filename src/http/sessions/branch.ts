import { GatewayError } from "../../canonical/error.ts";
import type { Transform } from "../../session/history/branch.ts";
import { fromRpcResponse } from "../../canonical/rpc-error.ts";
import { type Http, type Passed, passed } from "./command.ts";
import { newSession, placeOfSession, stubAt } from "../../platform/session-stubs.ts";

export type Branching = {
  from?: string | undefined;
  isBefore?: boolean;
  transforms: readonly Transform[];
  id?: string | undefined;
};

/** Copies a session, up to a turn, into the object of a new one. What was copied no longer needs the old one. */
export async function branchSession(c: Http, parent: string, asked: Branching): Promise<Passed> {
  const { SESSIONS } = c.env;
  const { caller } = c.var;
  const { org } = caller;
  const parentPlace = placeOfSession(SESSIONS, org, parent);
  const minted = newSession(SESSIONS);
  const id = asked.id ?? minted.id;
  const place = placeOfSession(SESSIONS, org, id);
  const { from, isBefore, transforms } = asked;
  const exported = await fromRpcResponse(
    await stubAt(SESSIONS, parentPlace).perform({ do: "export", from, isBefore, transforms }, caller),
  );
  if (exported.body === null) throw new GatewayError("internal", "the branch could not be read");
  const made = await fromRpcResponse(
    await stubAt(SESSIONS, place).adopt(exported.body, { org, id, parent: parentPlace }),
  );
  const shown = await made.text();
  const { branched_from: origin } = JSON.parse(shown) as { branched_from: { turn_id: string | null } };
  await stubAt(SESSIONS, parentPlace).perform({ do: "noteBranch", session: id, turn: origin.turn_id }, caller);
  return passed(new Response(shown, made));
}
