import { once } from "node:events";
import { createServer, type AddressInfo } from "node:net";

export const HOST = "127.0.0.1";

/** Listens briefly on a port and returns its number; rejects as the gateway would if it cannot be used. 0: any free port. */
export async function tryPort(port: number): Promise<number> {
  const probe = createServer().listen(port, HOST);
  await once(probe, "listening");
  const { port: found } = probe.address() as AddressInfo;
  probe.close();
  await once(probe, "close");
  return found;
}

export const freePort = (): Promise<number> => tryPort(0);
