import type { Caller } from "../keys/caller.ts";

type Directories = Cloudflare.Env["DIRECTORY"];

/**
 * The id of a conversation that is recognised by its transcript. A hash of the words that open it comes first in it: by that,
 * its index is found.
 */
export const newTranscriptId = (opening: string): string => `${opening}.${crypto.randomUUID()}`;

/** The conversation of the first of these transcripts that the key's index knows. `opening`: the hash of what opens them. */
export async function findTranscript(
  directories: Directories,
  caller: Owner,
  { opening, hashes }: { opening: string; hashes: readonly string[] },
): Promise<string | undefined> {
  return hashes.length === 0 ? undefined : await shardFor(directories, caller, opening).findTranscript(hashes);
}

/** Makes a conversation findable by the hash of its transcript. Never throws: at worst the next call starts a new one. */
export async function indexTranscript(
  directories: Directories,
  caller: Owner,
  { conversation, hash }: { conversation: string; hash: string },
): Promise<void> {
  const opening = conversation.slice(0, conversation.indexOf("."));
  await shardFor(directories, caller, opening)
    .putTranscript(hash, conversation)
    .catch((cause: unknown) => console.error("transcript not indexed", cause));
}

type Owner = Pick<Caller, "org" | "keyId">;

/** The shard that has all transcripts with an opening. The index of a key has 256. */
function shardFor(directories: Directories, { org, keyId }: Owner, opening: string): ReturnType<Directories["get"]> {
  const shard = Buffer.from(opening, "base64url").toString("hex").slice(0, 2);
  return directories.get(directories.idFromName(`${org}/transcripts/${keyId}/${shard}`));
}
