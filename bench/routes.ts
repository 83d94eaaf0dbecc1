import type { Answer } from "./answers.ts";
import { agentFor, type Call, exchange } from "./client.ts";
import type { Callers, LoadPlan, Send } from "./load.ts";
import {
  type CallBuilder,
  buildBifrostCall,
  buildLitellmCall,
  buildPlainCall,
  buildPortkeyCall,
  buildRhoneCall,
  type Origins,
} from "./requests.ts";
import { openSocket } from "./socket.ts";

/** A way from a client to the provider's answer: one line of the tables. */
export type Route = {
  id: string;
  label: string;
  /** The server whose process is measured. "upstream": none, the call goes directly to the provider. */
  server: string;
  /** Its memory is measured while it holds many streams. */
  holdsStreams?: true;
  prepare: (origins: Origins, answer: Answer, plan: LoadPlan) => Promise<Callers>;
};

/** Turns of a session before the next session is used: its history stays short, and so do its requests to the provider. */
const TURNS = 8;

export const ROUTES: readonly Route[] = [
  { id: "direct", label: "direct to the provider", server: "upstream", prepare: repeatCall(buildPlainCall) },
  {
    id: "proxy",
    label: "bare workerd proxy",
    server: "proxy",
    holdsStreams: true,
    prepare: repeatCall(buildPlainCall),
  },
  {
    id: "rhone",
    label: "Rhone, stateless relay",
    server: "rhone",
    holdsStreams: true,
    prepare: repeatCall(buildRhoneCall("stateless")),
  },
  {
    id: "rhone-translated",
    label: "Rhone, stateless, Chat → Anthropic",
    server: "rhone",
    holdsStreams: true,
    prepare: repeatCall(buildRhoneCall("stateless", "benchanth")),
  },
  {
    id: "rhone-cold",
    label: "Rhone, stateful, new session",
    server: "rhone",
    prepare: repeatCall(buildRhoneCall("stateful")),
  },
  {
    id: "rhone-warm",
    label: "Rhone, stateful, warm session",
    server: "rhone",
    holdsStreams: true,
    prepare: callInSessions,
  },
  { id: "rhone-socket", label: "Rhone, stateful, WebSocket", server: "rhone", prepare: openSocket },
  {
    id: "portkey",
    label: "Portkey, relay",
    server: "portkey",
    holdsStreams: true,
    prepare: repeatCall(buildPortkeyCall("openai")),
  },
  {
    id: "portkey-translated",
    label: "Portkey, Chat → Anthropic",
    server: "portkey",
    prepare: repeatCall(buildPortkeyCall("anthropic")),
  },
  {
    id: "litellm",
    label: "LiteLLM, relay",
    server: "litellm",
    holdsStreams: true,
    prepare: repeatCall(buildLitellmCall("openai")),
  },
  {
    id: "litellm-translated",
    label: "LiteLLM, Chat → Anthropic",
    server: "litellm",
    prepare: repeatCall(buildLitellmCall("anthropic")),
  },
  {
    id: "bifrost",
    label: "Bifrost, relay",
    server: "bifrost",
    holdsStreams: true,
    prepare: repeatCall(buildBifrostCall("openai")),
  },
  {
    id: "bifrost-translated",
    label: "Bifrost, Chat → Anthropic",
    server: "bifrost",
    prepare: repeatCall(buildBifrostCall("anthropic")),
  },
];

/** Makes the same call again and again. */
function repeatCall(build: CallBuilder): Route["prepare"] {
  return async (origins, answer, { concurrency, more }) => {
    const agent = agentFor(concurrency);
    const call = build(origins, answer, more);
    return { send: () => exchange(call, { agent, ending: endingOf(answer) }), close: () => agent.destroy() };
  };
}

/** Makes each call as the next turn of a session in memory. The sessions are started here. */
async function callInSessions(
  origins: Origins,
  answer: Answer,
  { calls, concurrency, more }: LoadPlan,
): Promise<Callers> {
  const agent = agentFor(concurrency);
  const count = Math.ceil(calls / TURNS) + concurrency;
  const sessions: string[] = [];
  const first = buildRhoneCall("stateful")(origins, { kind: "whole", bytes: 1024 });
  const startSessions = async (): Promise<void> => {
    while (sessions.length < count) sessions.push(await startSession(first, agent));
  };
  await Promise.all(Array.from({ length: concurrency }, startSessions));
  const call = buildRhoneCall("stateful")(origins, answer, more);
  // A caller has its session to itself: two simultaneous calls in one session would wait for each other.
  const states = Array.from({ length: concurrency }, () => ({ session: sessions.pop()!, turns: 0 }));
  const send: Send = (caller) => {
    const state = states[caller]!;
    if (state.turns++ >= TURNS) Object.assign(state, { session: sessions.pop() ?? state.session, turns: 1 });
    const headers = { ...call.headers, "x-rhone-session-id": state.session };
    return exchange({ ...call, headers }, { agent, ending: endingOf(answer) });
  };
  return { send, close: () => agent.destroy(), sessions: count };
}

/** Makes a stateful call that starts a session, and returns the session's id. */
export async function startSession(call: Call, agent: ReturnType<typeof agentFor>): Promise<string> {
  let id = "";
  await exchange(call, { agent, onBody: (text) => (id = /"session_id":"([^"]+)"/.exec(text)?.[1] ?? "") });
  if (id === "") throw new Error("the gateway started no session");
  return id;
}

/** The text that a complete answer ends with. */
export const endingOf = (answer: Answer): string => (answer.kind === "stream" ? "[DONE]" : "}");
