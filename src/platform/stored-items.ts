import { fromRpcResponse } from "../canonical/rpc-error.ts";
import { type FindItems, findInOrder } from "../gateway/responses/references.ts";
import type { StoredItem } from "../gateway/responses/stored-items.ts";
import type { ResponseLocation } from "../session/response-index.ts";
import { parseJson } from "../wire/json.ts";
import { sleep } from "../wire/time.ts";
import { responseIndexFor } from "./response-index.ts";
import { stubFor } from "./session-stubs.ts";

type Objects = Pick<Cloudflare.Env, "SESSIONS" | "DIRECTORY">;

/** How often, and after how many milliseconds, an unknown item is looked for again: a stateless call is stored after its answer. */
const RETRIES = 5;
const RETRY_INTERVAL = 200;

/** Makes output items of a stored response findable by their ids in its organisation. Durable when it resolves. */
export async function indexItems(
  { DIRECTORY: directories }: Objects,
  org: string,
  ids: readonly string[],
  at: ResponseLocation,
): Promise<void> {
  await Promise.all(ids.map((id) => responseIndexFor(directories, org, keyOf(id)).putItem(keyOf(id), at)));
}

/** Finds items of the organisation's stored responses by the index. Waits for those of a stateless call that has just ended. */
export async function findIndexedItems(env: Objects, org: string, ids: readonly string[]): ReturnType<FindItems> {
  const found: StoredItem[] = [];
  for (let tries = 0; ; tries++) {
    const missing = ids.filter((id) => !found.some((item) => item.id === id));
    const located = await Promise.all(missing.map((id) => findLocation(env, org, id)));
    const groups = Map.groupBy(
      located.filter((one) => one !== undefined),
      ({ call }) => call,
    );
    const items = await Promise.all(
      Array.from(groups, ([call, some]) =>
        findItemsIn(env, { org, objectId: some[0]!.place, ids: some.map(({ id }) => id), call }),
      ),
    );
    found.push(...items.flat());
    const isComplete = located.every((one) => one !== undefined);
    if (isComplete || tries === RETRIES) return found;
    await sleep(RETRY_INTERVAL);
  }
}

async function findLocation(
  { DIRECTORY: directories }: Objects,
  org: string,
  id: string,
): Promise<(ResponseLocation & { id: string }) | undefined> {
  const location = await responseIndexFor(directories, org, keyOf(id)).find(keyOf(id));
  return location === undefined ? undefined : { place: location.place, call: location.call, id };
}

/** The key of an item in the index, apart from those of responses. */
const keyOf = (id: string): string => `item/${id}`;

/** Items of a session, or of one call in it, by their ids. None if the session does not exist. */
export async function findItemsIn(
  { SESSIONS: sessions }: Objects,
  { org, objectId, ids, call }: { org: string; objectId: string; ids: readonly string[]; call?: string },
): ReturnType<FindItems> {
  const answered = await stubFor(sessions, objectId)?.findItems(org, ids, call);
  if (answered === undefined) return [];
  return parseJson(await (await fromRpcResponse(answered)).text()) as unknown as StoredItem[];
}

/**
 * The items that a request of this caller may reference: of the session `objectId`, then of all stored responses of the
 * organisation. A client token may read its own session only.
 */
export function itemsFor(
  env: Objects,
  { org, session }: { org: string; session?: string },
  objectId: string | undefined,
): FindItems {
  const own: FindItems = (ids) => findItemsIn(env, { org, objectId: objectId!, ids });
  const elsewhere: FindItems = (ids) => findIndexedItems(env, org, ids);
  return findInOrder(...(objectId === undefined ? [] : [own]), ...(session === undefined ? [elsewhere] : []));
}
