import type { Budgets } from "../gateway/call/charge.ts";
import { ADMIN_KEY_ID } from "../keys/authenticate.ts";
import { parseAccountName } from "../keys/budget/account-name.ts";
import { type AccountClient, GrantPool } from "../keys/budget/grant-pool.ts";
import type { Settlement } from "../keys/budget/grant.ts";
import type { UsageReport } from "../keys/budget/wait-queue.ts";
import { KeyCache } from "../keys/key-cache.ts";
import type { StoredRecord } from "../store/records.ts";
import { encodeObjectId, objectIdIn } from "../wire/id.ts";
import { sleep } from "../wire/time.ts";
import { parseObjectId } from "./session-stubs.ts";

/** Key cache and grants of this isolate, shared by its requests and objects: plain data, bound to no request. */
export const keyCache = new KeyCache(Date.now);
const grantPool = new GrantPool(Date.now, sleep);

type Keys = Cloudflare.Env["KEYS"];
/** An object's methods as seen over RPC. The platform's own stub type recurses too deeply on nested types. */
type Remote<Namespace> =
  Namespace extends DurableObjectNamespace<infer ObjectClass>
    ? {
        [Name in keyof ObjectClass]: ObjectClass[Name] extends (...args: infer Args) => infer Result
          ? (...args: Args) => Promise<Awaited<Result>>
          : never;
      }
    : never;
export type KeyStub = Remote<Keys>;
export type OrganizationStub = Remote<Cloudflare.Env["ORGANIZATIONS"]>;
type Objects = Pick<Cloudflare.Env, "KEYS" | "ORGANIZATIONS">;

/** A new key's object and its encoded id. */
export function newKeyObject(keys: Keys): { stub: KeyStub; objectId: string } {
  const id = keys.newUniqueId();
  return { stub: keys.get(id) as unknown as KeyStub, objectId: encodeObjectId(id.toString()) };
}

/** The object of a key, by the object id in its secret or its id; `undefined` if that is malformed or of another deployment. */
export function keyStubAt(keys: Keys, objectId: string | undefined): KeyStub | undefined {
  const id = objectId === undefined ? undefined : parseObjectId(keys, objectId);
  return id === undefined ? undefined : (keys.get(id) as unknown as KeyStub);
}

export const keyStubForId = (keys: Keys, id: string): KeyStub | undefined => keyStubAt(keys, objectIdIn("key", id));

export const organizationStub = ({ ORGANIZATIONS }: Pick<Objects, "ORGANIZATIONS">, org: string): OrganizationStub =>
  ORGANIZATIONS.get(ORGANIZATIONS.idFromName(org)) as unknown as OrganizationStub;

/** Reserves and settles what calls cost in the accounts of their keys. The bootstrap key has no budgets. */
export function createBudgets(env: Objects, waitUntil: (work: Promise<unknown>) => void): Budgets {
  const poolServices = { client: accountClient(env), waitUntil };
  return {
    reserve: async (call, caller, tags, estimate) => {
      if (caller.keyId === ADMIN_KEY_ID) return undefined;
      const payers = { key: caller.keyId, parents: caller.payers ?? [], organization: caller.org, tags };
      return await grantPool.reserve(call, payers, await estimate(), poolServices);
    },
    settle: ({ id, charge }) => {
      if (charge !== undefined) grantPool.settle(id, charge.parts, charge, poolServices);
    },
  };
}

/**
 * Settles the calls of these records with their accounts, in case the isolate that ran them has died. Settling is
 * idempotent. Returns `undefined` if no record has a charge, as most do not.
 */
export function settleRecords(env: Objects, records: readonly StoredRecord[]): Promise<unknown> | undefined {
  const reports = new Map<string, Settlement[]>();
  for (const record of records) {
    if ("object" in record || record.charge === undefined) continue;
    const { parts, micros, tokens } = record.charge;
    const took = { micros, tokens };
    for (const { account, grant, ...held } of parts) {
      const settled = { grant, call: record.id, held, took };
      reports.set(account, [...(reports.get(account) ?? []), settled]);
    }
  }
  if (reports.size === 0) return undefined;
  const client = accountClient(env);
  return Promise.all([...reports].map(([account, settled]) => client.report(account, { settled, unused: [] })));
}

/** Calls the accounts' objects: keys by their id, organisations and tags by the organisation's name. */
function accountClient(env: Objects): AccountClient {
  return {
    take: async (account, need, report) => {
      const { id, tag, isPayer } = parseAccountName(account);
      const key = keyStubForId(env.KEYS, id);
      return await (key === undefined
        ? organizationStub(env, id).take(tag, need, report)
        : key.take(!isPayer, need, report));
    },
    report: async (account, report: UsageReport) => {
      const { id, tag } = parseAccountName(account);
      const key = keyStubForId(env.KEYS, id);
      await (key === undefined ? organizationStub(env, id).report(tag, report) : key.report(report));
    },
  };
}
