import { once } from "node:events";
import { createServer, type AddressInfo } from "node:net";

export const HOST = "127.0.0.1";

/** Listens for a moment; fails as the gateway would when the port cannot be used. 0 is any free port. Gives its number. */
export async function tryPort(port: number): Promise<number> {
  const probe = createServer().listen(port, HOST);
  await once(probe, "listening");
  const { port: found } = probe.address() as AddressInfo;
  probe.close();
  await once(probe, "close");
  return found;
}

export const freePort = (): Promise<number> => tryPort(0);
