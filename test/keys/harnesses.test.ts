import { beforeEach, describe, expect, it } from "vitest";
import { defaultHarnessOf, harnessIdOf, parseHarnessId } from "../../src/keys/harness-id.ts";
import {
  addHarness,
  findStoredHarness,
  listHarnesses,
  listHarnessVersions,
  removeHarness,
} from "../../src/keys/harnesses.ts";
import { ORGANIZATION_MIGRATIONS } from "../../src/keys/organization.ts";
import { inheritPolicy, newPolicySchema, type Policy, requireSubset } from "../../src/keys/policy.ts";
import { withLaterScopes } from "../../src/keys/scopes.ts";
import { pendingAuditEvents } from "../../src/store/audit-outbox.ts";
import { migrate, type Storage } from "../../src/store/sql.ts";
import { openSql, toStorage } from "../support/sqlite.ts";

let storage: Storage;
beforeEach(() => {
  storage = toStorage(openSql());
  migrate(storage, ORGANIZATION_MIGRATIONS);
});

const BY = { org: "org_default", actor: "key_admin", at: 1_000 };
const add = (name: string, body = "{}"): number | undefined => addHarness(storage, { name, body }, BY)?.version;
const remove = (name: string): boolean => removeHarness(storage, name, { ...BY, at: 2_000 });

describe("the harnesses of an organisation", () => {
  it("a version is added with each other body, and stays as it is", () => {
    expect([add("a", "1"), add("a", "2"), add("a", "2"), add("a", "1")]).toEqual([1, 2, 2, 3]);
    expect(findStoredHarness(storage, "a")).toEqual({ name: "a", version: 3, body: "1", createdAt: 1_000 });
    expect(findStoredHarness(storage, "a", 2)?.body).toBe("2");
    expect([findStoredHarness(storage, "a", 4), findStoredHarness(storage, "b")]).toEqual([undefined, undefined]);
  });

  it("a name that was deleted goes on counting, and its versions are gone with what they said", () => {
    add("a", "private");
    add("a", "2");
    expect([remove("a"), remove("a"), remove("b")]).toEqual([true, false, false]);
    expect([findStoredHarness(storage, "a"), findStoredHarness(storage, "a", 1)]).toEqual([undefined, undefined]);
    expect(listHarnesses(storage, { limit: 10 }).found).toEqual([]);
    expect(JSON.stringify(storage.sql("SELECT * FROM harnesses"))).not.toContain("private");
    expect(add("a", "private")).toBe(3);
    expect(findStoredHarness(storage, "a", 1)).toBeUndefined();
    expect(listHarnessVersions(storage, { name: "a", limit: 10 }).found.map(({ version }) => version)).toEqual([3]);
  });

  it("an organisation has 200 names, and of each as many versions as it writes", () => {
    for (let n = 0; n < 200; n++) add(`n${n}`);
    expect([add("other"), add("n7", "2")]).toEqual([undefined, 2]);
    remove("n8");
    expect(add("other")).toBe(1);
    expect(add("n8")).toBeUndefined();
  });

  it("pages of names and of versions go on where the one before ends", () => {
    for (const name of ["c", "a", "b"]) for (const body of ["1", "2"]) add(name, body);
    const first = listHarnesses(storage, { limit: 2 });
    expect(first.found.map(({ name, version }) => [name, version])).toEqual([
      ["a", 2],
      ["b", 2],
    ]);
    expect(first.hasMore).toBe(true);
    const second = listHarnesses(storage, { after: "b", limit: 2 });
    expect([second.found.map(({ name }) => name), second.hasMore]).toEqual([["c"], false]);
    const versions = listHarnessVersions(storage, { name: "b", limit: 1 });
    expect([versions.found.map(({ version }) => version), versions.hasMore]).toEqual([[2], true]);
    expect(listHarnessVersions(storage, { name: "b", before: 2, limit: 1 })).toMatchObject({
      found: [{ version: 1 }],
      hasMore: false,
    });
  });

  it("a page ends before it is too long to be sent", () => {
    const body = "x".repeat(2_500_000);
    for (const name of ["a", "b", "c"]) add(name, body);
    const page = listHarnesses(storage, { limit: 10 });
    expect([page.found.map(({ name }) => name), page.hasMore]).toEqual([["a"], true]);
    expect(listHarnesses(storage, { after: "b", limit: 10 })).toMatchObject({ found: [{ name: "c" }], hasMore: false });
  });

  it("every change writes an audit event without the definition, and what changes nothing writes none", () => {
    add("a", "private");
    add("a", "private");
    add("a", "2");
    remove("a");
    remove("a");
    add("a", "2");
    const events = pendingAuditEvents(storage.sql);
    expect(events.map(({ action, target, details }) => [action, target, details])).toEqual([
      ["harness.created", "harness_a", { version: 1 }],
      ["harness.changed", "harness_a", { version: 2 }],
      ["harness.deleted", "harness_a", { version: 2 }],
      ["harness.created", "harness_a", { version: 3 }],
    ]);
    expect(JSON.stringify(events)).not.toContain("private");
  });
});

it.each([
  ["harness_support", { name: "support" }],
  ["harness_support_v3", { name: "support", version: 3 }],
  ["harness_a", { name: "a" }],
  ["harness_a_v12", { name: "a", version: 12 }],
  ["harness_v1", { name: "v1" }],
  ["harness_night-shift_2", { name: "night-shift_2" }],
])("the id %s is read and written", (id, harness) => {
  expect(parseHarnessId(id)).toEqual(harness);
  expect(harnessIdOf(harness)).toBe(id);
});

it.each([
  "support",
  "harness_",
  "harness_A",
  "harness_a_",
  "harness_-a",
  `harness_${"a".repeat(65)}`,
  "run_a",
  "harness_a b",
])("%s is no id of a harness", (id) => {
  expect(parseHarnessId(id)).toBeUndefined();
});

const policy = (harness?: string): Policy => newPolicySchema.parse({ name: "k", defaults: harness ? { harness } : {} });

describe("the default harness", () => {
  it("is inherited from the parent key, and cannot be another than that", () => {
    const parent = policy("harness_support");
    expect(inheritPolicy(policy(), parent).defaults).toEqual({ harness: "harness_support" });
    expect(() => requireSubset(policy("harness_support"), parent)).not.toThrow();
    for (const other of [policy(), policy("harness_other"), policy("harness_support_v1")])
      expect(() => requireSubset(other, parent)).toThrow(/defaults.harness/);
  });

  it("is the key's own choice if its parent has none", () => {
    for (const own of [policy(), policy("harness_support_v1")]) {
      expect(inheritPolicy(own, policy()).defaults).toEqual(own.defaults);
      expect(() => requireSubset(own, policy())).not.toThrow();
    }
    expect(() => policy("support")).toThrow(/expected the id of a harness/);
  });

  it("is the key's, or else the organisation's", () => {
    expect(defaultHarnessOf(policy("harness_a"), { harness: "harness_b" })).toBe("harness_a");
    expect(defaultHarnessOf(policy(), { harness: "harness_b" })).toBe("harness_b");
    expect(defaultHarnessOf(undefined, { harness: null })).toBeUndefined();
    expect(defaultHarnessOf(undefined, undefined)).toBeUndefined();
  });
});

describe("a key made before harnesses", () => {
  it("may not read them: their headers may be credentials", () => {
    expect(withLaterScopes(["runs:read"], 1)).toEqual(["runs:read"]);
    expect(withLaterScopes(["sessions:read"], 0)).toEqual(["sessions:read", "runs:read"]);
  });
});
