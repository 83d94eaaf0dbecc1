import fc from "fast-check";
import { expect, it } from "vitest";
import { CARRIED, carriedTextOf, mayCarry } from "../../src/canonical/carried.ts";
import type { Native } from "../../src/canonical/types.ts";
import { CarriedItems } from "../../src/keys/carried-items.ts";
import { deriveVaultKeys } from "../../src/keys/vault.ts";

const keysOf = (...secrets: string[]): ReturnType<typeof deriveVaultKeys> => deriveVaultKeys(secrets, "carried items");
const items = new CarriedItems(keysOf("new", "old"), "org_a");
const native = (item: Native["item"]): Native => ({ dialect: "anthropic", item, seal: "anthropic/claude" });

it("an item comes out of its text as it went in, whatever is in it", () => {
  fc.assert(
    fc.property(fc.jsonValue(), (more) => {
      const item = native({ type: "thinking", signature: "s", more: more as Native["item"] });
      const carried = items.wrap(item);
      expect(JSON.stringify(items.open(carried))).toBe(JSON.stringify(item));
      expect(JSON.stringify(carried)).toBe(`"${carried}"`);
      expect([mayCarry(carried), carriedTextOf({ signature: carried })]).toEqual([true, carried]);
    }),
  );
});

it("no other text has an item, and none makes it throw", () => {
  const carried = items.wrap(native({ type: "thinking", thinking: "x", signature: "s" }));
  fc.assert(
    fc.property(fc.nat(carried.length - 1), fc.string(), (at, text) => {
      const changed = carried.slice(0, at) + text + carried.slice(at + 1);
      // Base64 has several forms of the same bytes.
      if (
        Buffer.from(changed.split(".").at(-1)!, "base64url").equals(
          Buffer.from(carried.split(".").at(-1)!, "base64url"),
        )
      )
        return;
      expect(items.open(changed)).toBeUndefined();
      expect(items.open(text)).toBeUndefined();
      expect(items.open(CARRIED + text)).toBeUndefined();
    }),
  );
});

it("an item is of its organisation and of its keys, the older of which still open it", () => {
  const item = native({ type: "redacted_thinking", data: "sealed" });
  const old = new CarriedItems(keysOf("old"), "org_a").wrap(item);
  expect(items.open(old)).toEqual(item);
  for (const other of [
    new CarriedItems(keysOf("new", "old"), "org_b"),
    new CarriedItems(keysOf("other"), "org_a"),
    new CarriedItems(undefined, "org_a"),
  ])
    expect(other.open(old)).toBeUndefined();
});

it("what is not sealed, too long, or without a key is marked as the gateway's, without an item", () => {
  const { seal: _, ...open } = native({ signature: "s" });
  expect(items.wrap(undefined)).toBe(CARRIED);
  expect(items.wrap(open)).toBe(CARRIED);
  expect(items.wrap(native({ signature: "x".repeat(300_000) }))).toBe(CARRIED);
  expect(items.wrap(native({ type: "reasoning", id: "rs_1", summary: [] }))).toBe(CARRIED);
  expect(new CarriedItems(undefined, "org_a").wrap(native({ signature: "s" }))).toBe(CARRIED);
});
