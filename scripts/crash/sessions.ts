import { mkdtempSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { setTimeout as sleep } from "node:timers/promises";
import { parseArgs } from "node:util";
import { endChildrenOnExit } from "../local/process-group.ts";
import { UserError, runScript } from "../user-error.ts";
import { type Gateway, get, killRuntime, post, startKillable } from "./gateway.ts";

/**
 * `npm run test:crash -- --kills 200 --sessions 4`: kills the runtime (SIGKILL) at random moments of a load of
 * streams and whole answers over several sessions, starts it again, and compares the answers that its clients received
 * with the stored turns:
 *
 * - a turn whose answer arrived to its last byte is in the head, in order, and its call's record is in D1 once;
 * - a turn whose answer was an error is not in the head;
 * - a turn whose answer was cut by the kill is in the head whole and once, or not at all;
 * - nothing else is in any head, and no call is left running.
 */
type SentTurn = { text: string; turn?: string; call?: string; outcome: "acknowledged" | "refused" | "cut" };
const { values } = parseArgs({
  options: { kills: { type: "string", default: "20" }, sessions: { type: "string", default: "4" } },
});

endChildrenOnExit();
await runScript(async () => {
  const kills = Number(values.kills);
  const count = Number(values.sessions);
  if (!(kills > 0) || !(count > 0)) throw new UserError("--kills, --sessions: expected numbers above 0");
  const state = mkdtempSync(join(tmpdir(), "rhone-crash-"));
  const { gateway, dispose } = await startKillable(state);
  try {
    const sessions = await Promise.all(
      Array.from({ length: count }, (_, i) => createSession(gateway, `sess_crash-${i}`)),
    );
    const sent = new Map<string, SentTurn[]>(sessions.map((id) => [id, []]));
    for (let kill = 1; kill <= kills; kill++) {
      const clients = [...sent].map(([id, all]) => sendCalls(gateway, id, all));
      await sleep(50 + Math.random() * 600);
      await killRuntime(gateway);
      await Promise.all(clients);
      for (const [id, all] of sent) await checkSession(gateway, id, all);
      if (kill % 10 === 0 || kill === kills) console.log(`${kill} kills: ${summarize(sent)}`);
    }
    await checkRecords(state, [...sent.values()].flat());
    console.log("Every acknowledged turn is stored once; no refused turn is stored.");
  } finally {
    await dispose();
    rmSync(state, { recursive: true, force: true });
  }
});

/** Sends calls of one session, one after the other, until the gateway is killed. */
async function sendCalls(gateway: Gateway, id: string, sent: SentTurn[]): Promise<void> {
  for (let isGone = false; !isGone;) {
    const isStream = Math.random() < 0.5;
    // One call in five names a model that does not exist, and is answered with an error.
    const model = ["demo", "demo", "demo", "demo", "nobody/nothing"][Math.floor(Math.random() * 5)]!;
    const one: SentTurn = { text: `${id} turn ${sent.length}`, outcome: "cut" };
    sent.push(one);
    try {
      const response = await post(gateway, "/v1/chat/completions", {
        model,
        stream: isStream,
        messages: [{ role: "user", content: one.text }],
        rhone: { session_id: id },
      });
      one.call = response.headers.get("x-rhone-call-id") ?? "";
      one.turn = one.call.replace(/^call/, "turn");
      const text = await response.text();
      const isWhole = isStream ? text.includes("data: [DONE]") : text.trimEnd().endsWith("}");
      if (!response.ok || text.includes('"error"')) one.outcome = "refused";
      else if (isWhole) one.outcome = "acknowledged";
    } catch {
      isGone = true;
    }
  }
}

async function checkSession(gateway: Gateway, id: string, sent: readonly SentTurn[]): Promise<void> {
  const { data } = await get<{ data: { role: string; content: string }[] }>(
    gateway,
    `/v1/sessions/${id}/blocks?format=openai`,
  );
  const inputs = data.filter(({ role }) => role === "user").map(({ content }) => content);
  if (data.length !== 2 * inputs.length) throw new UserError(`${id}: a turn of the head has no reply`);
  if (new Set(inputs).size !== inputs.length) throw new UserError(`${id}: a turn is in the head twice`);
  const expected = sent.filter(
    ({ text, outcome }) => outcome === "acknowledged" || (outcome === "cut" && inputs.includes(text)),
  );
  if (JSON.stringify(expected.map(({ text }) => text)) !== JSON.stringify(inputs))
    throw new UserError(
      `${id}: the head differs from the turns that clients sent\n${JSON.stringify(expected)}\n${JSON.stringify(inputs)}`,
    );
  const { turns } = await get<{ turns: { id: string; in_head: boolean }[] }>(gateway, `/v1/sessions/${id}/lineage`);
  const inHead = new Set(turns.filter(({ in_head }) => in_head).map((turn) => turn.id));
  const lost = sent.find(({ outcome, turn }) => outcome === "acknowledged" && !inHead.has(turn!));
  if (lost !== undefined)
    throw new UserError(`${id}: turn ${lost.turn ?? lost.text} was acknowledged and is not in the head`);
  const { data: timeline } = await get<{ data: { status?: string; id: string }[] }>(
    gateway,
    `/v1/sessions/${id}/timeline`,
  );
  const running = timeline.find(({ status }) => status === "running");
  if (running !== undefined) throw new UserError(`${id}: ${running.id} is still running`);
}

/** Waits for the records: the outboxes of the objects that were killed send them again after a while. */
async function checkRecords(state: string, sent: readonly SentTurn[]): Promise<void> {
  const ids = sent.flatMap(({ outcome, call }) => (outcome === "acknowledged" ? [call!] : []));
  let missing = ids;
  for (const until = Date.now() + 60_000; missing.length > 0 && Date.now() < until; await sleep(500)) {
    const stored = countRecords(state);
    missing = ids.filter((id) => stored.get(id) !== 1);
  }
  if (missing.length > 0)
    throw new UserError(`${missing.length} of ${ids.length} records are not in D1: ${missing.slice(0, 3).join(", ")}`);
  console.log(`${ids.length} records are in D1, once each`);
}

function countRecords(state: string): Map<string, number> {
  const folder = join(state, "v3", "d1");
  const files = readdirSync(folder, { recursive: true, encoding: "utf8" }).filter((file) =>
    /[0-9a-f]{64}\.sqlite$/.test(file),
  );
  const rows = files.flatMap((file) => {
    const database = new DatabaseSync(join(folder, file), { readOnly: true, timeout: 10_000 });
    try {
      return database
        .prepare("SELECT id, count(*) AS n FROM call_records WHERE status = 'completed' GROUP BY id")
        .all();
    } finally {
      database.close();
    }
  });
  return new Map(rows.map(({ id, n }) => [id as string, n as number]));
}

async function createSession(gateway: Gateway, id: string): Promise<string> {
  const response = await post(gateway, "/v1/sessions", { id });
  if (!response.ok) throw new UserError(`The session could not be created: ${await response.text()}`);
  return id;
}

function summarize(sent: ReadonlyMap<string, SentTurn[]>): string {
  const all = [...sent.values()].flat();
  const count = (outcome: SentTurn["outcome"]): number => all.filter((one) => one.outcome === outcome).length;
  return `${count("acknowledged")} turns acknowledged, ${count("refused")} refused, ${count("cut")} cut`;
}
