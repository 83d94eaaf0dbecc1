import { CARRIED } from "../canonical/carried.ts";
import type { Native } from "../canonical/types.ts";
import { isObject, tryParseJson } from "../wire/json.ts";
import { decrypt, encrypt, type VaultKeys } from "./vault.ts";

/** Longest sealed item, in UTF-16 units of its JSON, that a client has to carry. The longest reasoning known is a third. */
const MAX_ITEM_LENGTH = 256 * 1024;

/**
 * Sealed reasoning of one organisation, as texts that its clients carry from call to call: encrypted for this
 * organisation, with the issuer to which alone the item returns. Without keys a text has no item.
 */
export class CarriedItems {
  readonly #keys: VaultKeys | undefined;
  readonly #owner: string;

  constructor(keys: VaultKeys | undefined, org: string) {
    this.#keys = keys;
    this.#owner = `carried/${org}`;
  }

  /** The text for an item. Reasoning that is not sealed, or too long, gets one without an item: it is recognised all the same. */
  readonly wrap = (native: Native | undefined): string => {
    if (native?.seal === undefined || !hasSealedContent(native) || this.#keys === undefined) return CARRIED;
    const json = JSON.stringify(native);
    return json.length > MAX_ITEM_LENGTH ? CARRIED : CARRIED + encrypt(json, this.#owner, this.#keys);
  };

  /** The inverse. `undefined`: there is no item in the text, or it is of another organisation, changed, or of a key that is gone. */
  readonly open = (text: string): Native | undefined => {
    if (this.#keys === undefined || !text.startsWith(CARRIED)) return undefined;
    const json = decrypt(text.slice(CARRIED.length), this.#owner, this.#keys);
    const native = json === undefined ? undefined : tryParseJson(json);
    // It was encrypted here, so it is what `wrap` got.
    return isObject(native) ? (native as Native) : undefined;
  };
}

/** Whether the item itself has what only its issuer reads: OpenAI's may be a mere reference to its own store. */
function hasSealedContent({ item }: Native): boolean {
  if (!isObject(item)) return false;
  return [item.signature, item.encrypted_content, item.data].some((value) => typeof value === "string" && value !== "");
}
