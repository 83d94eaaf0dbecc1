import type { Caller } from "../../keys/caller.ts";
import { decrypt, deriveVaultKeys, encrypt } from "../../keys/vault.ts";
import { findCallState } from "../../session/calls.ts";
import type { ShieldRow } from "../../session/history/branch.ts";
import { hasTable } from "../../session/schema.ts";
import type { Session } from "../../session/session.ts";
import { listLeaves } from "../../shield/json-leaves.ts";
import { isThought, kindOf } from "../../shield/leaf-kind.ts";
import type { SafetyPolicy } from "../../shield/policy.ts";
import { restoreLeaves } from "../../shield/restore.ts";
import type { Sql } from "../../store/sql.ts";
import { tryParseJson } from "../../wire/json.ts";
import { splice } from "../../wire/splice.ts";
import type { TagVault } from "./call-shield.ts";

/** The profile's version that a session goes on with. */
export type PinnedProfile = { id: string; version: number; mode: NonNullable<SafetyPolicy["mode"]> };

const PIN = "profile";

/**
 * What a session's object holds for the shield: the version of its profile, and the values that tags stand for, encrypted. The table is
 * made by the first call that needs it.
 */
export class SessionShield {
  readonly #session: Pick<Session, "exists">;
  readonly #sql: Sql;
  readonly #secret: string;
  #pinned: PinnedProfile | undefined;
  #isRead = false;

  /** `secret`: of the deployment; where it is another one than before, no value is found. */
  constructor(session: Pick<Session, "exists">, sql: Sql, secret: string) {
    this.#session = session;
    this.#sql = sql;
    this.#secret = secret;
  }

  get pinned(): PinnedProfile | undefined {
    if (!this.#isRead && this.#session.exists) {
      const text = hasTable(this.#sql, "shield") ? this.#find(PIN) : undefined;
      this.#pinned = text === undefined ? undefined : (JSON.parse(text) as PinnedProfile);
      this.#isRead = true;
    }
    return this.#pinned;
  }

  /** The session goes on with this version, unless another call has pinned one since `found` was. It exists by now. */
  pin(profile: PinnedProfile | undefined, found: PinnedProfile | undefined): void {
    if (profile === undefined || this.pinned !== found || JSON.stringify(profile) === JSON.stringify(found)) return;
    this.#set(PIN, JSON.stringify(profile));
    this.#pinned = profile;
  }

  /** The values of this session. */
  vault(org: string): TagVault {
    const keys = deriveVaultKeys([this.#secret], `shield vault/${org}`);
    const owner = (tag: string): string => `${org}/${tag}`;
    return {
      get: (tag) => {
        const sealed = hasTable(this.#sql, "shield") ? this.#find(tag) : undefined;
        return sealed === undefined ? undefined : decrypt(sealed, owner(tag), keys);
      },
      add: (values) => {
        for (const [tag, value] of values)
          if (this.#findOrNone(tag, owner(tag), keys) !== value) this.#set(tag, encrypt(value, owner(tag), keys));
      },
    };
  }

  /** A stored answer as the key sees it whose call made it: with its own values in the place of their tags. */
  restore(json: string, call: string, { org, keyId }: Pick<Caller, "org" | "keyId">): string {
    if (this.#secret === "" || !hasTable(this.#sql, "shield")) return json;
    if (findCallState(this.#sql, call)?.started.keyId !== keyId) return json;
    const shown = [...listLeaves(json)].filter((leaf) => !isThought(leaf) && kindOf(json, leaf) === "text");
    return splice(json, restoreLeaves(json, shown, this.vault(org).get));
  }

  /** As `restore`, for the arguments of a call: no name in them is the wire's. Such that are no JSON stay as they are. */
  restoreArguments(args: string, call: string, viewer: Pick<Caller, "org" | "keyId">): string {
    if (tryParseJson(args) === undefined) return args;
    const [before, behind] = ['[{"arguments":', "}]"];
    return this.restore(before + args + behind, call, viewer).slice(before.length, -behind.length);
  }

  /** All that is stored, as it is stored; without values, the version alone. */
  listRows({ withValues }: { withValues: boolean }): ShieldRow[] {
    if (!hasTable(this.#sql, "shield")) return [];
    return this.#sql<ShieldRow>("SELECT name, value FROM shield WHERE ? OR name = ?", withValues ? 1 : 0, PIN);
  }

  /** Takes over what another session of the organisation has. */
  addRows(rows: readonly ShieldRow[]): void {
    for (const { name, value } of rows) this.#set(name, value);
    this.clear();
  }

  /** Forgets what it has read. */
  clear(): void {
    this.#pinned = undefined;
    this.#isRead = false;
  }

  #findOrNone(tag: string, owner: string, keys: Parameters<typeof decrypt>[2]): string | undefined {
    const sealed = this.#find(tag);
    return sealed === undefined ? undefined : decrypt(sealed, owner, keys);
  }

  #find(name: string): string | undefined {
    return this.#sql<{ value: string }>("SELECT value FROM shield WHERE name = ?", name)[0]?.value;
  }

  #set(name: string, value: string): void {
    this.#sql("INSERT OR REPLACE INTO shield (name, value) VALUES (?, ?)", name, value);
  }
}
