import { readdirSync } from "node:fs";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";

/** A nanosecond is the unit of the local runtime's alarms; ours are milliseconds. */
const NANOSECONDS = 1_000_000;

/**
 * Makes a state as old as it was when it was written: answers to idempotency keys are valid for a day, grants of a
 * budget for 20 minutes, a key of the fixture for another day. Everything else stays as the files have it. The names are those of the version that wrote it.
 */
export function makeYoung(stateDir: string, writtenAt: number): void {
  const by = Date.now() - writtenAt;
  change(stateDir, "IdempotencyObject", "answers", "UPDATE answers SET run = run + ?", by);
  change(stateDir, "IdempotencyObject", "pieces", "UPDATE pieces SET run = run + ?", by);
  change(stateDir, "KeyObject", "grants", "UPDATE grants SET expires_at = expires_at + ?", by);
  change(stateDir, "OrganizationObject", "grants", "UPDATE grants SET expires_at = expires_at + ?", by);
  const expires = `UPDATE keys SET expires_at = expires_at + ?1,
    policy = json_set(policy, '$.expires_at', expires_at + ?1) WHERE expires_at < created_at + 2 * 86400000`;
  changeIn(join(stateDir, "v3", "d1", "miniflare-D1DatabaseObject"), "keys", expires, by);
  // The alarm that deletes an answer stands in the object and in the list of alarms of its class.
  const alarm = by * NANOSECONDS;
  change(
    stateDir,
    "IdempotencyObject",
    "_cf_METADATA",
    "UPDATE _cf_METADATA SET value = value + ? WHERE key = 1",
    alarm,
  );
  change(stateDir, "IdempotencyObject", "_cf_ALARM", "UPDATE _cf_ALARM SET scheduled_time = scheduled_time + ?", alarm);
}

/** Runs a statement in all databases of a class of objects that have the table; throws when none has. */
function change(stateDir: string, className: string, table: string, statement: string, by: number): void {
  changeIn(join(stateDir, "v3", "do", `rhone-gateway-${className}`), table, statement, by);
}

function changeIn(folder: string, table: string, statement: string, by: number): void {
  let changed = 0;
  for (const name of readdirSync(folder).filter((file) => file.endsWith(".sqlite"))) {
    const database = new DatabaseSync(join(folder, name));
    try {
      const found = database.prepare("SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = ?").get(table);
      if (found !== undefined) changed += Number(database.prepare(statement).run(BigInt(Math.round(by))).changes);
    } finally {
      database.close();
    }
  }
  if (changed === 0) throw new Error(`${folder}: expected rows in ${table}`);
}
