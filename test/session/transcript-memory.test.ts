import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { toCompletedTurn, toTurnInput } from "../../src/gateway/call/turn-input.ts";
import { parseResentRequest } from "../../src/gateway/session/resent-request.ts";
import type { Checkpoint } from "../../src/session/continuation.ts";
import { Session } from "../../src/session/session.ts";
import type { CallRecord } from "../../src/store/records.ts";
import { type SurfaceId, SURFACES } from "../../src/surfaces/index.ts";
import { type ParsedRequest, parseRequest, readMembers } from "../../src/surfaces/request.ts";
import type { JsonObject } from "../../src/wire/json.ts";
import { openSql, toStorage } from "../support/sqlite.ts";

function openSession(): Session {
  const session = new Session(toStorage(openSql()), () => 0);
  session.create("org", "sess_0");
  return session;
}

/** How each wire writes a text of one side, a call and its result. */
const WIRES: Record<"chat" | "messages" | "responses", Record<"user" | "model" | "call" | "result", Write>> = {
  chat: {
    user: (text) => ({ role: "user", content: text }),
    model: (text) => ({ role: "assistant", content: text }),
    call: (id) => ({
      role: "assistant",
      content: null,
      tool_calls: [{ id, type: "function", function: { name: "f", arguments: "{}" } }],
    }),
    result: (id) => ({ role: "tool", tool_call_id: id, content: `result` }),
  },
  messages: {
    user: (text) => ({ role: "user", content: [{ type: "text", text }] }),
    model: (text) => ({ role: "assistant", content: [{ type: "text", text }] }),
    call: (id) => ({ role: "assistant", content: [{ type: "tool_use", id, name: "f", input: {} }] }),
    result: (id) => ({ role: "user", content: [{ type: "tool_result", tool_use_id: id, content: "result" }] }),
  },
  responses: {
    user: (text) => ({ role: "user", content: text }),
    model: (text) => ({ type: "message", role: "assistant", content: [{ type: "output_text", text }] }),
    call: (id) => ({ type: "function_call", call_id: id, name: "f", arguments: "{}" }),
    result: (id) => ({ type: "function_call_output", call_id: id, output: "result" }),
  },
};
type Write = (text: string) => JsonObject;

/** What a client does with its transcript before the next call. Numbers choose a place in it. */
const action = fc.oneof(
  { weight: 16, arbitrary: fc.constant({ do: "add" as const, at: 0 }) },
  { weight: 8, arbitrary: fc.constant({ do: "mark" as const, at: 0 }) },
  ...(["edit", "cut", "space", "system", "repeat", "forget", "prefill"] as const).map((name) => ({
    weight: 1,
    arbitrary: fc.record({ do: fc.constant(name), at: fc.nat(20) }),
  })),
);
const reply = fc.oneof(
  fc.constantFrom("yes", "no", "").map((text) => ({ text, call: false })),
  fc.constant({ text: "", call: true }),
);
const steps = fc.array(
  fc.record({
    action,
    reply,
    question: fc.constantFrom("one", "two", "three"),
    again: fc.oneof({ weight: 8, arbitrary: fc.constant(undefined) }, { weight: 1, arbitrary: reply }),
  }),
  { minLength: 3, maxLength: 12 },
);

/** Applies an action to the client's items. */
function change(items: JsonObject[], name: string, at: number, wire: (typeof WIRES)["chat"]): JsonObject[] {
  const i = items.length === 0 ? 0 : at % items.length;
  switch (name) {
    case "edit":
      return items.map((item, k) => (k === i ? wire.user("edited") : item));
    case "cut":
      return items.slice(0, i);
    case "repeat":
      return [...items, ...items.slice(i)];
    case "forget":
      return items.slice(i);
    case "prefill":
      return [...items, wire.model("own")];
    // As agents move their cache marks: on the last two messages only.
    case "mark":
      return items.map(({ mark: _, ...item }, k) => (k >= items.length - 2 ? { ...item, mark: "x" } : item));
    default:
      return items;
  }
}

