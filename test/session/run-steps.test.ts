import { describe, expect, it } from "vitest";
import { hashInput, hashReply, ROOT } from "../../src/canonical/turn-hash.ts";
import type { Message } from "../../src/canonical/types.ts";
import { type CompletedTurn, toTurn } from "../../src/session/context.ts";
import { listReplayTurns } from "../../src/session/history/replay-plan.ts";
import { withLazyTables } from "../../src/session/schema.ts";
import { Session } from "../../src/session/session.ts";
import { findFirstStep, findTurn } from "../../src/session/turns.ts";
import type { Blobs } from "../../src/store/blobs.ts";
import type { CallRecord } from "../../src/store/records.ts";
import { openSql, toStorage } from "../support/sqlite.ts";

const NOW = 1_000_000;
const says = (role: Message["role"], text: string): Message => ({ role, blocks: [{ kind: "text", text }] });
const question = says("user", "look");
const visible = [says("assistant", "I look.\n\nDone.")];

const callRecord = (id: string): CallRecord => ({
  id,
  org: "org_a",
  sessionId: "sess_a",
  keyId: "key_a",
  surface: "chat",
  stream: false,
  contextMode: "stateful",
  modelAsked: "demo",
  status: "completed",
  usage: {},
  latency: { gateway: 0, total: 1 },
  attempts: [],
  losses: [],
  createdAt: NOW,
  endedAt: NOW,
});

/** A session with a run of two steps: the client's call is `call_1`, that of the second step `call_2`. */
function openSession() {
  const sql = withLazyTables(openSql());
  const session = new Session(toStorage(sql), () => NOW);
  session.create("org_a", "sess_a");
  const itemOf = ({ role, blocks: [block] }: Message): string => JSON.stringify({ role, content: [block] });
  const complete = (parent: string, [input, reply]: [Message, Message], as: CompletedTurn["as"]): CompletedTurn => ({
    context: session.continue({ messages: [input], parent }),
    input: { dialect: "native", items: itemOf(input) },
    output: { dialect: "native", items: itemOf(reply), issuer: "" },
    requested: [input],
    reply: [reply],
    ...(as && { as }),
  });
  const first = callRecord("call_1");
  session.start(first);
  const called = complete("sess_a", [question, says("assistant", "I look.")], { id: "turn_0", kind: "step" });
  session.add(toTurn(first, called), { moves: false }, () => {});
  const second = callRecord("call_2");
  session.start(second);
  const hashes = hashReply(hashInput(ROOT, [question]), visible);
  const answered: [Message, Message] = [says("user", "seen"), says("assistant", "Done.")];
  session.commit(second, complete("turn_0", answered, { id: "turn_1", hashes }));
  return { session, sql };
}

describe("the turns of a run whose client sees one answer", () => {
  it("are a path to the turn of the client's call, and the head moves once", () => {
    const { session, sql } = openSession();
    expect(session.path.map(({ id, kind }) => [id, kind])).toEqual([
      ["turn_0", "step"],
      ["turn_1", "call"],
    ]);
    expect(findTurn(sql, "turn_0")?.kind).toBe("step");
    expect(findFirstStep(session.path)).toBe(0);
  });

  it("are continued by a client that sends back what it has seen", () => {
    const { session } = openSession();
    const { parent, known, history } = session.continue({ messages: [question, ...visible, says("user", "more")] });
    expect([parent?.id, known, history.length]).toEqual(["turn_1", 2, 4]);
  });

  it("are one turn for a replay, with the request of the client", async () => {
    const { session, sql } = openSession();
    const turns = await listReplayTurns(session, sql, {} as Blobs, undefined);
    expect(turns).toHaveLength(1);
    expect(turns[0]!.turn_id).toBe("turn_1");
    expect(JSON.stringify(turns[0]!.input)).toContain("look");
  });
});
