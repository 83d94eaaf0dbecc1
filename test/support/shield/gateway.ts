import { expect } from "vitest";
import { request } from "../worker/client.ts";

export type Json = Record<string, unknown>;

/** An address, and a card that a network could have given out. */
export const EMAIL = "jane.roe@corp-mail.com";
export const CARD = "4556737586899855";
/** What stands for such an address. */
export const TAG = /PII_EMAIL_[A-Z2-7]{8}/;
/** Both are replaced by tags. */
export const REDACTING = { email: { action: "redact" }, card: { action: "redact" } };

export const send = (method: string, path: string, body?: unknown, key?: string): Promise<Response> =>
  request(path, {
    method,
    ...(key !== undefined && { key }),
    headers: { "content-type": "application/json" },
    ...(body !== undefined && { body: JSON.stringify(body) }),
  });

/** The answer to a request, which must be a success. */
export async function json(method: string, path: string, body?: unknown, key?: string): Promise<Json> {
  const response = await send(method, path, body, key);
  const text = await response.text();
  expect([response.ok, text.slice(0, 400)]).toEqual([true, expect.anything()]);
  return JSON.parse(text) as Json;
}

export const setProfile = (id: string, profile: object): Promise<Json> =>
  json("PUT", `/v1/safety/profiles/${id}`, profile);

/** The profile of most tests, as a call names it. */
export async function setTags(): Promise<{ profile: string; mode: string }> {
  await setProfile("tags", { mode: "enforce", detectors: REDACTING });
  return { profile: "tags", mode: "enforce" };
}

export const decisionsOf = async (call: string): Promise<Json[]> =>
  (await json("GET", `/v1/calls/${call}/safety-decisions`)).data as Json[];
