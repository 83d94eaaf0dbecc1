import { decrypt, deriveVaultKeys, encrypt } from "../../keys/vault.ts";
import { hasTable } from "../../session/schema.ts";
import type { SafetyPolicy } from "../../shield/policy.ts";
import type { Sql } from "../../store/sql.ts";
import type { TagVault } from "./call-shield.ts";

/** The profile's version that a session goes on with. */
export type PinnedProfile = { id: string; version: number; mode: NonNullable<SafetyPolicy["mode"]> };

const PIN = "profile";

/**
 * What a session's object holds for the shield: the version of its profile, and the values that tags stand for, encrypted. The table is
 * made by the first call that needs it.
 */
export class SessionShield {
  readonly #sql: Sql;
  #pinned: PinnedProfile | undefined;
  #isRead = false;
  #toPin: PinnedProfile | undefined;

  constructor(sql: Sql) {
    this.#sql = sql;
  }

  get pinned(): PinnedProfile | undefined {
    if (!this.#isRead) {
      const text = hasTable(this.#sql, "shield") ? this.#find(PIN) : undefined;
      this.#pinned = text === undefined ? undefined : (JSON.parse(text) as PinnedProfile);
      this.#isRead = true;
    }
    return this.#pinned;
  }

  /** The session goes on with this version from its next stored call on. */
  pin(profile: PinnedProfile | undefined): void {
    this.#toPin = profile;
  }

  /** The values of this session. `secret`: of the deployment; where it is another one now, no value is found. */
  vault(secret: string, org: string): TagVault {
    const keys = deriveVaultKeys([secret], `shield vault/${org}`);
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

  /** Stores the version that was pinned. The session exists by now. */
  store(): void {
    const pin = this.#toPin;
    if (pin === undefined || JSON.stringify(pin) === JSON.stringify(this.pinned)) return;
    this.#set(PIN, JSON.stringify(pin));
    this.#pinned = pin;
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