describe.each(Object.keys(WIRES) as (keyof typeof WIRES)[])("a transcript sent again on %s", (id: SurfaceId) => {
  const surface = SURFACES[id];
  const wire = WIRES[id as keyof typeof WIRES];
  const { items: listName } = surface.dialect.layout;

  /** A call with these items, compared with one that is read whole. Returns what the model answers. */
  function send(session: Session, items: readonly JsonObject[], step: Step & { remembers: boolean }): Sent {
    const lead = id === "chat" ? [{ role: "system", content: step.system }] : [];
    const body = { model: "m", max_tokens: 9, [listName]: [...lead, ...items] };
    const requestText = readMembers(JSON.stringify(body, null, step.indent), new Headers(), surface);
    const full = parseRequest(requestText, surface);
    const resent = parseResentRequest(requestText, { surface, outside: {}, transcripts: session.transcripts });
    const found: Checkpoint[] = [];
    const from = resent.recalled?.checkpoints.at(-1);
    const read = session.continue(toTurnInput(full));
    const context = session.continue(toTurnInput(resent.request), { from, onTurn: (one) => found.push(one) });
    const newItems = (request: ParsedRequest, known: number): readonly string[] =>
      request.items.slice(request.systemCount + known);
    expect(context.parent?.id).toBe(read.parent?.id);
    expect(newItems(resent.request, context.known)).toEqual(newItems(full, read.known));
    expect(resent.request.instructions).toEqual(full.instructions);
    if (from !== undefined) expect(read.known - context.known).toBe(from.replyAt);

    const made = step.reply.call ? wire.call(`call_${step.n}`) : wire.model(step.reply.text);
    const messages = surface.dialect.decodeMessages([made]);
    const output = { dialect: surface.dialect.id, items: JSON.stringify(made), issuer: "p" };
    const response = { id: "", model: "m", messages, finish: { reason: "stop" as const }, usage: {} };
    const times = { createdAt: step.n, endedAt: step.n };
    const record = { id: `call_0${step.n}`, contextMode: "stateful", status: "completed", ...times };
    const committed = { request: resent.request, context, output, response, reply: { created: 0 } };
    session.commit(record as unknown as CallRecord, toCompletedTurn(committed));
    const checkpoints = [...(resent.recalled?.checkpoints ?? []), ...found];
    if (step.remembers && checkpoints.length > 0)
      session.transcripts.remember(resent.sent!, { systemCount: resent.request.systemCount, checkpoints });
    const results = step.reply.call ? [wire.result(`call_${step.n}`)] : [];
    return { added: [made, ...results], isRecalled: from !== undefined };
  }

  it("continues the same turn with the same new messages, whether its beginning is recalled or read", () => {
    let recalls = 0;
    fc.assert(
      fc.property(steps, (all) => {
        const session = openSession();
        let items: JsonObject[] = [];
        let system = "be brief";
        all.forEach(({ action: { do: name, at }, reply: answer, question, again }, i) => {
          if (name === "system") system = `be brief ${at}`;
          items = [...change(items, name, at, wire), wire.user(question)];
          const step = { system, indent: name === "space" ? 1 : undefined };
          const { added, isRecalled } = send(session, items, { ...step, reply: answer, n: 2 * i, remembers: true });
          if (isRecalled) recalls++;
          // Another client asks the same once more, and its turn may have the same hash.
          if (again !== undefined) send(session, items, { ...step, reply: again, n: 2 * i + 1, remembers: false });
          items = [...items, ...added];
        });
      }),
      { numRuns: 300 },
    );
    // Ordinary transcripts are recalled, so the comparison above is one of two ways.
    expect(recalls).toBeGreaterThan(100);
  });
});

type Step = { system: string; indent: number | undefined; reply: { text: string; call: boolean }; n: number };
type Sent = { added: JsonObject[]; isRecalled: boolean };
