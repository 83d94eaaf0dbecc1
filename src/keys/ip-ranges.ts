/** A range of IPv4 or IPv6 addresses in CIDR notation (RFC 4632, RFC 4291). A single address has the full prefix length. */
type Range = { bits: 32 | 128; value: bigint; prefix: number };

/** Whether the text is an address or a range. */
export const isRange = (text: string): boolean => parseRange(text) !== undefined;

/** Whether every address of `narrow` is in `wide`. False if one of them is malformed or their families differ. */
export function containsRange(wide: string, narrow: string): boolean {
  const a = parseRange(wide);
  const b = parseRange(narrow);
  if (a === undefined || b === undefined || a.bits !== b.bits || b.prefix < a.prefix) return false;
  const rest = BigInt(a.bits - a.prefix);
  return a.value >> rest === b.value >> rest;
}

function parseRange(text: string): Range | undefined {
  const [address = "", prefixText, ...more] = text.trim().split("/");
  const parsed = address.includes(":") ? parseIpv6(address) : parseIpv4(address);
  if (parsed === undefined || more.length > 0) return undefined;
  if (prefixText === undefined) return { ...parsed, prefix: parsed.bits };
  const prefix = /^\d{1,3}$/.test(prefixText) ? Number(prefixText) : Infinity;
  return prefix <= parsed.bits ? { ...parsed, prefix } : undefined;
}

/** Four decimal numbers without leading zeros: some parsers read those as octal. */
function parseIpv4(text: string): Omit<Range, "prefix"> | undefined {
  const parts = text.split(".");
  if (parts.length !== 4 || !parts.every((part) => /^(0|[1-9]\d{0,2})$/.test(part) && Number(part) < 256))
    return undefined;
  return { bits: 32, value: parts.reduce((sum, part) => (sum << 8n) | BigInt(part), 0n) };
}

/** IPv4-mapped addresses (`::ffff:192.0.2.1`) are read as IPv4, so that a range in either form matches them. */
function parseIpv6(text: string): Omit<Range, "prefix"> | undefined {
  const mapped = /^::ffff:(\d+\.\d+\.\d+\.\d+)$/i.exec(text);
  if (mapped !== null) return parseIpv4(mapped[1]!);
  const halves = text.split("::");
  if (halves.length > 2) return undefined;
  const [head = [], tail = []] = halves.map((half) => (half === "" ? [] : half.split(":")));
  const missing = 8 - head.length - tail.length;
  if (halves.length === 2 ? missing < 1 : missing !== 0) return undefined;
  const groups = [...head, ...Array.from({ length: missing }, () => "0"), ...tail];
  if (!groups.every((group) => /^[0-9a-f]{1,4}$/i.test(group))) return undefined;
  return { bits: 128, value: groups.reduce((sum, group) => (sum << 16n) | BigInt(`0x${group}`), 0n) };
}
