import { getCACertificates } from "node:tls";

/** Services of the runtime (workerd.capnp, Network). It checks the addresses to which a name leads, when it connects to one. */
const networkTo = (allow: readonly string[]): { network: object } => ({
  network: { allow, tlsOptions: { trustBrowserCas: true, trustedCertificates: getCACertificates("extra") } },
});

/** What the runtime's own `fetch` may reach: also providers on this machine. */
export const NETWORK = networkTo(["public", "private", "240.0.0.0/4"]);

/** What tools may reach. */
export const PUBLIC_NETWORK = networkTo(["public"]);
