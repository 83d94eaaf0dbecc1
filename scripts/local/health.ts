import { get } from "node:http";
import { setTimeout as sleep } from "node:timers/promises";
import { UserError } from "../user-error.ts";
import { HOST } from "./port.ts";

/** Waits until the gateway answers: a second or two; the minute allows for a slow, busy machine. Throws a `UserError`. */
export async function waitUntilHealthy(port: number): Promise<void> {
  let last = "no answer";
  for (const end = Date.now() + 60_000; Date.now() < end; await sleep(50)) {
    last = await readHealth(port).catch(String);
    if (last === "HTTP 200") return;
  }
  throw new UserError(`The gateway did not become healthy within a minute: GET /healthz gave ${last}`);
}

/** The status of `/healthz`. Without `fetch`, which takes memory for as long as the process lives. */
const readHealth = (port: number): Promise<string> =>
  new Promise((resolve, reject) => {
    const options = { host: HOST, port, path: "/healthz", timeout: 5000 };
    const request = get(options, (response) => {
      response.resume();
      response.once("end", () => resolve(`HTTP ${response.statusCode}`));
    });
    request.once("error", reject);
    request.once("timeout", () => request.destroy(new Error("no answer for 5 s")));
  });
