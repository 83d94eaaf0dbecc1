import type { ResponseLocation } from "../session/response-index.ts";
import { sha256 } from "../wire/hash.ts";
import { objectIdIn, withPrefix } from "../wire/id.ts";

type Directories = Cloudflare.Env["DIRECTORY"];

/**
 * Where the response with this id is, for this organisation. Ids of ours say it themselves; those that providers gave
 * stand in the organisation's directory, and nobody else's is ever asked.
 */
export async function findResponseLocation(
  directories: Directories,
  org: string,
  id: string,
): Promise<ResponseLocation | undefined> {
  const objectId = objectIdIn("resp", id);
  if (objectId !== undefined) return { place: objectId, call: withPrefix(id, "call") };
  return await responseIndexFor(directories, org, id).find(id);
}

/** Many shards of one organisation, so that none is a bottleneck: which one is a matter of the id alone. */
export const responseIndexFor = (directories: Directories, org: string, id: string): ReturnType<Directories["get"]> =>
  directories.get(directories.idFromName(`${org}/${Buffer.from(sha256(id), "base64url").toString("hex").slice(0, 2)}`));
