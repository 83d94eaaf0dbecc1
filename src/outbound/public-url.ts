/** Why a URL may not be fetched. The text is for the author of the URL. */
export class UrlRefusal extends Error {}

/**
 * What a deployment knows of where tools may go. `own`: hosts of the gateway itself. `registered`: origins that may be reached though
 * they are private, have a port or no encryption.
 */
export type Reach = { own: ReadonlySet<string>; registered: ReadonlySet<string> };

/** Names that are never on the public internet. RFC 6761, RFC 6762, RFC 8375, RFC 9476; `internal` by ICANN, 2024. */
const PRIVATE =
  /(?:^|\.)(?:localhost|local|internal|lan|home|corp|intranet|private|home\.arpa|onion|test|invalid|alt)$/;
const IPV4 = /^\d{1,3}(?:\.\d{1,3}){3}$/;

/**
 * A URL that the gateway may fetch for others. Checks what a URL says: what its name leads to is the platform's to refuse
 * (docs/tools.md). Throws `UrlRefusal`. `URL` has parsed the host by then: `0x7f.1`, `2130706433` and full-width digits are
 * addresses.
 */
export function requirePublic(text: string, { own, registered }: Reach): URL {
  const url = URL.parse(text);
  if (url === null) throw new UrlRefusal("expected a URL");
  if (url.username !== "" || url.password !== "") throw new UrlRefusal("expected a URL without user name and password");
  if (registered.has(url.origin)) return url;
  if (url.protocol !== "https:") throw new UrlRefusal("expected a URL that starts with https://");
  if (url.port !== "") throw new UrlRefusal("expected no port, or 443");
  const host = url.hostname.replace(/\.$/, "");
  if (host.startsWith("[") || IPV4.test(host)) throw new UrlRefusal("expected a host by its name, not by its address");
  if (!host.includes(".") || PRIVATE.test(host)) throw new UrlRefusal("expected a host of the public internet");
  if (own.has(host)) throw new UrlRefusal("expected another host than the gateway's own");
  return url;
}

/** Whether a host is one of these: names, or `*.name` for all below a name. */
export function isAmongHosts({ hostname }: URL, hosts: readonly string[]): boolean {
  const host = hostname.replace(/\.$/, "");
  return hosts.some((one) => {
    const name = one.toLowerCase();
    return name.startsWith("*.") ? host.endsWith(name.slice(1)) : host === name;
  });
}
