import { findLongestKnownPrefix, hashAfter, ROOT } from "../../canonical/turn-hash.ts";
import type { PathParams } from "../../dialects/dialect.ts";
import { screenText } from "../../gateway/shield/screen-text.ts";
import type { Caller } from "../../keys/caller.ts";
import { shieldFor } from "../../platform/safety.ts";
import { findTranscript, newTranscriptId } from "../../platform/transcript-index.ts";
import { BY_TRANSCRIPT, type Conversation } from "../../surfaces/clients.ts";
import { type SurfaceId, SURFACES } from "../../surfaces/index.ts";
import { parseRequest, type RequestText } from "../../surfaces/request.ts";
import { raceTimeout } from "../../wire/time.ts";

type Located = {
  surface: SurfaceId;
  outside: PathParams;
  caller: Caller;
  env: Pick<Cloudflare.Env, "DIRECTORY" | "ORGANIZATIONS" | "RHONE_SHIELD_KEY">;
  ctx: Pick<ExecutionContext, "waitUntil">;
};

/** The longest beginnings of a transcript that are looked up: a client edits or repeats its newest messages. */
const MAX_LOOKED_UP = 16;
/** Beyond it, as after a failure of the index, the call starts a conversation of its own. */
const PATIENCE_MS = 2_000;

/**
 * The conversation that a transcript continues, for a key that asks for it (`defaults.conversation: "transcript"`): that of
 * the longest beginning which one of this key's conversations of the last 24 hours has, or else a new one.
 */
export async function findByTranscript(
  members: RequestText,
  { surface, outside, caller, env, ctx }: Located,
): Promise<Conversation> {
  // Conversations are indexed as they are stored: with tags in the place of values.
  const shield = await shieldFor(env, { caller, requested: members.rhone.safety }, (work) => ctx.waitUntil(work));
  const { messages } = parseRequest(screenText(members, shield), SURFACES[surface], outside);
  const firstReply = messages.findIndex(({ role }) => role === "assistant");
  const opening = hashAfter(ROOT, firstReply < 0 ? messages : messages.slice(0, firstReply));
  const hashes: string[] = [];
  findLongestKnownPrefix(messages, (hash) => void hashes.push(hash));
  const longestFirst = hashes.slice(-MAX_LOOKED_UP).toReversed();
  const found = findTranscript(env.DIRECTORY, caller, { opening, hashes: longestFirst });
  const known = await raceTimeout(found, PATIENCE_MS).catch((cause: unknown) =>
    console.error("no transcript was looked up", cause),
  );
  return { client: "other", id: known ?? newTranscriptId(opening), recognizedBy: BY_TRANSCRIPT };
}
