import { fromRpcResponse } from "../canonical/rpc-error.ts";
import { type FindItems, findInOrder } from "../gateway/responses/references.ts";
import type { StoredItem, StoredOnly } from "../gateway/responses/stored-items.ts";
import type { ResponseLocation } from "../session/directory/response-index.ts";
import { objectIdOfItem } from "../wire/id.ts";
import { parseJson } from "../wire/json.ts";
import { raceTimeout } from "../wire/time.ts";
import { responseIndexFor } from "./response-index.ts";
import { stubFor } from "./session-stubs.ts";

type Objects = Pick<Cloudflare.Env, "SESSIONS" | "DIRECTORY">;

/** Makes output items of a stored response findable by their ids in its organisation. Durable when it resolves. */
export async function indexItems(
  { DIRECTORY: directories }: Objects,
  org: string,
  ids: readonly string[],
  at: ResponseLocation,
): Promise<void> {
  await Promise.all(ids.map((id) => responseIndexFor(directories, org, keyOf(id)).putItem(keyOf(id), at)));
}

/**
 * Finds items of the organisation's stored responses. Those of stateless calls are stored after their answers: it waits
 * for the ones that this isolate is still storing.
 */
export async function findResponseItems(env: Objects, org: string, ids: readonly string[]): ReturnType<FindItems> {
  const locate: FindItems = (some) => findLocatedItems(env, org, some);
  return await findInOrder(locate, async (missing) => ((await awaitStoring(org)) ? await locate(missing) : []))(ids);
}

async function findLocatedItems(env: Objects, org: string, ids: readonly string[]): ReturnType<FindItems> {
  const located = await Promise.all(ids.map((id) => findLocation(env, org, id)));
  const groups = Map.groupBy(
    located.filter((one) => one !== undefined),
    ({ place, call = "" }) => `${place} ${call}`,
  );
  const items = await Promise.all(
    Array.from(groups.values(), (group) => {
      const [{ place, call }] = group as [ItemLocation, ...ItemLocation[]];
      const only = call === undefined ? {} : { call };
      return findItemsIn(env, { org, objectId: place, ids: group.map(({ id }) => id), only });
    }),
  );
  return items.flat();
}

/** Where an item is. An id that leads to its session does not tell the call. */
type ItemLocation = { id: string; place: string; call?: string };

/** An id made by the gateway contains its location; any other one is looked up in the index of this organisation only. */
async function findLocation(
  { DIRECTORY: directories }: Objects,
  org: string,
  id: string,
): Promise<ItemLocation | undefined> {
  const objectId = objectIdOfItem(id);
  if (objectId !== undefined) return { id, place: objectId };
  const location = await responseIndexFor(directories, org, keyOf(id)).find(keyOf(id));
  return location === undefined ? undefined : { place: location.place, call: location.call, id };
}

/** The key of an item in the index, apart from those of responses. */
const keyOf = (id: string): string => `item/${id}`;

/** Items of a session by their ids; `only`: as for `findStoredItems`. None if the session does not exist. */
async function findItemsIn(
  { SESSIONS: sessions }: Objects,
  { org, objectId, ids, only }: { org: string; objectId: string; ids: readonly string[]; only?: StoredOnly },
): ReturnType<FindItems> {
  const answered = await stubFor(sessions, objectId)?.findItems(org, ids, only);
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
  const elsewhere: FindItems = (ids) => findResponseItems(env, org, ids);
  return findInOrder(...(objectId === undefined ? [] : [own]), ...(session === undefined ? [elsewhere] : []));
}

/** By organisation: stored responses and completions of stateless calls that this isolate is writing to their sessions. */
const STORING = new Map<string, Set<Promise<unknown>>>();
/** Milliseconds. The runtime may cancel the request that writes, and its promise then never settles. */
const STORING_LIMIT = 1_000;

/** Lets searches for items wait for this write. */
export function trackStoring(org: string, work: Promise<unknown>): void {
  const all = STORING.get(org) ?? new Set();
  STORING.set(org, all.add(work));
  const forget = (): void => {
    all.delete(work);
    if (all.size === 0 && STORING.get(org) === all) STORING.delete(org);
  };
  work.then(forget, forget);
}

/** Resolves when the organisation's writes of now have settled; to false at once if there are none. */
export async function awaitStoring(org: string): Promise<boolean> {
  const all = STORING.get(org);
  if (all === undefined) return false;
  if ((await raceTimeout(Promise.allSettled(all), STORING_LIMIT)) === undefined) STORING.delete(org);
  return true;
}
