import { invalid } from "../../canonical/error.ts";
import type { Blobs } from "../../store/blobs.ts";
import type { Sql } from "../../store/sql.ts";
import { withPrefix } from "../../wire/id.ts";
import type { Json } from "../../wire/json.ts";
import { findCallState } from "../calls.ts";
import type { Session } from "../session.ts";
import { findFirstStep } from "../turns.ts";
import { toApiBlocks } from "./views.ts";

/** The input of a turn, to be sent again. `model`: the requested one; absent for a turn copied from another session. */
export type ReplayTurn = { turn_id: string; model?: string; input: Json[] };

/** The turns on the path to the head from the turn `from` on; only the last one if it is undefined. Throws `object.not_found`, `request.invalid`. */
export async function listReplayTurns(
  session: Session,
  sql: Sql,
  blobs: Blobs,
  from: string | undefined,
): Promise<ReplayTurn[]> {
  const turns = session.path.flatMap(({ id, kind }, at, path) =>
    kind === "compaction" || kind === "step" ? [] : [{ id, input: path[findFirstStep(path, at)]!.input }],
  );
  const first = from === undefined ? undefined : session.pathOf(from, "from").at(-1)?.id;
  const at = from === undefined ? turns.length - 1 : turns.findIndex(({ id }) => id === first);
  if (from !== undefined && at < 0) throw invalid("from", "expected a turn on the path to the head");
  return Promise.all(
    turns.slice(Math.max(at, 0)).map(async ({ id, input }) => {
      const model = findCallState(sql, withPrefix(id, "call"))?.started.modelAsked;
      return { turn_id: id, ...(model !== undefined && { model }), input: await toApiBlocks(input, blobs) };
    }),
  );
}
