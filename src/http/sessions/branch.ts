import { GatewayError } from "../../canonical/error.ts";
import { fromRpcResponse } from "../../canonical/rpc-error.ts";
import { newSessionId, sessionObjectId, requireStub } from "../../platform/session-stubs.ts";
import type { Transform } from "../../session/history/branch.ts";
import { type Http, type SessionResponse, withMutableHeaders } from "./command.ts";

/** `from`: the last turn to copy, or with `isBefore` the first one not to copy. `id`: the new session's, if chosen. */
type BranchRequest = {
  from?: string | undefined;
  isBefore?: boolean;
  transforms: readonly Transform[];
  id?: string | undefined;
};

/** Copies a session up to a turn into the object of a new session. The copy does not depend on the original. */
export async function branchSession(c: Http, parent: string, request: BranchRequest): Promise<SessionResponse> {
  const { SESSIONS } = c.env;
  const { caller } = c.var;
  const { org } = caller;
  const parentObjectId = sessionObjectId(SESSIONS, org, parent);
  const created = newSessionId(SESSIONS);
  const id = request.id ?? created.id;
  const objectId = sessionObjectId(SESSIONS, org, id);
  const { from, isBefore, transforms } = request;
  const exported = await fromRpcResponse(
    await requireStub(SESSIONS, parentObjectId).perform({ do: "export", from, isBefore, transforms }, caller),
  );
  if (exported.body === null) throw new GatewayError("internal", "the branch could not be read");
  const made = await fromRpcResponse(
    await requireStub(SESSIONS, objectId).adopt(exported.body, { org, id, parent: parentObjectId }),
  );
  const response = await made.text();
  const { branched_from: origin } = JSON.parse(response) as { branched_from: { turn_id: string | null } };
  await requireStub(SESSIONS, parentObjectId).perform({ do: "noteBranch", session: id, turn: origin.turn_id }, caller);
  return withMutableHeaders(new Response(response, made));
}
