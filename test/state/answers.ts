import type { JsonObject, Json } from "../../src/wire/json.ts";
import type { Client } from "./client.ts";

export const user = (content: string): JsonObject => ({ role: "user", content });

export const rhoneOf = (answer: JsonObject): JsonObject => answer.rhone as JsonObject;

export const dataOf = (list: JsonObject): JsonObject[] => list.data as JsonObject[];

export const sessionIdOf = async (client: Client, call: string): Promise<string> =>
  textOf((await client.get(`/v1/calls/${call}`)).session_id);

export const turnOf = (call: string): string => call.replace(/^call_/, "turn_");

export async function describeSession(client: Client, id: string): Promise<JsonObject> {
  const path = `/v1/sessions/${id}`;
  return {
    session: await client.get(path),
    blocks: dataOf(await client.get(`${path}/blocks`)),
    timeline: dataOf(await client.get(`${path}/timeline`)),
    lineage: await client.get(`${path}/lineage`),
    snapshots: dataOf(await client.get(`${path}/snapshots`)),
    calls: dataOf(await client.get(`${path}/calls`)),
  };
}

/** The request that the provider receives when a session goes on: the model `mirror` returns it as its answer. */
export async function mirror(client: Client, model: string, rhone: JsonObject): Promise<Json> {
  const answer = await client.post("/v1/chat/completions", { model, messages: [user("Show what you got")], rhone });
  return { request: sentIn(contentOf(answer)), context: rhoneOf(answer).context! };
}

export const contentOf = ({ choices }: JsonObject): Json =>
  ((choices as JsonObject[])[0]!.message as JsonObject).content!;

/** A mirrored request; any other text as it is. */
export function sentIn(text: Json): Json {
  return typeof text === "string" && text.startsWith("{") ? parsed(text) : text;
}

export async function eventsOf(client: Client, path: string): Promise<Json> {
  const answer = await client.fetch(path);
  const text = await answer.text();
  if (!answer.ok) return codeOf(parsed(text));
  return text
    .split("\n")
    .filter((line) => line.startsWith("data: "))
    .map((line) => sentIn(line.slice("data: ".length)));
}

export async function answerOf(answer: Response): Promise<Json> {
  const body = (await answer.json()) as JsonObject;
  return answer.ok ? body : { status: answer.status, code: codeOf(body) };
}

export const parsed = (text: string): Json => JSON.parse(text) as Json;

export const isObject = (value: Json | undefined): value is JsonObject =>
  typeof value === "object" && value !== null && !Array.isArray(value);

/** Throws when it is no string. */
export function textOf(value: Json | undefined): string {
  if (typeof value !== "string") throw new Error(`expected a string, got ${JSON.stringify(value)}`);
  return value;
}

export const codeOf = (body: Json): Json => (isObject(body) && isObject(body.error) ? (body.error.code ?? null) : null);

/** Days and months have gone by since: only what counts for all time is the same. */
export function totalsOf({ budgets, periods, days }: JsonObject): Json {
  const total = (periods as JsonObject[]).find(({ period }) => period === "total")!;
  return {
    budgets: (budgets as JsonObject[]).filter(({ period }) => period === "total"),
    spent: total.spent_micros_usd!,
    reserved: total.reserved_micros_usd!,
    calls: sum(days as JsonObject[], "calls"),
    tokens: sum(days as JsonObject[], "tokens"),
  };
}

export const callsOf = ({ days }: JsonObject): number => sum(days as JsonObject[], "calls");

const sum = (rows: readonly JsonObject[], member: string): number =>
  rows.reduce((total, row) => total + Number(row[member]), 0);
