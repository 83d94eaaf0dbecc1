import type { Caller } from "../../keys/caller.ts";
import { toApiBlocks } from "../../session/history/views.ts";
import { findTurn } from "../../session/turns.ts";
import { withPrefix } from "../../wire/id.ts";
import { type Json, parseJson } from "../../wire/json.ts";
import type { RunServices } from "../services.ts";

/** What a plain call has sent and received, in blocks: nothing if its session has no turn of it. */
export type PlainContent = { input?: Json[]; output?: Json[] };

/** The content of the plain call that is a run. `output`: with the values of the viewer's own key in the place of their tags. */
export async function readPlainContent(
  run: string,
  { org, keyId }: Pick<Caller, "org" | "keyId">,
  { state }: Pick<RunServices, "state">,
): Promise<PlainContent> {
  const turn = findTurn(state.sql, withPrefix(run, "turn"));
  if (turn === undefined) return {};
  const [input, output] = await Promise.all([
    toApiBlocks(turn.input, state.blobs),
    toApiBlocks(turn.output, state.blobs),
  ]);
  const shown = state.shield.restore(JSON.stringify(output), withPrefix(run, "call"), { org, keyId });
  return { input, output: parseJson(shown) as Json[] };
}
