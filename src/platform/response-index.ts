import type { ResponseLocation } from "../session/directory/response-index.ts";
import { sha256 } from "../wire/hash.ts";
import { objectIdIn, withPrefix } from "../wire/id.ts";

type Directories = Cloudflare.Env["DIRECTORY"];

/**
 * Locates a response by its id. An id made by the gateway contains its location; an id made by a provider is looked up
 * in the index of this organisation only.
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

/** The organisation's index is sharded into 256 objects by a hash of the id, so that none is a bottleneck. */
export const responseIndexFor = (directories: Directories, org: string, id: string): ReturnType<Directories["get"]> =>
  directories.get(directories.idFromName(`${org}/${Buffer.from(sha256(id), "base64url").toString("hex").slice(0, 2)}`));
